// Floating-point linear kernels for NEON: 4 tokens by 16 rows are 16 chains of multiply-adds, what four units of
// latency 4 need, and up to 6 tokens leave 8 of the 32 registers for operands. The quantized kernels are in
// linear_neondot.c, as not every arm64 CPU can run them.
#include "tables.h"

#if defined(__aarch64__)
#include "neon.h"

#pragma STDC FP_CONTRACT OFF

enum { LARGEST_SUBTILE = 6 };

CK_TEMPLATE float32x4_t load_column(const ck_layout layout, const uint8_t *panel, int64_t k, int quarter) {
    if (layout == CK_F16) return ck_load_f16(panel + (k * CK_PANEL + quarter * LANES) * 2);
    if (layout == CK_F32) return vld1q_f32((const float *)panel + k * CK_PANEL + quarter * LANES);
    uint32_t word;
    memcpy(&word, ck_f8_codes(panel, k) + quarter * LANES, sizeof word);
    // The sign fills the upper byte: of it, and of the shifted magnitude, what an f16 has (ck_f8_to_f16).
    const int16x4_t codes = vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(word))));
    const uint16x4_t halves = vand_u16(vreinterpret_u16_s16(vshl_n_s16(codes, 7)), vdup_n_u16(0xbfff));
    const float32x4_t scale = vld1q_f32((const float *)ck_f8_block(panel, k) + quarter * LANES);
    return vmulq_f32(vcvt_f32_f16(vreinterpret_f16_u16(halves)), scale);
}

CK_TEMPLATE void float_subtile(const ck_layout layout, const int tokens, const ck_linear *job, int64_t panel,
                               int64_t token) {
    const uint8_t *weights = ck_panel_at(job, layout, panel);
    const float *activations = (const float *)job->activations + token * job->columns;
    float32x4_t sums[LARGEST_SUBTILE][QUARTERS];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) sums[t][q] = vdupq_n_f32(0);
    }
    for (int64_t k = 0; k < job->columns; k++) {
        float32x4_t column[QUARTERS];
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) column[q] = load_column(layout, weights, k, q);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            const float32x4_t activation = vdupq_n_f32(activations[t * job->columns + k]);
#pragma clang loop unroll(full)
            for (int q = 0; q < QUARTERS; q++) sums[t][q] = vfmaq_f32(sums[t][q], column[q], activation);
        }
    }
    ck_store_rows(job, panel, token, tokens, sums);
}

// bf16 is the upper half of f32: the even column of a 32-bit pair is shifted up, the odd one is masked.
CK_TEMPLATE float32x4_t even_column(uint32x4_t pair) { return vreinterpretq_f32_u32(vshlq_n_u32(pair, 16)); }
CK_TEMPLATE float32x4_t odd_column(uint32x4_t pair) {
    return vreinterpretq_f32_u32(vandq_u32(pair, vdupq_n_u32(0xffff0000)));
}

// `activations` is the subtile's first token in a tile of `tile_tokens`.
CK_TEMPLATE void bf16_subtile(const int tokens, const ck_linear *job, int64_t panel, int64_t token,
                              const uint16_t *activations, int64_t tile_tokens) {
    const uint32_t *weights = (const uint32_t *)ck_panel_at(job, CK_BF16, panel);
    float32x4_t sums[LARGEST_SUBTILE][QUARTERS];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) sums[t][q] = vdupq_n_f32(0);
    }
    for (int64_t k = 0; k < job->columns; k += 2, weights += CK_PANEL, activations += 2 * tile_tokens) {
        uint32x4_t pairs[QUARTERS];
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) pairs[q] = vld1q_u32(weights + q * LANES);
        // All even columns come first: 4 registers of weights are at work at a time, not 8.
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            const float32x4_t activation = vdupq_n_f32(ck_bf16_to_float(activations[2 * t]));
#pragma clang loop unroll(full)
            for (int q = 0; q < QUARTERS; q++) sums[t][q] = vfmaq_f32(sums[t][q], even_column(pairs[q]), activation);
        }
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            const float32x4_t activation = vdupq_n_f32(ck_bf16_to_float(activations[2 * t + 1]));
#pragma clang loop unroll(full)
            for (int q = 0; q < QUARTERS; q++) sums[t][q] = vfmaq_f32(sums[t][q], odd_column(pairs[q]), activation);
        }
    }
    ck_store_rows(job, panel, token, tokens, sums);
}

#include "float_linear.h"

// MARK: - Table

void ck_fill_linear_neon(ck_kernels *table) {
    ck_fill_float(table);
    table->quantize_q8 = ck_quantize_q8_neon;
    table->quantize_q16 = ck_quantize_q16_neon;
}
#endif
