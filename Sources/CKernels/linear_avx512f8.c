// The linear kernel of 8-bit floats with bf16 activations, for AVX-512 with AVX512_BF16 and AVX512_VBMI.
//
// An e4m3 code is a bf16 number but for the width of its exponent, and its subnormals are normal there: two byte-wise
// look-ups among 128 entries give both bytes of 64 codes' bf16 values exactly. vdpbf16ps multiplies two columns at a time as
// for bf16 weights; after 128 columns a multiply-add with the row's scale adds the block's sum to the output's.
//
// Unpacking takes half as long as multiplying a tile of 8 tokens. With more tokens a block of two panels is unpacked once,
// into 8 KB of the first-level cache, and meets up to 128 tokens there (1.06 times the speed of prompts of 64 and 512 tokens of
// SmolLM2 on Zen 4); the order of operations per output stays.
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(                                                                               \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx512vbmi,avx2,fma,f16c"))), \
    apply_to = function)
#include "avx512bf16.h"

// The bytes of the bf16 values of the codes 0 ..< 128, 2^-8 times what they mean: the scales are 2^8 times theirs.
static uint8_t lower_bytes[128] __attribute__((aligned(64)));
static uint8_t upper_bytes[128] __attribute__((aligned(64)));
// Of 4 columns of 16 rows, where the code lies that becomes each byte of the unpacked pairs.
static uint8_t pair_order[64] __attribute__((aligned(64)));

static void fill_look_ups(void) {
    for (int code = 0; code < 128; code++) {
        const uint32_t bits = ck_bits(ck_f16_to_float(ck_f8_to_f16((uint8_t)code)));
        const bool is_nan = code == 127;
        lower_bytes[code] = (uint8_t)(is_nan ? 0xc0 : bits >> 16);
        upper_bytes[code] = (uint8_t)(is_nan ? 0x7f : bits >> 24);
    }
    // The lower halves of the 128-bit lanes give columns 0 and 1 of 4 rows each, the upper ones columns 2 and 3.
    for (int i = 0; i < 64; i++) {
        const int lane = i / 16, column = i % 16 / 8 * 2 + i % 2, row = 4 * lane + i % 8 / 2;
        pair_order[i] = (uint8_t)(column * CK_PANEL + row);
    }
}

// Two registers of bf16 pairs: columns 0 and 1, columns 2 and 3.
typedef struct bf16_pairs {
    __m512bh pair[2];
} bf16_pairs;

CK_TEMPLATE bf16_pairs load_pairs(const uint8_t *codes) {
    const __m512i order = _mm512_load_si512(pair_order), sign = _mm512_set1_epi8((char)0x80);
    const __m512i bytes = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(codes));
    // The look-up ignores the sign, bit 7.
    const __m512i lower =
        _mm512_permutex2var_epi8(_mm512_load_si512(lower_bytes), bytes, _mm512_load_si512(lower_bytes + 64));
    __m512i upper =
        _mm512_permutex2var_epi8(_mm512_load_si512(upper_bytes), bytes, _mm512_load_si512(upper_bytes + 64));
    upper = _mm512_ternarylogic_epi32(upper, bytes, sign, 0xf8);  // upper | (bytes & sign)
    return (bf16_pairs){{(__m512bh)_mm512_unpacklo_epi8(lower, upper), (__m512bh)_mm512_unpackhi_epi8(lower, upper)}};
}

enum { MOST_PANELS = 4 };

CK_TEMPLATE void f8_tile(const int panels, const int tokens, const ck_linear *job, const ck_tiles *at) {
    // Activations are padded to 32 columns, and codes to blocks, with zeros.
    const int64_t columns = (job->columns + 31) / 32 * 32;
    const uint16_t *activations = (const uint16_t *)job->activations + at->token * columns;
    const uint8_t *weights[MOST_PANELS];
    __m512 sums[MOST_PANELS][CK_TILE];
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
        weights[p] = ck_panel_at(job, CK_F8, at->panel + p);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) sums[p][t] = _mm512_setzero_ps();
    }
    for (int64_t first = 0; first < columns; first += CK_F8_COLUMNS) {
        const int64_t count = columns - first < CK_F8_COLUMNS ? columns - first : CK_F8_COLUMNS;
        __m512 block[MOST_PANELS][CK_TILE];
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; p++) {
#pragma clang loop unroll(full)
            for (int t = 0; t < tokens; t++) block[p][t] = _mm512_setzero_ps();
        }
#pragma clang loop unroll(disable)
        for (int64_t k = 0; k < count; k += 4, activations += 4 * tokens) {
            bf16_pairs codes[MOST_PANELS];
#pragma clang loop unroll(full)
            for (int p = 0; p < panels; p++) codes[p] = load_pairs(weights[p] + CK_F8_SCALE_BYTES + k * CK_PANEL);
#pragma clang loop unroll(full)
            for (int pair = 0; pair < 2; pair++) {
#pragma clang loop unroll(full)
                for (int t = 0; t < tokens; t++) {
                    const __m512bh activation = (__m512bh)ck_broadcast_word(activations + 2 * (pair * tokens + t));
#pragma clang loop unroll(full)
                    for (int p = 0; p < panels; p++) {
                        block[p][t] = _mm512_dpbf16_ps(block[p][t], codes[p].pair[pair], activation);
                    }
                }
            }
        }
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; p++) {
            const __m512 scale = _mm512_load_ps(weights[p]);
            weights[p] += CK_F8_BYTES;
#pragma clang loop unroll(full)
            for (int t = 0; t < tokens; t++) sums[p][t] = _mm512_fmadd_ps(block[p][t], scale, sums[p][t]);
        }
    }
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) ck_store_rows(job, at->panel + p, at->token, sums[p], tokens);
}

CK_TEMPLATE void f8_tile_of(const int panels, const ck_linear *job, const ck_tiles *at) {
    switch (at->tokens) {
        case 1: f8_tile(panels, 1, job, at); break;
        case 2: f8_tile(panels, 2, job, at); break;
        case 3: f8_tile(panels, 3, job, at); break;
        case 4: f8_tile(panels, 4, job, at); break;
        case 5: f8_tile(panels, 5, job, at); break;
        case 6: f8_tile(panels, 6, job, at); break;
        case 7: f8_tile(panels, 7, job, at); break;
        default: f8_tile(panels, 8, job, at); break;
    }
}

// MARK: - Many tokens

enum {
    WIDE_PANELS = 2,
    WIDE_TILES = 16,  // whose sums stay in the cache while an unpacked block meets them: 16 KB
    UNPACKED_BYTES = CK_F8_COLUMNS * CK_PANEL * 2,
};

// One worker's block: weights as bf16 pairs [panel][columns / 2][16][2], sums f32 [tile][panel][token][16].
typedef struct wide_scratch {
    uint8_t weights[WIDE_PANELS][UNPACKED_BYTES];
    float sums[WIDE_TILES][WIDE_PANELS][CK_TILE][CK_PANEL];
} wide_scratch;

CK_TEMPLATE void unpack_block(const uint8_t *block, int64_t count, uint8_t *unpacked) {
    for (int64_t k = 0; k < count; k += 4, unpacked += 128) {
        const bf16_pairs pairs = load_pairs(block + CK_F8_SCALE_BYTES + k * CK_PANEL);
        _mm512_store_si512(unpacked, (__m512i)pairs.pair[0]);
        _mm512_store_si512(unpacked + 64, (__m512i)pairs.pair[1]);
    }
}

// Adds what `count` unpacked columns contribute to a tile: the arithmetic of `f8_tile` for one block.
CK_TEMPLATE void unpacked_tile(const int panels, const int tokens, wide_scratch *scratch, const uint8_t *const *blocks,
                               int64_t count, const uint16_t *activations, int64_t tile) {
    __m512 block[WIDE_PANELS][CK_TILE];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) block[0][t] = block[1][t] = _mm512_setzero_ps();
    ck_add_bf16_products(panels, tokens, scratch->weights[0], scratch->weights[1], count, activations, block);
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
        const __m512 scale = _mm512_load_ps(blocks[p]);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            float *sum = scratch->sums[tile][p][t];
            _mm512_store_ps(sum, _mm512_fmadd_ps(block[p][t], scale, _mm512_load_ps(sum)));
        }
    }
}

CK_TEMPLATE void unpacked_tile_of(const int panels, int64_t tokens, wide_scratch *scratch, const uint8_t *const *blocks,
                                  int64_t count, const uint16_t *activations, int64_t tile) {
    switch (tokens) {
        case 1: unpacked_tile(panels, 1, scratch, blocks, count, activations, tile); break;
        case 2: unpacked_tile(panels, 2, scratch, blocks, count, activations, tile); break;
        case 3: unpacked_tile(panels, 3, scratch, blocks, count, activations, tile); break;
        case 4: unpacked_tile(panels, 4, scratch, blocks, count, activations, tile); break;
        case 5: unpacked_tile(panels, 5, scratch, blocks, count, activations, tile); break;
        case 6: unpacked_tile(panels, 6, scratch, blocks, count, activations, tile); break;
        case 7: unpacked_tile(panels, 7, scratch, blocks, count, activations, tile); break;
        default: unpacked_tile(panels, 8, scratch, blocks, count, activations, tile); break;
    }
}

// The panels of `at` times `token_count` tokens, up to WIDE_TILES tiles, from `at->token` on.
CK_TEMPLATE void wide_block(const int panels, const ck_linear *job, const ck_tiles *at, int64_t token_count,
                            wide_scratch *scratch) {
    const int64_t columns = (job->columns + 31) / 32 * 32;
    const int64_t tiles = (token_count + CK_TILE - 1) / CK_TILE;
    const uint16_t *activations = (const uint16_t *)job->activations + at->token * columns;
    const uint8_t *blocks[WIDE_PANELS];
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) blocks[p] = ck_panel_at(job, CK_F8, at->panel + p);
    memset(scratch->sums, 0, (size_t)tiles * sizeof scratch->sums[0]);
    for (int64_t first = 0; first < columns; first += CK_F8_COLUMNS) {
        const int64_t count = columns - first < CK_F8_COLUMNS ? columns - first : CK_F8_COLUMNS;
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; p++) unpack_block(blocks[p], count, scratch->weights[p]);
        for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t left = token_count - tile * CK_TILE, tokens = left < CK_TILE ? left : CK_TILE;
            unpacked_tile_of(panels, tokens, scratch, blocks, count,
                             activations + tile * CK_TILE * columns + first * tokens, tile);
        }
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; p++) blocks[p] += CK_F8_BYTES;
    }
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t left = token_count - tile * CK_TILE, tokens = left < CK_TILE ? left : CK_TILE;
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; p++) {
            __m512 sums[CK_TILE];
            for (int64_t t = 0; t < tokens; t++) sums[t] = _mm512_load_ps(scratch->sums[tile][p][t]);
            ck_store_rows(job, at->panel + p, at->token + tile * CK_TILE, sums, (int)tokens);
        }
    }
}

static void linear_many_tokens(const ck_linear *job, int64_t begin, int64_t end) {
    wide_scratch scratch __attribute__((aligned(64)));
    ck_tiles at = ck_first_tile(job, begin, end, CK_ACT_BF16, WIDE_PANELS);
    while (ck_next_tile(&at)) {
        // This tile and those that follow it in the block of tokens: the walk goes on behind them.
        const int64_t left = at.block_end - at.token;
        const int64_t count = left < WIDE_TILES * CK_TILE ? left : WIDE_TILES * CK_TILE;
        if (at.panels > 1) {
            wide_block(2, job, &at, count, &scratch);
        } else {
            wide_block(1, job, &at, count, &scratch);
        }
        at.tokens = count;
    }
}

static void linear_f8_bf16(const ck_linear *job, int64_t begin, int64_t end) {
    if (job->tokens > CK_TILE) {
        linear_many_tokens(job, begin, end);
        return;
    }
    // With one token, the sums of fewer panels would wait for each other.
    const bool single = job->tokens == 1;
    ck_tiles at = ck_first_tile(job, begin, end, CK_ACT_BF16, single ? MOST_PANELS : 2);
    while (ck_next_tile(&at)) {
        if (single && at.panels == MOST_PANELS) {
            f8_tile(MOST_PANELS, 1, job, &at);
        } else if (single) {
            ck_tiles part = at;
            for (; part.panel < at.panel + at.panels; part.panel++) f8_tile(1, 1, job, &part);
        } else if (at.panels > 1) {
            f8_tile_of(2, job, &at);
        } else {
            f8_tile_of(1, job, &at);
        }
    }
}

#pragma clang attribute pop

void ck_fill_linear_avx512f8(ck_kernels *table) {
    fill_look_ups();
    table->linear_f8_bf16 = linear_f8_bf16;
}
#endif
