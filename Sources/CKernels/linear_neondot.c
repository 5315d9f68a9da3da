// Quantized linear kernels for NEON with the dot-product extension (FEAT_DotProd, ARMv8.2): the arithmetic of
// linear_avx512.c, to the bit, 4 rows at a time.
//
// sdot adds the products of 4 signed bytes by 4 signed bytes to each 32-bit lane, exactly. A register of codes holds 4
// columns of 4 rows, and the activations of 16 columns lie in one register, of which an instruction names a quarter.
// Codes of 4 to 6 bits are signed as they are; of 8-bit ones the top bit is flipped, so they count from 128.
#include "tables.h"

#if defined(__aarch64__)
#include "neon.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

enum { SUPER_GROUPS = CK_SUPER_GROUP / CK_GROUP };

// 4 rows of a group, 4 columns a register.
CK_TEMPLATE void unpack_codes(const ck_layout layout, const uint8_t *codes, int8x16_t out[8]) {
    const int bits = ck_code_bits(layout);
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
        if (bits == 8) {
            out[j] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + 64 * j), vdupq_n_u8(0x80)));
            continue;
        }
        uint8x16_t code = vld1q_u8(codes + 64 * (j % 4));
        code = j < 4 ? vandq_u8(code, vdupq_n_u8(0x0f)) : vshrq_n_u8(code, 4);
        if (bits > 4) {
            // The upper bits, moved to bit 4.
            const int at = bits == 5 ? j : 2 * (j % 4);
            const uint8x16_t upper = vld1q_u8(codes + CK_UPPER_BITS_AT + (bits == 5 ? 0 : 64 * (j / 4)));
            const uint8x16_t moved = vshlq_u8(upper, vdupq_n_s8((int8_t)(4 - at)));
            code = vorrq_u8(code, vandq_u8(moved, vdupq_n_u8(bits == 5 ? 0x10 : 0x30)));
        }
        out[j] = vreinterpretq_s8_u8(code);
    }
}

// What one group of 4 rows multiplies its integer sums by: two scales where halves of the group have their own.
typedef struct group_factors {
    float32x4_t scale, scale_high, offset;
} group_factors;

CK_TEMPLATE float32x4_t load_bytes(const ck_layout layout, const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    const uint8x8_t loaded = vreinterpret_u8_u32(vdup_n_u32(word));
    if (layout == CK_Q6K) return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(loaded)))));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(loaded))));
}

// Rows LANES * quarter … of the panel.
CK_TEMPLATE group_factors load_factors(const ck_layout layout, const uint8_t *super, const uint8_t *pair, int in_pair,
                                       int quarter) {
    const int lane = quarter * LANES;
    const uint8_t *scales = pair + ck_scale_at(layout, in_pair) + lane * ck_scale_width(layout);
    const uint8_t *offsets = pair + ck_offset_at(layout, in_pair) + lane * ck_offset_width(layout);
    group_factors factors;
    if (layout == CK_Q6K) {
        const float32x4_t scale = vld1q_f32((const float *)super + lane);
        factors.scale = factors.offset = vmulq_f32(scale, load_bytes(layout, scales));
        factors.scale_high = vmulq_f32(scale, load_bytes(layout, scales + CK_PANEL));
    } else if (ck_is_nested(layout)) {
        factors.scale = factors.scale_high = vmulq_f32(ck_load_f16(super + lane * 2), load_bytes(layout, scales));
        factors.offset = vmulq_f32(ck_load_f16(super + (CK_PANEL + lane) * 2), load_bytes(layout, offsets));
    } else {
        factors.scale = ck_has_wide_scales(layout) ? vld1q_f32((const float *)scales) : ck_load_f16(scales);
        factors.scale_high = factors.offset = factors.scale;
        if (ck_has_offsets(layout)) factors.offset = ck_load_f16(offsets);
        if (ck_has_zero_points(layout)) factors.offset = vmulq_f32(factors.scale, factors.offset);
    }
    return factors;
}

// Adds four registers' (16 columns') products.
CK_TEMPLATE int32x4_t dot(int32x4_t sum, const int8x16_t codes[4], const int8_t *activations) {
    const int8x16_t activation = vld1q_s8(activations);
    sum = vdotq_laneq_s32(sum, codes[0], activation, 0);
    sum = vdotq_laneq_s32(sum, codes[1], activation, 1);
    sum = vdotq_laneq_s32(sum, codes[2], activation, 2);
    return vdotq_laneq_s32(sum, codes[3], activation, 3);
}

// `registers` times 4 columns' products of whole activation codes: 15-bit ones take 128 * (high parts) + (low parts).
CK_TEMPLATE int32x4_t dot_codes(const ck_activation format, const int8x16_t *codes, const int registers,
                                const int8_t *activations, const int8_t *low_parts) {
    int32x4_t high = vdupq_n_s32(0), low = vdupq_n_s32(0);
#pragma clang loop unroll(full)
    for (int j = 0; j < registers; j += 4) {
        high = dot(high, codes + j, activations + 4 * j);
        if (format == CK_ACT_Q16) low = dot(low, codes + j, low_parts + 4 * j);
    }
    return format == CK_ACT_Q16 ? vaddq_s32(vshlq_n_s32(high, 7), low) : high;
}

CK_TEMPLATE float32x4_t add_scaled(int32x4_t dot, float32x4_t scale, float32x4_t activation_scale, float32x4_t sum) {
    return vfmaq_f32(sum, vcvtq_f32_s32(dot), vmulq_f32(scale, activation_scale));
}

CK_TEMPLATE void quantized_tile(const ck_layout layout, const ck_activation format, const int tokens,
                                const ck_linear *job, const ck_tiles *at) {
    const uint8_t *panel = ck_panel_at(job, layout, at->panel);
    const uint8_t *tile = ck_tile_at(format, job, at->token);
    const int64_t groups = job->columns / CK_GROUP;
    float32x4_t sums[CK_TILE][QUARTERS];
    for (int t = 0; t < tokens; t++) {
        for (int q = 0; q < QUARTERS; q++) sums[t][q] = vdupq_n_f32(0);
    }
    for (int64_t group = 0; group < groups; group++) {
        const uint8_t *pair = panel + ck_pair_at(layout, group / 2);
        const uint8_t *super = panel + ck_pair_at(layout, group / SUPER_GROUPS * CK_SUPER_PAIRS) - CK_SUPER_BYTES;
        const int in_pair = (int)(group % 2);
        const ck_group_block block = ck_block_at(format, tile, tokens, group);
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) {
            const group_factors factors = load_factors(layout, super, pair, in_pair, q);
            int8x16_t codes[8];
            unpack_codes(layout, pair + ck_code_at(layout, in_pair) + q * LANES * 4, codes);
#pragma clang loop unroll(full)
            for (int t = 0; t < tokens; t++) {
                const int8_t *activations = block.codes + t * CK_GROUP;
                const int8_t *low_parts = block.low + t * CK_GROUP;
                const float32x4_t activation_scale = vdupq_n_f32(block.scale[t]);
                float32x4_t sum = sums[t][q];
                // Symmetric codes count from their zero code, affine ones from 0; `dot` counts from 0, or 128 if they
                // have 8 bits. The activations' zero points are made for a code of 8.
                const int32_t centre = ck_zero_code(layout) / 8 - (ck_code_bits(layout) == 8 ? 16 : 0);
                if (ck_scale_columns(layout) == 16) {
                    int32x4_t low = dot_codes(format, codes, 4, activations, low_parts);
                    int32x4_t high = dot_codes(format, codes + 4, 4, activations + 16, low_parts + 16);
                    low = vaddq_s32(low, vdupq_n_s32(centre * block.zero_low[t]));
                    high = vaddq_s32(high, vdupq_n_s32(centre * block.zero_high[t]));
                    sum = add_scaled(low, factors.scale, activation_scale, sum);
                    sum = add_scaled(high, factors.scale_high, activation_scale, sum);
                } else {
                    int32x4_t products = dot_codes(format, codes, 8, activations, low_parts);
                    if (centre != 0) {
                        const int32_t zeros = block.zero_low[t] + block.zero_high[t];
                        products = vaddq_s32(products, vdupq_n_s32(centre * zeros));
                    }
                    sum = add_scaled(products, factors.scale, activation_scale, sum);
                    if (ck_has_offsets(layout)) {
                        sum = vfmaq_f32(sum, factors.offset, vdupq_n_f32(block.scaled_sum[t]));
                    }
                }
                sums[t][q] = sum;
            }
        }
    }
    ck_store_rows(job, at->panel, at->token, tokens, sums);
}

#include "quantized_linear.h"

#pragma clang attribute pop

void ck_fill_linear_neondot(ck_kernels *table) { ck_fill_quantized(table); }
#endif
