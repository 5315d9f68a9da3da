// Quantized linear kernels for NEON with the dot-product extension (FEAT_DotProd, ARMv8.2): the arithmetic of
// linear_avx512.c, to the bit, 4 rows at a time.
//
// sdot adds the products of 4 signed bytes by 4 signed bytes to each 32-bit lane, exactly. A register of codes holds 4
// columns of 4 rows, and the activations of 16 columns lie in one register, of which an instruction names a quarter.
// 4-bit codes are signed as they are; of 8-bit ones the top bit is flipped, so they count from 128.
#include "tables.h"

#if defined(__aarch64__)
#include "neon.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

// 4 rows of a group, 4 columns a register.
CK_TEMPLATE void unpack_codes(const ck_layout layout, const uint8_t *codes, int8x16_t out[8]) {
    if (ck_is_four_bit(layout)) {
#pragma clang loop unroll(full)
        for (int j = 0; j < 4; j++) {
            uint8x16_t bytes = vld1q_u8(codes + 64 * j);
            out[j] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(0x0f)));
            out[4 + j] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
        }
    } else {
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; j++) {
            out[j] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + 64 * j), vdupq_n_u8(0x80)));
        }
    }
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
        const uint8_t *pair = panel + group / 2 * ck_pair_bytes(layout);
        const int in_pair = (int)(group % 2);
        const ck_group_block block = ck_block_at(format, tile, tokens, group);
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) {
            const uint8_t *scales = pair + ck_scale_at(layout, in_pair) + q * LANES * 2;
            const float32x4_t scale = ck_load_f16(scales);
            float32x4_t scale_high = scale, offset = scale;
            if (layout == CK_Q8S16) scale_high = ck_load_f16(scales + CK_PANEL * 2);
            if (ck_has_offsets(layout)) offset = ck_load_f16(pair + ck_offset_at(layout, in_pair) + q * LANES * 2);
            int8x16_t codes[8];
            unpack_codes(layout, pair + ck_code_at(layout, in_pair) + q * LANES * 4, codes);
#pragma clang loop unroll(full)
            for (int t = 0; t < tokens; t++) {
                const int8_t *activations = block.codes + t * CK_GROUP;
                const int8_t *low_parts = block.low + t * CK_GROUP;
                const float32x4_t activation_scale = vdupq_n_f32(block.scale[t]);
                float32x4_t sum = sums[t][q];
                if (layout == CK_Q8S16) {
                    int32x4_t first = dot_codes(format, codes, 4, activations, low_parts);
                    int32x4_t last = dot_codes(format, codes + 4, 4, activations + 16, low_parts + 16);
                    sum = add_scaled(first, scale, activation_scale, sum);
                    sums[t][q] = add_scaled(last, scale_high, activation_scale, sum);
                    continue;
                }
                int32x4_t products = dot_codes(format, codes, 8, activations, low_parts);
                // Symmetric codes count from 8 or 128, affine ones from 0; `dot` counts from 0 or 128.
                const int32_t zeros = block.zero_low[t] + block.zero_high[t];
                if (layout == CK_Q4S) products = vaddq_s32(products, vdupq_n_s32(zeros));
                if (layout == CK_Q8A) products = vsubq_s32(products, vdupq_n_s32(16 * zeros));
                sum = add_scaled(products, scale, activation_scale, sum);
                if (ck_has_offsets(layout)) sum = vfmaq_f32(sum, offset, vdupq_n_f32(block.scaled_sum[t]));
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
