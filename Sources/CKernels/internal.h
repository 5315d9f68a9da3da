// What the files of this target share: sizes and offsets of the packed layouts, half-precision conversions, and the
// loop nest of the linear kernels.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

// A function that is a template: its constant arguments fold away, and it takes on the caller's target features.
#define CK_TEMPLATE static inline __attribute__((always_inline))

// MARK: - Layout geometry

CK_TEMPLATE bool ck_is_quantized(ck_layout layout) { return layout <= CK_Q6K; }
// Group scales are integer factors of a scale that 256 columns share.
CK_TEMPLATE bool ck_is_nested(ck_layout layout) { return layout >= CK_Q4K && layout <= CK_Q6K; }
CK_TEMPLATE int ck_code_bits(ck_layout layout) {
    switch (layout) {
        case CK_Q4S: case CK_Q4A: case CK_Q4Z: case CK_Q4W: case CK_Q4K: return 4;
        case CK_Q5K: return 5;
        case CK_Q6K: return 6;
        default: return 8;
    }
}
// Scales in f32.
CK_TEMPLATE bool ck_has_wide_scales(ck_layout layout) { return layout == CK_Q4W || layout == CK_Q8W; }
// Offsets that are added to the codes, before the scale multiplies them.
CK_TEMPLATE bool ck_has_zero_points(ck_layout layout) {
    return layout == CK_Q4Z || layout == CK_Q8Z || ck_has_wide_scales(layout);
}
CK_TEMPLATE bool ck_has_offsets(ck_layout layout) {
    return layout == CK_Q4A || layout == CK_Q8A || layout == CK_Q4K || layout == CK_Q5K || ck_has_zero_points(layout);
}
// The code of the weight 0 in a symmetric layout; 0 for the others.
CK_TEMPLATE int ck_zero_code(ck_layout layout) {
    return layout == CK_Q4S ? 8 : layout == CK_Q6K ? 32 : layout == CK_Q8S ? 128 : 0;
}
// Columns that share a weight scale: half a group or a whole one.
CK_TEMPLATE int ck_scale_columns(ck_layout layout) { return layout == CK_Q6K ? 16 : 32; }

// Byte offsets inside a pair, which covers 64 columns of 16 rows; `group` is 0 or 1. Scales (or their factors) come first.
enum { CK_PAIR_COLUMNS = 2 * CK_GROUP };
// Bytes of a scale and of an offset, or of their integer factors.
CK_TEMPLATE int ck_scale_width(ck_layout layout) {
    return ck_is_nested(layout) ? 1 : ck_has_wide_scales(layout) ? 4 : 2;
}
CK_TEMPLATE int ck_offset_width(ck_layout layout) { return ck_is_nested(layout) ? 1 : 2; }
CK_TEMPLATE int ck_scale_bytes(ck_layout layout) {
    return CK_PAIR_COLUMNS / ck_scale_columns(layout) * CK_PANEL * ck_scale_width(layout);
}
CK_TEMPLATE int ck_scale_at(ck_layout layout, int group) { return group * (ck_scale_bytes(layout) / 2); }
CK_TEMPLATE int ck_offset_at(ck_layout layout, int group) {
    return ck_scale_bytes(layout) + group * CK_PANEL * ck_offset_width(layout);
}
CK_TEMPLATE int ck_group_code_bytes(ck_layout layout) { return CK_GROUP * CK_PANEL * ck_code_bits(layout) / 8; }
CK_TEMPLATE int ck_code_at(ck_layout layout, int group) {
    return ck_offset_at(layout, ck_has_offsets(layout) ? 2 : 0) + group * ck_group_code_bytes(layout);
}
CK_TEMPLATE int ck_pair_bytes(ck_layout layout) { return ck_code_at(layout, 2); }
// Of 5- and 6-bit codes: where the upper bits of a group start, after its nibbles.
enum { CK_UPPER_BITS_AT = CK_GROUP * CK_PANEL / 2 };

// In front of every four pairs of a nested layout: the super group's scales (and offsets), one cache line.
enum { CK_SUPER_PAIRS = CK_SUPER_GROUP / CK_PAIR_COLUMNS, CK_SUPER_BYTES = 64 };
// Where pair `pair` of a panel starts.
CK_TEMPLATE int64_t ck_pair_at(ck_layout layout, int64_t pair) {
    int64_t supers = ck_is_nested(layout) ? pair / CK_SUPER_PAIRS + 1 : 0;
    return supers * CK_SUPER_BYTES + pair * ck_pair_bytes(layout);
}

// Of an f8 panel: bytes of a block, and where a column's codes lie.
enum { CK_F8_COLUMNS = 128, CK_F8_SCALE_BYTES = CK_PANEL * 4, CK_F8_BYTES = CK_F8_SCALE_BYTES + CK_F8_COLUMNS * CK_PANEL };
CK_TEMPLATE const uint8_t *ck_f8_block(const uint8_t *panel, int64_t column) {
    return panel + column / CK_F8_COLUMNS * CK_F8_BYTES;
}
CK_TEMPLATE const uint8_t *ck_f8_codes(const uint8_t *panel, int64_t column) {
    return ck_f8_block(panel, column) + CK_F8_SCALE_BYTES + column % CK_F8_COLUMNS * CK_PANEL;
}

// One group of a q8 or q16 activation tile that holds `tokens` tokens.
typedef struct ck_group_block {
    int8_t *codes;        // [tokens][32]; of q16 the high parts
    int8_t *low;          // [tokens][32], q16 only: the low parts, code = 128 * high + low
    float *scale;         // [tokens], and so are the rest
    int32_t *zero_low;    // -8 * sum of the first 16 codes
    int32_t *zero_high;   // -8 * sum of the last 16 codes
    float *scaled_sum;
} ck_group_block;

CK_TEMPLATE int ck_block_bytes(ck_activation format) { return format == CK_ACT_Q16 ? CK_Q16_BLOCK : CK_Q8_BLOCK; }

CK_TEMPLATE ck_group_block ck_block_at(ck_activation format, const void *tile, int64_t tokens, int64_t group) {
    uint8_t *block = (uint8_t *)tile + group * tokens * ck_block_bytes(format);
    uint8_t *low = block + tokens * CK_GROUP;
    uint8_t *sums = format == CK_ACT_Q16 ? low + tokens * CK_GROUP : low;
    return (ck_group_block){(int8_t *)block, (int8_t *)low, (float *)sums, (int32_t *)sums + tokens,
                            (int32_t *)sums + 2 * tokens, (float *)sums + 3 * tokens};
}

// MARK: - Activation quantization

// The code of a group's largest magnitude. 16319 = 127 * 128 + 63 is the largest whose high part fits a byte.
CK_TEMPLATE float ck_largest_code(ck_activation format) { return format == CK_ACT_Q16 ? 16319.0f : 127.0f; }

// largest code / largest value, the factor that turns a group's values into codes; 0, so that all codes are 0, where that
// factor would overflow (a group this small counts as zero) and where `largest` is infinite or NaN (its scale, largest
// value / largest code, then carries that into the output).
CK_TEMPLATE float ck_inverse_scale(ck_activation format, float largest) {
    return largest > 0x1p-100f && largest < __builtin_inff() ? ck_largest_code(format) / largest : 0.0f;
}

// What a token's group holds besides its codes: their scale, from the largest magnitude, and the sums of its two halves.
CK_TEMPLATE void ck_store_sums(ck_activation format, ck_group_block block, int64_t index, float largest,
                               int32_t sum_low, int32_t sum_high) {
    const float scale = largest / ck_largest_code(format);
    block.scale[index] = scale;
    block.zero_low[index] = -8 * sum_low;
    block.zero_high[index] = -8 * sum_high;
    block.scaled_sum[index] = scale * (float)(sum_low + sum_high);
}

// The high part of a 15-bit code, rounded so that the low part, code - 128 * high, is in [-64, 63].
CK_TEMPLATE int32_t ck_high_part(int32_t code) { return (code + 64) >> 7; }

// MARK: - Half precision (IEEE binary16 and bfloat16), rounding to nearest even

CK_TEMPLATE uint32_t ck_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

CK_TEMPLATE float ck_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

CK_TEMPLATE float ck_bf16_to_float(uint16_t half) { return ck_float((uint32_t)half << 16); }

CK_TEMPLATE uint16_t ck_float_to_bf16(float value) {
    uint32_t bits = ck_bits(value);
    bool is_nan = (bits & 0x7fffffff) > 0x7f800000;  // rounding could turn its payload into infinity
    uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
    return (uint16_t)((is_nan ? bits | 0x400000 : rounded) >> 16);
}

CK_TEMPLATE float ck_f16_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;           // exponent and mantissa where f32 has them
    uint32_t normal = magnitude + ((127 - 15) << 23);               // exponent bias 15 -> 127
    uint32_t special = magnitude | 0x7f800000;                      // infinity, NaN
    uint32_t tiny = ck_bits((float)(half & 0x3ff) * 0x1p-24f);      // zero, subnormal
    uint32_t exponent = half & 0x7c00;
    return ck_float(sign | (exponent == 0 ? tiny : exponent == 0x7c00 ? special : normal));
}

CK_TEMPLATE uint16_t ck_float_to_f16(float value) {
    uint32_t bits = ck_bits(value);
    uint32_t sign = (bits >> 16) & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    // Normal results: rebias the exponent (mod 2^32), and round away the lower 13 bits of the mantissa.
    uint32_t normal = (magnitude - ((127 - 15) << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    // Subnormal ones are multiples of 2^-24, which is the unit in the last place of 0.5: adding 0.5 rounds to it.
    uint32_t tiny = ck_bits(ck_float(magnitude) + 0.5f) - ck_bits(0.5f);
    uint32_t result = magnitude < ck_bits(0x1p-14f) ? tiny : normal;
    result = magnitude >= ck_bits(65520.0f) ? 0x7c00 : result;  // rounds beyond 65504
    result = magnitude > 0x7f800000 ? 0x7e00 : result;          // NaN
    return (uint16_t)(sign | result);
}

// e4m3 has f16's fields with fewer bits, and a bias that is 8 less: the f16 with these bits is the code's value / 256.
// (The code for NaN isn't one here; whoever packs it gives it a scale that is NaN.)
CK_TEMPLATE uint16_t ck_f8_to_f16(uint8_t code) { return (uint16_t)((code & 0x80) << 8 | (code & 0x7f) << 7); }

// MARK: - Linear kernels

// The loop nest around every linear kernel (linear.c), as a walk from tile to tile:
//     ck_tiles at = ck_first_tile(job, begin, end, format, 1);
//     while (ck_next_tile(&at)) …
typedef struct ck_tiles {
    int64_t panel, panels;  // this tile's panels: up to panel_step
    int64_t token, tokens;  // and tokens: up to CK_TILE, from a multiple of CK_TILE on
    int64_t panel_begin, panel_end, panel_step;
    int64_t token_end;
    int64_t block_begin, block_end, block_tokens;
} ck_tiles;

ck_tiles ck_first_tile(const ck_linear *job, int64_t panel_begin, int64_t panel_end, ck_activation format,
                       int64_t panel_step);
bool ck_next_tile(ck_tiles *at);

// Bytes of a panel of `columns` padded columns.
CK_TEMPLATE int64_t ck_padded_panel_bytes(ck_layout layout, int64_t columns) {
    if (layout == CK_F8) return (columns + CK_F8_COLUMNS - 1) / CK_F8_COLUMNS * CK_F8_BYTES;
    if (!ck_is_quantized(layout)) return columns * CK_PANEL * (layout == CK_F32 ? 4 : 2);
    int64_t last = columns / CK_PAIR_COLUMNS - 1;
    return last < 0 ? 0 : ck_pair_at(layout, last) + ck_pair_bytes(layout);
}
// Weights of a panel; activations of the tile that starts at `token`.
CK_TEMPLATE const uint8_t *ck_panel_at(const ck_linear *job, ck_layout layout, int64_t panel) {
    return (const uint8_t *)job->weights + panel * ck_padded_panel_bytes(layout, job->columns);
}
CK_TEMPLATE const uint8_t *ck_tile_at(ck_activation format, const ck_linear *job, int64_t token) {
    return (const uint8_t *)job->activations + token * (job->columns / CK_GROUP * ck_block_bytes(format));
}

// MARK: - Functions of other files that tables point to

typedef void ck_activation_writer(const float *row, int64_t columns, int64_t padded_columns, void *tile,
                                  int64_t tile_tokens, int64_t index);
ck_activation_writer ck_quantize_q8_portable, ck_quantize_q16_portable, ck_convert_bf16_portable;
#if defined(__x86_64__)
ck_activation_writer ck_quantize_q8_avx2, ck_quantize_q16_avx2, ck_convert_bf16_avx2;
ck_activation_writer ck_quantize_q8_avx512, ck_quantize_q16_avx512;
// The part of the AVX-512 table that needs AVX512_BF16 besides.
void ck_fill_linear_avx512bf16(ck_kernels *table);
void ck_fill_linear_avx512f8(ck_kernels *table);  // and this AVX512_VBMI, too
#elif defined(__aarch64__)
ck_activation_writer ck_quantize_q8_neon, ck_quantize_q16_neon;
#endif
