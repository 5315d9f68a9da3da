// Linear kernels for AVX2 with FMA and F16C: the arithmetic of linear_avx512.c, to the bit, 8 rows at a time.
//
// There is no vpdpbusd. vpmaddubsw multiplies unsigned by signed bytes but adds neighbours to 16 bits with saturation,
// so 255 * 127 * 2 would be wrong without a word.
//   4-bit codes: all 8 products of a group fit, 8 * 2 * 15 * 127 = 30480, and are widened once at its end.
//   5- and 6-bit codes: 4 and 2 products fit, 4 * 2 * 31 * 127 = 31496 and 2 * 2 * 63 * 127 = 32004.
//   8-bit codes: centred on zero, their sign moves over to the activation (vpsignb); magnitudes of at most 128 fit,
//                2 * 128 * 127 = 32512, and are widened after each instruction.
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"
#include "tables.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

enum { LANES = 8, HALVES = CK_PANEL / LANES };

CK_TEMPLATE __m256i broadcast_word(const void *word) {
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm256_set1_epi32(value);
}

CK_TEMPLATE __m256 load_f16(const uint8_t *halves) { return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)halves)); }

// output = (sum + bias) or output + (sum + bias). `sums` is [tokens][16 rows].
static void store_rows(const ck_linear *job, int64_t panel, int64_t token, int64_t tokens,
                       __m256 sums[][HALVES]) {
    int64_t row = panel * CK_PANEL;
    int64_t rows = job->rows - row;
    for (int64_t t = 0; t < tokens; t++) {
        float *output = job->output + (token + t) * job->output_stride + row;
        if (rows >= CK_PANEL) {
            for (int h = 0; h < HALVES; h++) {
                __m256 value = sums[t][h];
                if (job->bias) value = _mm256_add_ps(value, _mm256_loadu_ps(job->bias + row + h * LANES));
                if (job->accumulate) value = _mm256_add_ps(_mm256_loadu_ps(output + h * LANES), value);
                _mm256_storeu_ps(output + h * LANES, value);
            }
            continue;
        }
        const float *lanes = (const float *)sums[t];
        for (int64_t r = 0; r < rows; r++) {
            float value = lanes[r];
            if (job->bias) value = value + job->bias[row + r];
            output[r] = job->accumulate ? output[r] + value : value;
        }
    }
}

// MARK: - Quantized

// 8 rows of a group, ready for `dot`.
typedef struct group_codes {
    __m256i magnitudes[8];  // 4 columns a register: the codes (4-bit) or |code - 128| (8-bit)
    __m256i centred[8];     // 8-bit: code - 128
} group_codes;

CK_TEMPLATE group_codes unpack_codes(const ck_layout layout, const uint8_t *codes) {
    const int bits = ck_code_bits(layout);
    group_codes out;
    if (bits == 8) {
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; j++) {
            __m256i bytes = _mm256_load_si256((const __m256i *)(codes + 64 * j));
            out.centred[j] = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
            out.magnitudes[j] = _mm256_abs_epi8(out.centred[j]);
        }
        return out;
    }
    const __m256i nibble = _mm256_set1_epi8(0x0f);
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
        __m256i bytes = _mm256_load_si256((const __m256i *)(codes + 64 * j));
        out.magnitudes[j] = _mm256_and_si256(bytes, nibble);
        out.magnitudes[4 + j] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
        out.centred[j] = out.centred[4 + j] = bytes;  // not read
    }
    if (bits == 4) return out;
    const __m256i mask = _mm256_set1_epi8(bits == 5 ? 0x10 : 0x30);
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
        // Register j's upper bits, moved to bit 4.
        const int at = bits == 5 ? j : 2 * (j % 4);
        const uint8_t *from = codes + CK_UPPER_BITS_AT + (bits == 5 ? 0 : 64 * (j / 4));
        __m256i upper = _mm256_load_si256((const __m256i *)from);
        upper = at < 4 ? _mm256_slli_epi16(upper, 4 - at) : _mm256_srli_epi16(upper, at - 4);
        out.magnitudes[j] = _mm256_or_si256(out.magnitudes[j], _mm256_and_si256(upper, mask));
    }
    return out;
}

// What one group of 8 rows multiplies its integer sums by: two scales where halves of the group have their own.
typedef struct group_factors {
    __m256 scale, scale_high, offset;
} group_factors;

CK_TEMPLATE __m256 load_bytes(const ck_layout layout, const uint8_t *bytes) {
    const __m128i loaded = _mm_loadl_epi64((const __m128i *)bytes);
    return _mm256_cvtepi32_ps(layout == CK_Q6K ? _mm256_cvtepi8_epi32(loaded) : _mm256_cvtepu8_epi32(loaded));
}

// Rows LANES * h … of the panel.
CK_TEMPLATE group_factors load_factors(const ck_layout layout, const uint8_t *super, const uint8_t *pair, int in_pair,
                                       int h) {
    const int lane = h * LANES;
    const uint8_t *scales = pair + ck_scale_at(layout, in_pair) + lane * ck_scale_width(layout);
    const uint8_t *offsets = pair + ck_offset_at(layout, in_pair) + lane * ck_offset_width(layout);
    group_factors factors;
    if (layout == CK_Q6K) {
        const __m256 scale = _mm256_load_ps((const float *)super + lane);
        factors.scale = factors.offset = _mm256_mul_ps(scale, load_bytes(layout, scales));
        factors.scale_high = _mm256_mul_ps(scale, load_bytes(layout, scales + CK_PANEL));
    } else if (ck_is_nested(layout)) {
        factors.scale = factors.scale_high = _mm256_mul_ps(load_f16(super + lane * 2), load_bytes(layout, scales));
        factors.offset = _mm256_mul_ps(load_f16(super + (CK_PANEL + lane) * 2), load_bytes(layout, offsets));
    } else {
        factors.scale = ck_has_wide_scales(layout) ? _mm256_load_ps((const float *)scales) : load_f16(scales);
        factors.scale_high = factors.offset = factors.scale;
        if (ck_has_offsets(layout)) factors.offset = load_f16(offsets);
        if (ck_has_zero_points(layout)) factors.offset = _mm256_mul_ps(factors.scale, factors.offset);
    }
    return factors;
}

// Keeps clang from unpacking the codes anew for each token (linear_avx512.c).
CK_TEMPLATE void pin(__m256i registers[8]) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) __asm__("" : "+x"(registers[j]));
}

// Registers whose products may be added in 16 bits.
CK_TEMPLATE int narrow_products(const ck_layout layout) {
    const int bits = ck_code_bits(layout);
    return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

// The exact products of `count` registers (4 columns each) from `first` on; 8-bit codes count from 128.
CK_TEMPLATE __m256i dot(const ck_layout layout, const group_codes *codes, const int first, const int count,
                        const int8_t *activations) {
    const int narrow = narrow_products(layout) < count ? narrow_products(layout) : count;
    __m256i sum = _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (int begin = first; begin < first + count; begin += narrow) {
        __m256i products = _mm256_setzero_si256();
#pragma clang loop unroll(full)
        for (int j = begin; j < begin + narrow; j++) {
            __m256i activation = broadcast_word(activations + 4 * j);
            if (ck_code_bits(layout) == 8) activation = _mm256_sign_epi8(activation, codes->centred[j]);
            products = _mm256_add_epi16(products, _mm256_maddubs_epi16(codes->magnitudes[j], activation));
        }
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
    }
    return sum;
}

// The same of whole activation codes: 15-bit ones take 128 * (high parts) + (low parts).
CK_TEMPLATE __m256i dot_codes(const ck_layout layout, const ck_activation format, const group_codes *codes,
                              const int first, const int count, const int8_t *activations, const int8_t *low_parts) {
    __m256i high = dot(layout, codes, first, count, activations);
    if (format == CK_ACT_Q8) return high;
    return _mm256_add_epi32(_mm256_slli_epi32(high, 7), dot(layout, codes, first, count, low_parts));
}

CK_TEMPLATE __m256 add_scaled(__m256i dot, __m256 scale, __m256 activation_scale, __m256 sum) {
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(scale, activation_scale), sum);
}

CK_TEMPLATE void quantized_tile(const ck_layout layout, const ck_activation format, const int tokens,
                                const ck_linear *job, const ck_tiles *at) {
    const uint8_t *panel = ck_panel_at(job, layout, at->panel);
    const uint8_t *tile = ck_tile_at(format, job, at->token);
    const int64_t groups = job->columns / CK_GROUP;
    __m256 sums[CK_TILE][HALVES];
    for (int t = 0; t < tokens; t++) sums[t][0] = sums[t][1] = _mm256_setzero_ps();

    for (int64_t group = 0; group < groups; group++) {
        const uint8_t *pair = panel + ck_pair_at(layout, group / 2);
        const uint8_t *super = panel + ck_pair_at(layout, group * CK_GROUP / CK_SUPER_GROUP * CK_SUPER_PAIRS) - CK_SUPER_BYTES;
        const int in_pair = (int)(group % 2);
        const ck_group_block block = ck_block_at(format, tile, tokens, group);
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) {
            const group_factors factors = load_factors(layout, super, pair, in_pair, h);
            group_codes codes = unpack_codes(layout, pair + ck_code_at(layout, in_pair) + h * LANES * 4);
            if (tokens > 1) pin(codes.magnitudes);
#pragma clang loop unroll(full)
            for (int t = 0; t < tokens; t++) {
                const int8_t *activations = block.codes + t * CK_GROUP;
                const int8_t *low_parts = block.low + t * CK_GROUP;
                const __m256 activation_scale = _mm256_set1_ps(block.scale[t]);
                __m256 sum = sums[t][h];
                // Symmetric codes count from their zero code, affine ones from 0; `dot` counts from 0, or 128 if they
                // have 8 bits. The activations' zero points are made for a code of 8.
                const int32_t centre = ck_zero_code(layout) / 8 - (ck_code_bits(layout) == 8 ? 16 : 0);
                if (ck_scale_columns(layout) == 16) {
                    __m256i low = dot_codes(layout, format, &codes, 0, 4, activations, low_parts);
                    __m256i high = dot_codes(layout, format, &codes, 4, 4, activations, low_parts);
                    low = _mm256_add_epi32(low, _mm256_set1_epi32(centre * block.zero_low[t]));
                    high = _mm256_add_epi32(high, _mm256_set1_epi32(centre * block.zero_high[t]));
                    sum = add_scaled(low, factors.scale, activation_scale, sum);
                    sum = add_scaled(high, factors.scale_high, activation_scale, sum);
                } else {
                    __m256i products = dot_codes(layout, format, &codes, 0, 8, activations, low_parts);
                    if (centre != 0) {
                        const int32_t zeros = block.zero_low[t] + block.zero_high[t];
                        products = _mm256_add_epi32(products, _mm256_set1_epi32(centre * zeros));
                    }
                    sum = add_scaled(products, factors.scale, activation_scale, sum);
                    if (ck_has_offsets(layout)) {
                        sum = _mm256_fmadd_ps(factors.offset, _mm256_set1_ps(block.scaled_sum[t]), sum);
                    }
                }
                sums[t][h] = sum;
            }
        }
    }
    store_rows(job, at->panel, at->token, tokens, sums);
}

#include "quantized_linear.h"

// MARK: - Floating point

// 4 tokens by 16 rows are 8 chains of multiply-adds, what two units of latency 4 need, and 6 tokens still fit 16
// registers: a tile of up to 6 is done at once, a larger one as 4 and the rest.
enum { LARGEST_SUBTILE = 6 };

CK_TEMPLATE __m256 load_column(const ck_layout layout, const uint8_t *panel, int64_t k, int half) {
    if (layout == CK_F16) return load_f16(panel + (k * CK_PANEL + half * LANES) * 2);
    if (layout == CK_F32) return _mm256_load_ps((const float *)panel + k * CK_PANEL + half * LANES);
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(ck_f8_codes(panel, k) + half * LANES));
    // The sign fills the upper byte: of it, and of the shifted magnitude, what an f16 has (ck_f8_to_f16).
    const __m128i shifted = _mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7);
    const __m256 values = _mm256_cvtph_ps(_mm_and_si128(shifted, _mm_set1_epi16((int16_t)0xbfff)));
    return _mm256_mul_ps(values, _mm256_load_ps((const float *)ck_f8_block(panel, k) + half * LANES));
}

CK_TEMPLATE void float_subtile(const ck_layout layout, const int tokens, const ck_linear *job, int64_t panel,
                               int64_t token) {
    const uint8_t *weights = ck_panel_at(job, layout, panel);
    const float *activations = (const float *)job->activations + token * job->columns;
    __m256 sums[LARGEST_SUBTILE][HALVES];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) sums[t][0] = sums[t][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < job->columns; k++) {
        const __m256 top = load_column(layout, weights, k, 0), bottom = load_column(layout, weights, k, 1);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            const __m256 activation = _mm256_set1_ps(activations[t * job->columns + k]);
            sums[t][0] = _mm256_fmadd_ps(top, activation, sums[t][0]);
            sums[t][1] = _mm256_fmadd_ps(bottom, activation, sums[t][1]);
        }
    }
    store_rows(job, panel, token, tokens, sums);
}

// bf16 is the upper half of f32: the even column of a 32-bit pair is shifted up, the odd one is masked.
CK_TEMPLATE __m256 even_column(__m256i pair) { return _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)); }
CK_TEMPLATE __m256 odd_column(__m256i pair) {
    return _mm256_castsi256_ps(_mm256_and_si256(pair, _mm256_set1_epi32((int32_t)0xffff0000)));
}

// Adds the products of the even or the odd columns of `pairs` pairs.
CK_TEMPLATE void add_columns(const bool odd, const int tokens, const uint8_t *weights, const uint16_t *activations,
                             int64_t tile_tokens, int64_t pairs, __m256 totals[][HALVES]) {
    __m256 sums[LARGEST_SUBTILE][HALVES];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) sums[t][0] = totals[t][0], sums[t][1] = totals[t][1];
    for (int64_t pair = 0; pair < pairs; pair++, weights += 64, activations += 2 * tile_tokens) {
        const __m256i top = _mm256_load_si256((const __m256i *)weights);
        const __m256i bottom = _mm256_load_si256((const __m256i *)(weights + 32));
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            __m256i both = broadcast_word(activations + 2 * t);
            // Keeps clang from shifting before it broadcasts: that takes a move from a general register.
            __asm__("" : "+x"(both));
            const __m256 activation = odd ? odd_column(both) : even_column(both);
            sums[t][0] = _mm256_fmadd_ps(odd ? odd_column(top) : even_column(top), activation, sums[t][0]);
            sums[t][1] = _mm256_fmadd_ps(odd ? odd_column(bottom) : even_column(bottom), activation, sums[t][1]);
        }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) totals[t][0] = sums[t][0], totals[t][1] = sums[t][1];
}

// Even and odd columns have sums of their own, added at the end: so one token has 4 chains of multiply-adds, where 2
// would be slower than memory. From 3 tokens on the sums don't fit the registers, and a run of pairs, which stays in the
// cache, is walked twice. `activations` is the subtile's first token in a tile of `tile_tokens`.
enum { LARGEST_RUN = 64 };
CK_TEMPLATE void bf16_subtile(const int tokens, const ck_linear *job, int64_t panel, int64_t token,
                              const uint16_t *activations, int64_t tile_tokens) {
    const uint8_t *weights = ck_panel_at(job, CK_BF16, panel);
    __m256 even[LARGEST_SUBTILE][HALVES], odd[LARGEST_SUBTILE][HALVES];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) even[t][0] = even[t][1] = odd[t][0] = odd[t][1] = _mm256_setzero_ps();
    for (int64_t left = job->columns / 2, run; left > 0; left -= run) {
        run = tokens <= 2 ? 1 : left < LARGEST_RUN ? left : LARGEST_RUN;
        add_columns(false, tokens, weights, activations, tile_tokens, run, even);
        add_columns(true, tokens, weights, activations, tile_tokens, run, odd);
        weights += 64 * run, activations += 2 * tile_tokens * run;
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) even[t][h] = _mm256_add_ps(even[t][h], odd[t][h]);
    }
    store_rows(job, panel, token, tokens, even);
}

#include "float_linear.h"

#pragma clang attribute pop

// MARK: - Table

void ck_fill_linear_avx2(ck_kernels *table) {
    ck_fill_quantized(table);
    ck_fill_float(table);
    table->quantize_q8 = ck_quantize_q8_avx2;
    table->quantize_q16 = ck_quantize_q16_avx2;
    table->convert_bf16 = ck_convert_bf16_avx2;
}
#endif
