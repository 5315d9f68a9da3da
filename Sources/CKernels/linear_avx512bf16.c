// The bf16 linear kernel for AVX-512 with AVX512_BF16.
//
// A zmm register holds 2 columns of 16 rows; vdpbf16ps multiplies them by a token's 2 activations, broadcast, and adds
// both products to the lane's float sum (odd column first, each step rounded to nearest even, subnormals as zero).
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma,f16c"))),  \
    apply_to = function)
#include "avx512bf16.h"

CK_TEMPLATE void bf16_tile(const int panels, const int tokens, const ck_linear *job, const ck_tiles *at) {
    const uint8_t *first = ck_panel_at(job, CK_BF16, at->panel), *second = ck_panel_at(job, CK_BF16, at->panel + 1);
    const uint16_t *activations = (const uint16_t *)job->activations + at->token * job->columns;
    __m512 sums[2][CK_TILE];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) sums[0][t] = sums[1][t] = _mm512_setzero_ps();
    ck_add_bf16_products(panels, tokens, first, second, job->columns, activations, sums);
    ck_store_rows(job, at->panel, at->token, sums[0], tokens);
    if (panels > 1) ck_store_rows(job, at->panel + 1, at->token, sums[1], tokens);
}

CK_TEMPLATE void bf16_tile_of(const int panels, const ck_linear *job, const ck_tiles *at) {
    switch (at->tokens) {
        case 1: bf16_tile(panels, 1, job, at); break;
        case 2: bf16_tile(panels, 2, job, at); break;
        case 3: bf16_tile(panels, 3, job, at); break;
        case 4: bf16_tile(panels, 4, job, at); break;
        case 5: bf16_tile(panels, 5, job, at); break;
        case 6: bf16_tile(panels, 6, job, at); break;
        case 7: bf16_tile(panels, 7, job, at); break;
        default: bf16_tile(panels, 8, job, at); break;
    }
}

// With few tokens memory is the limit, and one panel at a time reads it as one stream: 1.0 of the bandwidth, where two
// panels, two streams of a few KB each, reached 0.7.
enum { ONE_STREAM_TOKENS = 5 };

static void linear_bf16(const ck_linear *job, int64_t begin, int64_t end) {
    ck_tiles at = ck_first_tile(job, begin, end, CK_ACT_BF16, job->tokens <= ONE_STREAM_TOKENS ? 1 : 2);
    while (ck_next_tile(&at)) {
        if (at.panels > 1) {
            bf16_tile_of(2, job, &at);
        } else {
            bf16_tile_of(1, job, &at);
        }
    }
}

#pragma clang attribute pop

void ck_fill_linear_avx512bf16(ck_kernels *table) { table->linear[CK_BF16] = linear_bf16; }
#endif
