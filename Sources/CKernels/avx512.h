// AVX-512 helpers of the linear kernels. Included inside the target attribute of the file that uses them.
#pragma once
#include <immintrin.h>

#include "internal.h"

// A broadcast that folds into the instruction that uses it ({1to16} memory operand, free on every core measured).
CK_TEMPLATE __m512i ck_broadcast_word(const void *word) {
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm512_set1_epi32(value);
}

// The 16 f16 values of one group's scales or offsets.
CK_TEMPLATE __m512 ck_load_f16(const void *halves) { return _mm512_cvtph_ps(_mm256_load_si256(halves)); }

// Lanes of the panel that are rows of the matrix.
CK_TEMPLATE __mmask16 ck_valid_rows(const ck_linear *job, int64_t panel) {
    int64_t rows = job->rows - panel * CK_PANEL;
    return rows >= CK_PANEL ? 0xffff : rows <= 0 ? 0 : (__mmask16)((1u << rows) - 1);
}

// output = (sum + bias) or output + (sum + bias): one order of additions for every tile size.
CK_TEMPLATE void ck_store_rows(const ck_linear *job, int64_t panel, int64_t token, const __m512 *sums, int tokens) {
    const __mmask16 valid = ck_valid_rows(job, panel);
    const int64_t stride = job->output_stride;
    const bool accumulate = job->accumulate != 0;
    float *output = job->output + token * stride + panel * CK_PANEL;
    const float *bias = job->bias ? job->bias + panel * CK_PANEL : NULL;
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++, output += stride) {
        __m512 value = sums[t];
        if (bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, bias));
        if (accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, output), value);
        _mm512_mask_storeu_ps(output, valid, value);
    }
}
