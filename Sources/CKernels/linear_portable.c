// Linear kernels in plain C: the reference for the other instruction sets and the fallback where there is none of them.
//
// Loops over the 16 rows of a panel are innermost, so that any compiler can vectorize them. A multiply-add is two
// rounded operations here: fmaf would be a function call on the machines that need this file.
#include "internal.h"
#include "tables.h"

#pragma STDC FP_CONTRACT OFF

typedef float tile_sums[CK_TILE][CK_PANEL];

static void store_tile(const ck_linear *job, int64_t panel, int64_t token, int64_t tokens, tile_sums sums) {
    int64_t row = panel * CK_PANEL;
    int64_t rows = job->rows - row < CK_PANEL ? job->rows - row : CK_PANEL;
    for (int64_t t = 0; t < tokens; t++) {
        float *output = job->output + (token + t) * job->output_stride + row;
        for (int64_t r = 0; r < rows; r++) {
            float value = sums[t][r];
            if (job->bias) value = value + job->bias[row + r];
            output[r] = job->accumulate ? output[r] + value : value;
        }
    }
}

// MARK: - Quantized

// One group's codes as [32 columns][16 rows].
CK_TEMPLATE void unpack_codes(const ck_layout layout, const uint8_t *codes, int16_t out[CK_GROUP][CK_PANEL]) {
    const int bits = ck_code_bits(layout);
    const uint8_t *upper = codes + CK_UPPER_BITS_AT;
    for (int k = 0; k < CK_GROUP; k++) {
        const int vector = k / 4, shift = k < 16 ? 0 : 4;
        for (int r = 0; r < CK_PANEL; r++) {
            const int byte = 4 * r + k % 4;
            int code = bits == 8 ? codes[64 * vector + byte] : codes[64 * (vector % 4) + byte] >> shift & 15;
            if (bits == 5) code |= (upper[byte] >> vector & 1) << 4;
            if (bits == 6) code |= (upper[64 * (vector / 4) + byte] >> 2 * (vector % 4) & 3) << 4;
            out[k][r] = (int16_t)code;
        }
    }
}

// What one group of a panel multiplies its integer sums by: two scales where halves of the group have their own.
typedef struct group_factors {
    float scale[2][CK_PANEL], offset[CK_PANEL];
} group_factors;

CK_TEMPLATE group_factors load_factors(const ck_layout layout, const uint8_t *super, const uint8_t *pair, int half) {
    group_factors factors;
    const uint8_t *scales = pair + ck_scale_at(layout, half), *offsets = pair + ck_offset_at(layout, half);
    for (int r = 0; r < CK_PANEL; r++) {
        factors.offset[r] = 0;
        if (layout == CK_Q6K) {
            for (int i = 0; i < 2; i++) {
                factors.scale[i][r] = ((const float *)super)[r] * (float)(int8_t)scales[i * CK_PANEL + r];
            }
        } else if (ck_is_nested(layout)) {
            const uint16_t *halves = (const uint16_t *)super;
            factors.scale[0][r] = factors.scale[1][r] = ck_f16_to_float(halves[r]) * (float)scales[r];
            factors.offset[r] = ck_f16_to_float(halves[CK_PANEL + r]) * (float)offsets[r];
        } else {
            factors.scale[0][r] = ck_has_wide_scales(layout) ? ((const float *)scales)[r]
                                                             : ck_f16_to_float(((const uint16_t *)scales)[r]);
            factors.scale[1][r] = factors.scale[0][r];
            if (ck_has_offsets(layout)) factors.offset[r] = ck_f16_to_float(((const uint16_t *)offsets)[r]);
            if (ck_has_zero_points(layout)) factors.offset[r] *= factors.scale[0][r];
        }
    }
    return factors;
}

// Adds 16 columns' products with whole activation codes.
CK_TEMPLATE void dot(const ck_activation format, const int16_t weights[16][CK_PANEL], const int8_t *activations,
                     const int8_t *low_parts, int32_t sums[CK_PANEL]) {
    for (int k = 0; k < 16; k++) {
        const int16_t code = (int16_t)(format == CK_ACT_Q16 ? 128 * activations[k] + low_parts[k] : activations[k]);
        for (int r = 0; r < CK_PANEL; r++) sums[r] += code * weights[k][r];
    }
}

CK_TEMPLATE void quantized_tile(const ck_layout layout, const ck_activation format, const int tokens,
                                const ck_linear *job, const ck_tiles *at) {
    const int64_t panel = at->panel, token = at->token;
    const uint8_t *pair = ck_panel_at(job, layout, panel), *super = pair;
    const uint8_t *tile = ck_tile_at(format, job, token);
    // The activations' zero points are made for a code of 8.
    const int32_t centre = ck_zero_code(layout) / 8;
    tile_sums sums = {{0}};
    for (int64_t group = 0; group < job->columns / CK_GROUP; group++) {
        int half = group % 2;
        if (ck_is_nested(layout) && group % (2 * CK_SUPER_PAIRS) == 0) {
            super = pair;
            pair += CK_SUPER_BYTES;
        }
        int16_t codes[CK_GROUP][CK_PANEL];
        unpack_codes(layout, pair + ck_code_at(layout, half), codes);
        const group_factors factors = load_factors(layout, super, pair, half);
        ck_group_block block = ck_block_at(format, tile, tokens, group);
        for (int64_t t = 0; t < tokens; t++) {
            const int8_t *activations = block.codes + t * CK_GROUP;
            const int8_t *low_parts = block.low + t * CK_GROUP;
            int32_t low[CK_PANEL], high[CK_PANEL];
            for (int r = 0; r < CK_PANEL; r++) low[r] = centre * block.zero_low[t];
            for (int r = 0; r < CK_PANEL; r++) high[r] = centre * block.zero_high[t];
            dot(format, codes, activations, low_parts, low);
            dot(format, codes + 16, activations + 16, low_parts + 16, high);
            float activation_scale = block.scale[t], scaled_sum = block.scaled_sum[t];
            for (int r = 0; r < CK_PANEL; r++) {
                if (ck_scale_columns(layout) == 16) {
                    sums[t][r] += (float)low[r] * (factors.scale[0][r] * activation_scale);
                    sums[t][r] += (float)high[r] * (factors.scale[1][r] * activation_scale);
                } else {
                    sums[t][r] += (float)(low[r] + high[r]) * (factors.scale[0][r] * activation_scale);
                }
                if (ck_has_offsets(layout)) sums[t][r] += factors.offset[r] * scaled_sum;
            }
        }
        if (half == 1) pair += ck_pair_bytes(layout);
    }
    store_tile(job, panel, token, tokens, sums);
}

#include "quantized_linear.h"

// MARK: - Floating point

static void bf16_tile(const ck_linear *job, int64_t panel, int64_t token, int64_t tokens) {
    const uint16_t *weights = (const uint16_t *)ck_panel_at(job, CK_BF16, panel);
    const uint16_t *activations = (const uint16_t *)job->activations + token * job->columns;
    tile_sums sums = {{0}};
    for (int64_t k = 0; k < job->columns; k += 2, weights += 2 * CK_PANEL, activations += 2 * tokens) {
        for (int64_t t = 0; t < tokens; t++) {
            float even = ck_bf16_to_float(activations[2 * t]), odd = ck_bf16_to_float(activations[2 * t + 1]);
            for (int r = 0; r < CK_PANEL; r++) {
                sums[t][r] += ck_bf16_to_float(weights[2 * r]) * even;
                sums[t][r] += ck_bf16_to_float(weights[2 * r + 1]) * odd;
            }
        }
    }
    store_tile(job, panel, token, tokens, sums);
}

CK_TEMPLATE void float_tile(const ck_layout layout, const ck_linear *job, int64_t panel, int64_t token,
                            int64_t tokens) {
    const uint8_t *weights = ck_panel_at(job, layout, panel);
    const float *activations = (const float *)job->activations + token * job->columns;
    tile_sums sums = {{0}};
    for (int64_t k = 0; k < job->columns; k++) {
        float column[CK_PANEL];
        for (int r = 0; r < CK_PANEL; r++) {
            if (layout == CK_F8) {
                const float scale = ((const float *)ck_f8_block(weights, k))[r];
                column[r] = ck_f16_to_float(ck_f8_to_f16(ck_f8_codes(weights, k)[r])) * scale;
            } else {
                column[r] = layout == CK_F16 ? ck_f16_to_float(((const uint16_t *)weights)[k * CK_PANEL + r])
                                             : ((const float *)weights)[k * CK_PANEL + r];
            }
        }
        for (int64_t t = 0; t < tokens; t++) {
            float activation = activations[t * job->columns + k];
            for (int r = 0; r < CK_PANEL; r++) sums[t][r] += column[r] * activation;
        }
    }
    store_tile(job, panel, token, tokens, sums);
}

static void linear_bf16(const ck_linear *job, int64_t begin, int64_t end) {
    ck_tiles at = ck_first_tile(job, begin, end, CK_ACT_BF16, 1);
    while (ck_next_tile(&at)) bf16_tile(job, at.panel, at.token, at.tokens);
}

CK_TEMPLATE void float_linear(const ck_layout layout, const ck_linear *job, int64_t begin, int64_t end) {
    ck_tiles at = ck_first_tile(job, begin, end, CK_ACT_F32, 1);
    while (ck_next_tile(&at)) float_tile(layout, job, at.panel, at.token, at.tokens);
}

static void linear_f16(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F16, job, begin, end); }
static void linear_f32(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F32, job, begin, end); }
static void linear_f8(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F8, job, begin, end); }

// MARK: - Table

void ck_fill_linear_portable(ck_kernels *table) {
    ck_fill_quantized(table);
    table->linear[CK_BF16] = linear_bf16;
    table->linear[CK_F16] = linear_f16;
    table->linear[CK_F32] = linear_f32;
    table->linear[CK_F8] = linear_f8;
    table->quantize_q8 = ck_quantize_q8_portable;
    table->quantize_q16 = ck_quantize_q16_portable;
    table->convert_bf16 = ck_convert_bf16_portable;
}
