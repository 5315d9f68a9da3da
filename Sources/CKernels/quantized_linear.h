// The quantized linear kernels of one instruction set: every layout by two activation formats, all made from the file's
// `quantized_tile`. Included where that is defined, inside the file's target attribute.
#pragma once
#include "internal.h"

CK_TEMPLATE void quantized_linear(const ck_layout layout, const ck_activation format, const ck_linear *job,
                                  int64_t begin, int64_t end) {
    ck_tiles at = ck_first_tile(job, begin, end, format, 1);
    while (ck_next_tile(&at)) {
        switch (at.tokens) {
            case 1: quantized_tile(layout, format, 1, job, &at); break;
            case 2: quantized_tile(layout, format, 2, job, &at); break;
            case 3: quantized_tile(layout, format, 3, job, &at); break;
            case 4: quantized_tile(layout, format, 4, job, &at); break;
            case 5: quantized_tile(layout, format, 5, job, &at); break;
            case 6: quantized_tile(layout, format, 6, job, &at); break;
            case 7: quantized_tile(layout, format, 7, job, &at); break;
            default: quantized_tile(layout, format, 8, job, &at); break;
        }
    }
}

// The kernel of one layout and one activation format.
#define CK_QUANTIZED_LINEAR(name, layout, format) \
    static void name(const ck_linear *job, int64_t begin, int64_t end) { quantized_linear(layout, format, job, begin, end); }

CK_QUANTIZED_LINEAR(linear_q4s, CK_Q4S, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q4a, CK_Q4A, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q4z, CK_Q4Z, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q4w, CK_Q4W, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q8s, CK_Q8S, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q8a, CK_Q8A, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q8z, CK_Q8Z, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q8w, CK_Q8W, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q4k, CK_Q4K, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q5k, CK_Q5K, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q6k, CK_Q6K, CK_ACT_Q8)
CK_QUANTIZED_LINEAR(linear_q4s_q16, CK_Q4S, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q4a_q16, CK_Q4A, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q4z_q16, CK_Q4Z, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q4w_q16, CK_Q4W, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q8s_q16, CK_Q8S, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q8a_q16, CK_Q8A, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q8z_q16, CK_Q8Z, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q8w_q16, CK_Q8W, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q4k_q16, CK_Q4K, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q5k_q16, CK_Q5K, CK_ACT_Q16)
CK_QUANTIZED_LINEAR(linear_q6k_q16, CK_Q6K, CK_ACT_Q16)

static inline void ck_fill_quantized(ck_kernels *table) {
    table->linear[CK_Q4S] = linear_q4s;
    table->linear[CK_Q4A] = linear_q4a;
    table->linear[CK_Q4Z] = linear_q4z;
    table->linear[CK_Q4W] = linear_q4w;
    table->linear[CK_Q8S] = linear_q8s;
    table->linear[CK_Q8A] = linear_q8a;
    table->linear[CK_Q8Z] = linear_q8z;
    table->linear[CK_Q8W] = linear_q8w;
    table->linear[CK_Q4K] = linear_q4k;
    table->linear[CK_Q5K] = linear_q5k;
    table->linear[CK_Q6K] = linear_q6k;
    table->linear_q16[CK_Q4S] = linear_q4s_q16;
    table->linear_q16[CK_Q4A] = linear_q4a_q16;
    table->linear_q16[CK_Q4Z] = linear_q4z_q16;
    table->linear_q16[CK_Q4W] = linear_q4w_q16;
    table->linear_q16[CK_Q8S] = linear_q8s_q16;
    table->linear_q16[CK_Q8A] = linear_q8a_q16;
    table->linear_q16[CK_Q8Z] = linear_q8z_q16;
    table->linear_q16[CK_Q8W] = linear_q8w_q16;
    table->linear_q16[CK_Q4K] = linear_q4k_q16;
    table->linear_q16[CK_Q5K] = linear_q5k_q16;
    table->linear_q16[CK_Q6K] = linear_q6k_q16;
}
