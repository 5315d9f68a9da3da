#if defined(__x86_64__)
#include "internal.h"
#include "tables.h"
void ck_fill_linear_avx2(ck_kernels *table) { table->quantize_q8 = ck_quantize_q8_avx2; }
#endif
