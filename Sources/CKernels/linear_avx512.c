// Linear kernels for AVX-512 with VNNI.
//
// Quantized: a zmm register holds 4 columns of 16 rows, one row per 32-bit lane. vpdpbusd multiplies these unsigned
// codes by 4 signed activation codes broadcast to all lanes and adds the four products to the lane's integer sum, which
// starts at -8 (or -128) times the sum of the activation codes: so a symmetric zero point costs nothing. After the 8
// registers of a group of 32 columns the exact integer becomes a float, and one multiply-add with
// (weight scale * activation scale) adds it to the output's running sum. The group's registers are unpacked once for the
// up to 8 tokens of a tile. Activations of 15 bits take two such dot products: 128 * (high parts) + (low parts), exact too.
//
// f16 and f32: a lane walks K with one multiply-add per column.
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"
#include "tables.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), \
                             apply_to = function)
#include "avx512.h"

// MARK: - Quantized

// One group's codes, 4 columns a register.
CK_TEMPLATE void unpack_codes(const ck_layout layout, const uint8_t *codes, __m512i out[8]) {
    const int bits = ck_code_bits(layout);
    if (bits == 8) {
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; j++) out[j] = _mm512_load_si512(codes + 64 * j);
        return;
    }
    const __m512i nibble = _mm512_set1_epi8(0x0f);
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
        __m512i bytes = _mm512_load_si512(codes + 64 * j);
        out[j] = _mm512_and_si512(bytes, nibble);
        out[4 + j] = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble);
    }
    if (bits == 4) return;
    const __m512i mask = _mm512_set1_epi8(bits == 5 ? 0x10 : 0x30);
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
        // Register j's upper bits, moved to bit 4.
        const int at = bits == 5 ? j : 2 * (j % 4);
        __m512i upper = _mm512_load_si512(codes + CK_UPPER_BITS_AT + (bits == 5 ? 0 : 64 * (j / 4)));
        upper = at < 4 ? _mm512_slli_epi16(upper, 4 - at) : _mm512_srli_epi16(upper, at - 4);
        out[j] = _mm512_ternarylogic_epi32(out[j], upper, mask, 0xf8);  // out | (upper & mask)
    }
}

// What one group of a panel multiplies its integer sums by: two scales where halves of the group have their own.
typedef struct group_factors {
    __m512 scale, scale_high, offset;
} group_factors;

CK_TEMPLATE __m512 load_bytes(const ck_layout layout, const uint8_t *bytes) {
    const __m128i loaded = _mm_load_si128((const __m128i *)bytes);
    return _mm512_cvtepi32_ps(layout == CK_Q6K ? _mm512_cvtepi8_epi32(loaded) : _mm512_cvtepu8_epi32(loaded));
}

// Those of the 256 columns that the group's integer factors multiply.
CK_TEMPLATE group_factors load_super_factors(const ck_layout layout, const uint8_t *super) {
    const __m512 scale = layout == CK_Q6K ? _mm512_load_ps(super) : ck_load_f16(super);
    return (group_factors){scale, scale, layout == CK_Q6K ? scale : ck_load_f16(super + CK_PANEL * 2)};
}

CK_TEMPLATE group_factors load_factors(const ck_layout layout, const group_factors *super, const uint8_t *pair,
                                       int half) {
    const uint8_t *scales = pair + ck_scale_at(layout, half), *offsets = pair + ck_offset_at(layout, half);
    group_factors factors;
    if (ck_is_nested(layout)) {
        factors.scale = factors.scale_high = factors.offset = _mm512_mul_ps(super->scale, load_bytes(layout, scales));
        if (layout == CK_Q6K) {
            factors.scale_high = _mm512_mul_ps(super->scale, load_bytes(layout, scales + CK_PANEL));
        } else {
            factors.offset = _mm512_mul_ps(super->offset, load_bytes(layout, offsets));
        }
    } else {
        factors.scale = ck_has_wide_scales(layout) ? _mm512_load_ps(scales) : ck_load_f16(scales);
        factors.scale_high = factors.offset = factors.scale;
        if (ck_has_offsets(layout)) factors.offset = ck_load_f16(offsets);
        if (ck_has_zero_points(layout)) factors.offset = _mm512_mul_ps(factors.scale, factors.offset);
    }
    return factors;
}

// Adds four registers' (16 columns') products.
CK_TEMPLATE __m512i dot(__m512i sum, const __m512i codes[4], const int8_t *activations) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) sum = _mm512_dpbusd_epi32(sum, codes[j], ck_broadcast_word(activations + 4 * j));
    return sum;
}

// `registers` times 4 columns' products of whole activation codes, added to what the sum starts at.
CK_TEMPLATE __m512i dot_codes(const ck_activation format, __m512i start, const __m512i *codes, const int registers,
                              const int8_t *activations, const int8_t *low_parts) {
    __m512i high = _mm512_setzero_si512();
    __m512i low = start;
#pragma clang loop unroll(full)
    for (int j = 0; j < registers; j += 4) {
        if (format == CK_ACT_Q8) {
            low = dot(low, codes + j, activations + 4 * j);
        } else {
            high = dot(high, codes + j, activations + 4 * j);
            low = dot(low, codes + j, low_parts + 4 * j);
        }
    }
    return format == CK_ACT_Q8 ? low : _mm512_add_epi32(_mm512_slli_epi32(high, 7), low);
}

// What an integer sum starts at: minus the zero point times the sum of the activations, which come as -8 times it.
CK_TEMPLATE __m512i zero_point(const ck_layout layout, __m512i sum_of_zeros) {
    return _mm512_slli_epi32(sum_of_zeros, layout == CK_Q8S ? 4 : layout == CK_Q6K ? 2 : 0);
}

CK_TEMPLATE void quantized_tile(const ck_layout layout, const ck_activation format, const int tokens,
                                const ck_linear *job, const ck_tiles *at) {
    const uint8_t *pair = ck_panel_at(job, layout, at->panel);
    const uint8_t *tile = ck_tile_at(format, job, at->token);
    const int64_t groups = job->columns / CK_GROUP;
    __m512 sums[CK_TILE];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) sums[t] = _mm512_setzero_ps();
    group_factors super = {sums[0], sums[0], sums[0]};

    // The block's last tile fetches the next panel into L2, which the next tile would wait for: worth 5% where a panel
    // is large and a block holds few tiles. (For a single token, hardware prefetches better than any hint.)
    const bool last_of_several = at->token > at->block_begin && at->token + tokens == at->block_end;
    const bool fetch_next = tokens == CK_TILE && last_of_several && at->panel + 1 < at->panel_end;
    const int64_t panel_bytes = ck_padded_panel_bytes(layout, job->columns);
    // A block's first tile reads the weights from memory. With one or two tokens it does nothing else, and hardware
    // prefetches better than any hint; with more, arithmetic hides what is fetched early enough (1.3 times the speed of 8).
    enum { AHEAD = 2048 };
    const bool fetch_ahead = tokens >= 3 && at->token == at->block_begin;

    for (int64_t first = 0; first < groups; first += 2, pair += ck_pair_bytes(layout)) {
        if (ck_is_nested(layout) && first % (2 * CK_SUPER_PAIRS) == 0) {
            super = load_super_factors(layout, pair);
            pair += CK_SUPER_BYTES;
        }
        if (fetch_ahead) {
#pragma clang loop unroll(full)
            for (int i = 0; i < ck_pair_bytes(layout); i += 64) _mm_prefetch(pair + AHEAD + i, _MM_HINT_T0);
        }
        if (fetch_next) {
#pragma clang loop unroll(full)
            for (int i = 0; i < ck_pair_bytes(layout); i += 64) _mm_prefetch(pair + panel_bytes + i, _MM_HINT_T1);
        }
#pragma clang loop unroll(disable)
        for (int half = 0; half < 2; half++) {
            const group_factors factors = load_factors(layout, &super, pair, half);
            __m512i codes[8];
            unpack_codes(layout, pair + ck_code_at(layout, half), codes);
            // An empty assembly statement pins the unpacked codes in registers; clang would unpack them anew for each
            // token, which saves registers that there is no lack of.
            if (tokens > 1) {
#pragma clang loop unroll(full)
                for (int j = 0; j < 8; j++) __asm__("" : "+v"(codes[j]));
            }
            const ck_group_block block = ck_block_at(format, tile, tokens, first + half);
#pragma clang loop unroll(full)
            for (int t = 0; t < tokens; t++) {
                const int8_t *activations = block.codes + t * CK_GROUP;
                const int8_t *low_parts = block.low + t * CK_GROUP;
                const __m512 activation_scale = _mm512_set1_ps(block.scale[t]);
                const __m512i zero_low = ck_broadcast_word(block.zero_low + t);
                const __m512i zero_high = ck_broadcast_word(block.zero_high + t);
                if (ck_scale_columns(layout) == 16) {
                    __m512i low = dot_codes(format, zero_point(layout, zero_low), codes, 4, activations, low_parts);
                    __m512i high = dot_codes(format, zero_point(layout, zero_high), codes + 4, 4, activations + 16,
                                             low_parts + 16);
                    sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(low), _mm512_mul_ps(factors.scale, activation_scale), sums[t]);
                    sums[t] =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), _mm512_mul_ps(factors.scale_high, activation_scale), sums[t]);
                    continue;
                }
                __m512i sum = ck_has_offsets(layout)
                                  ? _mm512_setzero_si512()
                                  : zero_point(layout, _mm512_add_epi32(zero_low, zero_high));
                sum = dot_codes(format, sum, codes, 8, activations, low_parts);
                sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(factors.scale, activation_scale), sums[t]);
                if (ck_has_offsets(layout)) {
                    sums[t] = _mm512_fmadd_ps(factors.offset, _mm512_set1_ps(block.scaled_sum[t]), sums[t]);
                }
            }
        }
    }
    ck_store_rows(job, at->panel, at->token, sums, tokens);
}

#include "quantized_linear.h"

// MARK: - f16, f32 and f8

CK_TEMPLATE __m512 load_column(const ck_layout layout, const uint8_t *panel, int64_t k) {
    if (layout == CK_F16) return ck_load_f16(panel + k * CK_PANEL * 2);
    if (layout == CK_F32) return _mm512_load_ps(panel + k * CK_PANEL * 4);
    const __m256i codes = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)ck_f8_codes(panel, k)));
    // The sign fills the upper byte: of it, and of the shifted magnitude, what an f16 has (ck_f8_to_f16).
    const __m256i halves = _mm256_and_si256(_mm256_slli_epi16(codes, 7), _mm256_set1_epi16((int16_t)0xbfff));
    return _mm512_mul_ps(_mm512_cvtph_ps(halves), _mm512_load_ps(ck_f8_block(panel, k)));
}

// Panels share each broadcast activation.
enum { MOST_PANELS = 4 };
CK_TEMPLATE void float_tile(const ck_layout layout, const int panels, const int tokens, const ck_linear *job,
                            int64_t panel, int64_t token) {
    const uint8_t *weights[MOST_PANELS];
    const float *activations = (const float *)job->activations + token * job->columns;
    __m512 sums[MOST_PANELS][CK_TILE];
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
        weights[p] = ck_panel_at(job, layout, panel + p);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) sums[p][t] = _mm512_setzero_ps();
    }
    for (int64_t k = 0; k < job->columns; k++) {
        __m512 column[MOST_PANELS];
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; p++) column[p] = load_column(layout, weights[p], k);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            const __m512 activation = _mm512_set1_ps(activations[t * job->columns + k]);
#pragma clang loop unroll(full)
            for (int p = 0; p < panels; p++) sums[p][t] = _mm512_fmadd_ps(column[p], activation, sums[p][t]);
        }
    }
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) ck_store_rows(job, panel + p, token, sums[p], tokens);
}

CK_TEMPLATE void float_tile_of(const ck_layout layout, const int panels, const ck_linear *job, const ck_tiles *at) {
    const int64_t panel = at->panel, token = at->token;
    switch (at->tokens) {
        case 1: float_tile(layout, panels, 1, job, panel, token); break;
        case 2: float_tile(layout, panels, 2, job, panel, token); break;
        case 3: float_tile(layout, panels, 3, job, panel, token); break;
        case 4: float_tile(layout, panels, 4, job, panel, token); break;
        case 5: float_tile(layout, panels, 5, job, panel, token); break;
        case 6: float_tile(layout, panels, 6, job, panel, token); break;
        case 7: float_tile(layout, panels, 7, job, panel, token); break;
        default: float_tile(layout, panels, 8, job, panel, token); break;
    }
}

CK_TEMPLATE void float_linear(const ck_layout layout, const ck_linear *job, int64_t begin, int64_t end) {
    // For one token memory is the limit, and one panel at a time reads it as one stream. Of 8-bit floats there is less to
    // read, and one panel's multiply-adds would wait for each other.
    const bool single = job->tokens == 1;
    ck_tiles at = ck_first_tile(job, begin, end, CK_ACT_F32, !single ? 2 : layout == CK_F8 ? MOST_PANELS : 1);
    while (ck_next_tile(&at)) {
        if (single && at.panels == MOST_PANELS) {
            float_tile(layout, MOST_PANELS, 1, job, at.panel, at.token);
        } else if (single) {
            for (int64_t p = 0; p < at.panels; p++) float_tile(layout, 1, 1, job, at.panel + p, at.token);
        } else if (at.panels > 1) {
            float_tile_of(layout, 2, job, &at);
        } else {
            float_tile_of(layout, 1, job, &at);
        }
    }
}

static void linear_f16(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F16, job, begin, end); }
static void linear_f32(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F32, job, begin, end); }
static void linear_f8(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F8, job, begin, end); }

#pragma clang attribute pop

// MARK: - Table

void ck_fill_linear_avx512(ck_kernels *table) {
    ck_fill_quantized(table);
    table->linear[CK_F16] = linear_f16;
    table->linear[CK_F32] = linear_f32;
    table->linear[CK_F8] = linear_f8;
    table->quantize_q8 = ck_quantize_q8_avx512;
    table->quantize_q16 = ck_quantize_q16_avx512;
}
#endif
