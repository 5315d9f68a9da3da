// Activations into the tiles that the linear kernels read: int8 codes with a scale per 32 values, or bfloat16 pairs.
//
// The largest magnitude is found by comparing bit patterns as integers, which orders NaN above infinity above all
// finite values: a group that holds a NaN gets the scale NaN, and the fault shows in the token's output and in no
// other's.
#include "internal.h"

#pragma STDC FP_CONTRACT OFF

// Rounds |value| < 2^22 to the nearest integer, ties to even: at 1.5 * 2^23 the unit in the last place is 1.
CK_TEMPLATE int32_t round_to_int(float value) {
    return (int32_t)(ck_bits(value + 0x1.8p23f) - ck_bits(0x1.8p23f));
}

CK_TEMPLATE void quantize(const ck_activation format, const float *row, int64_t columns, int64_t padded_columns,
                          void *tile, int64_t tile_tokens, int64_t index) {
    for (int64_t group = 0; group < padded_columns / CK_GROUP; group++) {
        float values[CK_GROUP] = {0};
        int64_t valid = columns - group * CK_GROUP;
        if (valid > CK_GROUP) valid = CK_GROUP;
        if (valid > 0) memcpy(values, row + group * CK_GROUP, (size_t)valid * sizeof(float));

        uint32_t largest_bits = 0;
        for (int i = 0; i < CK_GROUP; i++) {
            uint32_t bits = ck_bits(values[i]) & 0x7fffffff;
            if (bits > largest_bits) largest_bits = bits;
        }
        float largest = ck_float(largest_bits);
        float inverse_scale = ck_inverse_scale(format, largest);

        ck_group_block block = ck_block_at(format, tile, tile_tokens, group);
        int8_t *codes = block.codes + index * CK_GROUP;
        int32_t sums[2] = {0, 0};
        for (int i = 0; i < CK_GROUP; i++) {
            int32_t code = inverse_scale == 0 ? 0 : round_to_int(values[i] * inverse_scale);
            if (format == CK_ACT_Q16) {
                codes[i] = (int8_t)ck_high_part(code);
                block.low[index * CK_GROUP + i] = (int8_t)(code - 128 * ck_high_part(code));
            } else {
                codes[i] = (int8_t)code;
            }
            sums[i / 16] += code;
        }
        ck_store_sums(format, block, index, largest, sums[0], sums[1]);
    }
}

void ck_quantize_q8_portable(const float *row, int64_t columns, int64_t padded_columns, void *tile,
                             int64_t tile_tokens, int64_t index) {
    quantize(CK_ACT_Q8, row, columns, padded_columns, tile, tile_tokens, index);
}

void ck_quantize_q16_portable(const float *row, int64_t columns, int64_t padded_columns, void *tile,
                              int64_t tile_tokens, int64_t index) {
    quantize(CK_ACT_Q16, row, columns, padded_columns, tile, tile_tokens, index);
}

void ck_convert_bf16_portable(const float *row, int64_t columns, int64_t padded_columns, void *tile,
                              int64_t tile_tokens, int64_t index) {
    uint16_t *halves = tile;
    for (int64_t k = 0; k < padded_columns; k++) {
        halves[(k / 2 * tile_tokens + index) * 2 + k % 2] = k < columns ? ck_float_to_bf16(row[k]) : 0;
    }
}
