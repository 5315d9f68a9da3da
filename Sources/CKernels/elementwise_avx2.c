// Norms, rotary embedding and activations with AVX2.
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "vector_avx2.h"

#include "elementwise_kernel.h"

void ck_fill_elementwise_avx2(ck_kernels *table) { fill_elementwise(table); }
#pragma clang attribute pop
#endif
