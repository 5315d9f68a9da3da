// The ladder's first attention methods with AVX-512.
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c"))), \
                             apply_to = function)
#include "vector_avx512.h"

#include "attention_baseline.h"

void ck_fill_attention_baseline_avx512(ck_kernels *table) { fill_attention_baseline(table); }
#pragma clang attribute pop
#endif
