// Norms, rotary embedding and activations with NEON.
#include "tables.h"

#if defined(__aarch64__)
#include "vector_neon.h"

#include "elementwise_kernel.h"

void ck_fill_elementwise_neon(ck_kernels *table) { fill_elementwise(table); }
#endif
