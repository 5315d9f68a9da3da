// Activations into tiles for NEON: quantize_portable.c's arithmetic, a group in eight registers.
#if defined(__aarch64__)
#include "neon.h"

#pragma STDC FP_CONTRACT OFF

enum { GROUP_VECTORS = CK_GROUP / LANES };

// 32 codes that fit a byte.
CK_TEMPLATE void store_codes(const int32x4_t code[GROUP_VECTORS], int8_t *place) {
    for (int i = 0; i < GROUP_VECTORS; i += 4) {
        int16x8_t first = vcombine_s16(vmovn_s32(code[i]), vmovn_s32(code[i + 1]));
        int16x8_t last = vcombine_s16(vmovn_s32(code[i + 2]), vmovn_s32(code[i + 3]));
        vst1q_s8(place + i * LANES, vcombine_s8(vmovn_s16(first), vmovn_s16(last)));
    }
}

CK_TEMPLATE int32_t sum_of_four(const int32x4_t code[4]) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(code[0], code[1]), vaddq_s32(code[2], code[3])));
}

CK_TEMPLATE void quantize(const ck_activation format, const float *row, int64_t columns, int64_t padded_columns,
                          void *tile, int64_t tile_tokens, int64_t index) {
    for (int64_t group = 0; group < padded_columns / CK_GROUP; group++) {
        const float *values = row + group * CK_GROUP;
        float last[CK_GROUP];
        int64_t valid = columns - group * CK_GROUP;
        if (valid < CK_GROUP) {
            memset(last, 0, sizeof last);
            if (valid > 0) memcpy(last, values, (size_t)valid * sizeof(float));
            values = last;
        }
        float32x4_t value[GROUP_VECTORS];
        uint32x4_t largest_bits = vdupq_n_u32(0);
        for (int i = 0; i < GROUP_VECTORS; i++) {
            value[i] = vld1q_f32(values + i * LANES);
            // Magnitudes compare like their bit patterns.
            largest_bits = vmaxq_u32(largest_bits, vreinterpretq_u32_f32(vabsq_f32(value[i])));
        }
        float largest = ck_float(vmaxvq_u32(largest_bits));
        float inverse_scale = ck_inverse_scale(format, largest);

        int32x4_t code[GROUP_VECTORS];
        for (int i = 0; i < GROUP_VECTORS; i++) {
            // Not a product with 0, of which infinity would make NaN.
            code[i] = inverse_scale == 0 ? vdupq_n_s32(0) : vcvtnq_s32_f32(vmulq_n_f32(value[i], inverse_scale));
        }
        ck_group_block block = ck_block_at(format, tile, tile_tokens, group);
        if (format == CK_ACT_Q16) {
            int32x4_t high[GROUP_VECTORS], low[GROUP_VECTORS];
            for (int i = 0; i < GROUP_VECTORS; i++) {
                high[i] = vrshrq_n_s32(code[i], 7);  // ck_high_part: the shift rounds by adding 64
                low[i] = vsubq_s32(code[i], vshlq_n_s32(high[i], 7));
            }
            store_codes(high, block.codes + index * CK_GROUP);
            store_codes(low, block.low + index * CK_GROUP);
        } else {
            store_codes(code, block.codes + index * CK_GROUP);
        }
        int32_t sum_low = sum_of_four(code), sum_high = sum_of_four(code + 4);
        ck_store_sums(format, block, index, largest, sum_low, sum_high);
    }
}

void ck_quantize_q8_neon(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                         int64_t index) {
    quantize(CK_ACT_Q8, row, columns, padded_columns, tile, tile_tokens, index);
}

void ck_quantize_q16_neon(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                          int64_t index) {
    quantize(CK_ACT_Q16, row, columns, padded_columns, tile, tile_tokens, index);
}
#endif
