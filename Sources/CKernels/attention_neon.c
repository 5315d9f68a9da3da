// Attention and its KV cache with NEON.
#include "tables.h"

#if defined(__aarch64__)
#include "vector_neon.h"

#include "attention_kernel.h"

void ck_fill_attention_neon(ck_kernels *table) { fill_attention(table); }
#endif
