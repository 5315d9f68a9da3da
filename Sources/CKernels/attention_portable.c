// Attention and its KV cache in portable C.
#include "tables.h"
#include "vector_portable.h"

#include "attention_kernel.h"

void ck_fill_attention_portable(ck_kernels *table) { fill_attention(table); }
