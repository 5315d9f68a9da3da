// What the kernels of bf16 and of 8-bit-float weights share. Included inside the target attribute of the file that uses it,
// after avx512.h.
#pragma once
#include "avx512.h"

// Adds the products of `columns` columns of one or two panels of bf16 pairs with the activation pairs of `tokens` tokens: a
// register holds 2 columns of 16 rows, and vdpbf16ps adds both products to a lane's sum. Panels share each broadcast activation.
CK_TEMPLATE void ck_add_bf16_products(const int panels, const int tokens, const uint8_t *first, const uint8_t *second,
                                      int64_t columns, const uint16_t *activations, __m512 sums[2][CK_TILE]) {
    for (int64_t k = 0; k < columns; k += 2, first += 64, second += 64, activations += 2 * tokens) {
        const __m512bh weights = (__m512bh)_mm512_load_si512(first);
        const __m512bh more_weights = panels > 1 ? (__m512bh)_mm512_load_si512(second) : weights;
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            const __m512bh activation = (__m512bh)ck_broadcast_word(activations + 2 * t);
            sums[0][t] = _mm512_dpbf16_ps(sums[0][t], weights, activation);
            if (panels > 1) sums[1][t] = _mm512_dpbf16_ps(sums[1][t], more_weights, activation);
        }
    }
}
