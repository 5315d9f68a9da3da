// Packing weight matrices into panels of 16 interleaved rows, at load time, and reading a row back.
//
// In a panel, consecutive 32-bit words belong to consecutive rows, so one SIMD lane owns one row: a kernel broadcasts
// the activations of a few columns to all lanes, multiplies, and never adds across lanes. (llama.cpp's "repack" types
// interleave rows for the same reason.)
#include "internal.h"

#pragma STDC FP_CONTRACT OFF  // scale * code + offset is rounded twice on every machine

// MARK: - Sizes

ck_activation ck_layout_activation(ck_layout layout) {
    if (ck_is_quantized(layout)) return CK_ACT_Q8;
    return layout == CK_BF16 ? CK_ACT_BF16 : CK_ACT_F32;
}

int64_t ck_padded_columns(ck_layout layout, int64_t columns) {
    int64_t multiple = ck_is_quantized(layout) ? CK_PAIR_COLUMNS : layout == CK_BF16 ? 32 : 1;
    return (columns + multiple - 1) / multiple * multiple;
}

int64_t ck_panel_bytes(ck_layout layout, int64_t columns) {
    return ck_padded_panel_bytes(layout, ck_padded_columns(layout, columns));
}

int64_t ck_activation_bytes(ck_activation format, int64_t padded_columns, int64_t tokens) {
    switch (format) {
        case CK_ACT_Q8: return tokens * (padded_columns / CK_GROUP) * CK_Q8_BLOCK;
        case CK_ACT_Q16: return tokens * (padded_columns / CK_GROUP) * CK_Q16_BLOCK;
        case CK_ACT_BF16: return tokens * padded_columns * 2;
        case CK_ACT_F32: return tokens * padded_columns * 4;
    }
    return 0;
}

// MARK: - Quantized panels

// The 32 codes of one row and group as they come, four to a word.
typedef struct group_words {
    uint32_t word[8];
} group_words;

// The codes from `column` on, in the layout's own numbering. Those beyond the row mean zero: their scale is 0, and a
// kernel's integer sums must be 0 too.
CK_TEMPLATE group_words load_group(const ck_layout layout, const ck_affine_rows *source, int64_t row, int64_t column) {
    const uint32_t every_byte = 0x01010101;
    group_words group;
    for (int j = 0; j < 8; j++) group.word[j] = (uint32_t)ck_zero_code(layout) * every_byte;
    if (row >= source->rows || column >= source->columns) return group;
    int64_t rest = source->columns - column;
    uint8_t bytes[CK_GROUP];
    const uint32_t shift = ck_zero_code(layout) == 0 ? 0 : (uint32_t)(ck_zero_code(layout) - source->zero_point);
    memset(bytes, (uint8_t)((uint32_t)ck_zero_code(layout) - shift), sizeof bytes);
    memcpy(bytes, source->codes + row * source->columns + column, (size_t)(rest < CK_GROUP ? rest : CK_GROUP));
    memcpy(group.word, bytes, sizeof bytes);
    // Bytes don't carry into their neighbours: a shifted code fits a byte.
    for (int j = 0; j < 8; j++) group.word[j] += shift * every_byte;
    return group;
}

// Lane `row` of a group's code vectors.
CK_TEMPLATE void store_group(const ck_layout layout, group_words group, int row, uint8_t *codes) {
    const int bits = ck_code_bits(layout);
    uint32_t *lane = (uint32_t *)codes + row;
    if (bits == 8) {
        for (int j = 0; j < 8; j++) lane[CK_PANEL * j] = group.word[j];
        return;
    }
    for (int j = 0; j < 4; j++) {
        lane[CK_PANEL * j] = (group.word[j] & 0x0f0f0f0f) | (group.word[4 + j] & 0x0f0f0f0f) << 4;
    }
    uint32_t *upper = (uint32_t *)(codes + CK_UPPER_BITS_AT) + row;
    if (bits == 5) {
        *upper = 0;
        for (int j = 0; j < 8; j++) *upper |= (group.word[j] >> 4 & 0x01010101) << j;
    } else if (bits == 6) {
        for (int v = 0; v < 2; v++) {
            upper[CK_PANEL * v] = 0;
            for (int j = 0; j < 4; j++) upper[CK_PANEL * v] |= (group.word[4 * v + j] >> 4 & 0x03030303) << 2 * j;
        }
    }
}

// The code of column `column` (0 ..< 32) of a group.
CK_TEMPLATE int code_at(const ck_layout layout, const uint8_t *codes, int lane, int column) {
    const int bits = ck_code_bits(layout), vector = column / 4, byte = 4 * lane + column % 4;
    if (bits == 8) return codes[64 * vector + byte];
    int code = codes[64 * (vector % 4) + byte] >> (vector < 4 ? 0 : 4) & 15;
    const uint8_t *upper = codes + CK_UPPER_BITS_AT;
    if (bits == 5) code |= (upper[byte] >> vector & 1) << 4;
    if (bits == 6) code |= (upper[64 * (vector / 4) + byte] >> 2 * (vector % 4) & 3) << 4;
    return code;
}

// Scales and offsets, or their integer factors, of the groups of a pair that starts at `column`.
CK_TEMPLATE void pack_factors(const ck_layout layout, const ck_affine_rows *source, int64_t column, uint8_t *pair) {
    const int group_columns = ck_scale_columns(layout);
    const int64_t group_count = (source->columns + group_columns - 1) / group_columns;
    memset(pair, 0, (size_t)ck_code_at(layout, 0));
    for (int64_t row = 0; row < source->rows; row++) {
        for (int i = 0; i < CK_PAIR_COLUMNS / group_columns; i++) {
            int64_t group = column / group_columns + i;
            if (group >= group_count) break;
            int64_t from = row * group_count + group, to = i * CK_PANEL + row;
            if (ck_is_nested(layout)) {
                pair[to] = source->scale_factors[from];
                if (ck_has_offsets(layout)) pair[ck_offset_at(layout, 0) + to] = source->offset_factors[from];
            } else {
                if (ck_has_wide_scales(layout)) {
                    ((float *)pair)[to] = source->scales[from];
                } else {
                    ((uint16_t *)pair)[to] = ck_float_to_f16(source->scales[from]);
                }
                if (!ck_has_offsets(layout)) continue;
                ((uint16_t *)(pair + ck_offset_at(layout, 0)))[to] = ck_float_to_f16(source->offsets[from]);
            }
        }
    }
}

CK_TEMPLATE void pack_super_scales(const ck_layout layout, const ck_affine_rows *source, int64_t column,
                                   uint8_t *super) {
    const int64_t count = (source->columns + CK_SUPER_GROUP - 1) / CK_SUPER_GROUP;
    memset(super, 0, CK_SUPER_BYTES);
    for (int64_t row = 0; row < source->rows; row++) {
        const int64_t from = row * count + column / CK_SUPER_GROUP;
        const uint16_t scale = ck_float_to_f16(source->scales[from]);
        if (ck_has_offsets(layout)) {
            ((uint16_t *)super)[row] = scale;
            ((uint16_t *)super)[CK_PANEL + row] = ck_float_to_f16(source->offsets[from]);
        } else {
            ((float *)super)[row] = ck_f16_to_float(scale);
        }
    }
}

CK_TEMPLATE void pack_affine(const ck_layout layout, const ck_affine_rows *source, uint8_t *panel) {
    for (int64_t column = 0; column < source->columns; column += CK_PAIR_COLUMNS) {
        uint8_t *pair = panel + ck_pair_at(layout, column / CK_PAIR_COLUMNS);
        if (ck_is_nested(layout) && column % CK_SUPER_GROUP == 0) {
            pack_super_scales(layout, source, column, pair - CK_SUPER_BYTES);
        }
        pack_factors(layout, source, column, pair);
        for (int half = 0; half < 2; half++) {
            uint8_t *codes = pair + ck_code_at(layout, half);
            for (int row = 0; row < CK_PANEL; row++) {
                store_group(layout, load_group(layout, source, row, column + half * CK_GROUP), row, codes);
            }
        }
    }
}

static void pack_f8(const ck_affine_rows *source, uint8_t *panel) {
    const int64_t blocks = (source->columns + CK_F8_COLUMNS - 1) / CK_F8_COLUMNS;
    memset(panel, 0, (size_t)(blocks * CK_F8_BYTES));
    for (int64_t row = 0; row < source->rows; row++) {
        for (int64_t k = 0; k < source->columns; k++) {
            *((uint8_t *)ck_f8_codes(panel, k) + row) = source->codes[row * source->columns + k];
        }
        for (int64_t block = 0; block < blocks; block++) {
            ((float *)(panel + block * CK_F8_BYTES))[row] = source->scales[row * blocks + block] * 256;
        }
    }
}

void ck_pack_affine(ck_layout layout, const ck_affine_rows *source, void *panel) {
    switch (layout) {
        case CK_Q4S: pack_affine(CK_Q4S, source, panel); break;
        case CK_Q4A: pack_affine(CK_Q4A, source, panel); break;
        case CK_Q4Z: pack_affine(CK_Q4Z, source, panel); break;
        case CK_Q4W: pack_affine(CK_Q4W, source, panel); break;
        case CK_Q8S: pack_affine(CK_Q8S, source, panel); break;
        case CK_Q8A: pack_affine(CK_Q8A, source, panel); break;
        case CK_Q8Z: pack_affine(CK_Q8Z, source, panel); break;
        case CK_Q8W: pack_affine(CK_Q8W, source, panel); break;
        case CK_Q4K: pack_affine(CK_Q4K, source, panel); break;
        case CK_Q5K: pack_affine(CK_Q5K, source, panel); break;
        case CK_Q6K: pack_affine(CK_Q6K, source, panel); break;
        case CK_F8: pack_f8(source, panel); break;
        default: break;
    }
}

CK_TEMPLATE void unpack_affine_row(const ck_layout layout, const uint8_t *panel, int lane, int64_t columns,
                                   float *out) {
    for (int64_t column = 0; column < columns; column++) {
        const uint8_t *pair = panel + ck_pair_at(layout, column / CK_PAIR_COLUMNS);
        int in_pair = (int)(column % CK_PAIR_COLUMNS);
        int index = in_pair / ck_scale_columns(layout) * CK_PANEL + lane;
        const uint8_t *offsets = pair + ck_offset_at(layout, 0);
        float scale, offset = 0;
        if (ck_is_nested(layout)) {
            const uint8_t *super = panel + ck_pair_at(layout, column / CK_SUPER_GROUP * CK_SUPER_PAIRS) - CK_SUPER_BYTES;
            if (ck_has_offsets(layout)) {
                const uint16_t *halves = (const uint16_t *)super;
                scale = ck_f16_to_float(halves[lane]) * (float)pair[index];
                offset = ck_f16_to_float(halves[CK_PANEL + lane]) * (float)offsets[index];
            } else {
                scale = ((const float *)super)[lane] * (float)(int8_t)pair[index];
            }
        } else {
            scale = ck_has_wide_scales(layout) ? ((const float *)pair)[index]
                                               : ck_f16_to_float(((const uint16_t *)pair)[index]);
            if (ck_has_offsets(layout)) offset = ck_f16_to_float(((const uint16_t *)offsets)[index]);
        }
        int code = code_at(layout, pair + ck_code_at(layout, in_pair / CK_GROUP), lane, in_pair % CK_GROUP);
        if (ck_has_zero_points(layout)) {
            out[column] = scale * ((float)code + offset);
            continue;
        }
        float value = scale * (float)(code - ck_zero_code(layout));
        out[column] = ck_has_offsets(layout) ? value + offset : value;
    }
}

// MARK: - Floating-point panels

void ck_pack_float(ck_layout layout, const float *values, int64_t rows, int64_t columns, void *panel) {
    int64_t padded = ck_padded_columns(layout, columns);
    memset(panel, 0, (size_t)ck_panel_bytes(layout, columns));
    for (int64_t row = 0; row < rows; row++) {
        const float *from = values + row * columns;
        switch (layout) {
            case CK_BF16:
                for (int64_t k = 0; k < columns; k++) {
                    ((uint16_t *)panel)[(k / 2 * CK_PANEL + row) * 2 + k % 2] = ck_float_to_bf16(from[k]);
                }
                break;
            case CK_F16:
                for (int64_t k = 0; k < padded; k++) {
                    ((uint16_t *)panel)[k * CK_PANEL + row] = ck_float_to_f16(from[k]);
                }
                break;
            case CK_F32:
                for (int64_t k = 0; k < padded; k++) ((float *)panel)[k * CK_PANEL + row] = from[k];
                break;
            default: break;
        }
    }
}

// MARK: - Reading back

void ck_unpack_row(ck_layout layout, const void *panels, int64_t row, int64_t columns, float *out) {
    const uint8_t *panel = (const uint8_t *)panels + row / CK_PANEL * ck_panel_bytes(layout, columns);
    int lane = (int)(row % CK_PANEL);
    switch (layout) {
        case CK_Q4S: unpack_affine_row(CK_Q4S, panel, lane, columns, out); break;
        case CK_Q4A: unpack_affine_row(CK_Q4A, panel, lane, columns, out); break;
        case CK_Q4Z: unpack_affine_row(CK_Q4Z, panel, lane, columns, out); break;
        case CK_Q4W: unpack_affine_row(CK_Q4W, panel, lane, columns, out); break;
        case CK_Q8S: unpack_affine_row(CK_Q8S, panel, lane, columns, out); break;
        case CK_Q8A: unpack_affine_row(CK_Q8A, panel, lane, columns, out); break;
        case CK_Q8Z: unpack_affine_row(CK_Q8Z, panel, lane, columns, out); break;
        case CK_Q8W: unpack_affine_row(CK_Q8W, panel, lane, columns, out); break;
        case CK_Q4K: unpack_affine_row(CK_Q4K, panel, lane, columns, out); break;
        case CK_Q5K: unpack_affine_row(CK_Q5K, panel, lane, columns, out); break;
        case CK_Q6K: unpack_affine_row(CK_Q6K, panel, lane, columns, out); break;
        case CK_BF16:
            for (int64_t k = 0; k < columns; k++) {
                out[k] = ck_bf16_to_float(((const uint16_t *)panel)[(k / 2 * CK_PANEL + lane) * 2 + k % 2]);
            }
            break;
        case CK_F16:
            for (int64_t k = 0; k < columns; k++) {
                out[k] = ck_f16_to_float(((const uint16_t *)panel)[k * CK_PANEL + lane]);
            }
            break;
        case CK_F32:
            for (int64_t k = 0; k < columns; k++) out[k] = ((const float *)panel)[k * CK_PANEL + lane];
            break;
        case CK_F8:
            for (int64_t k = 0; k < columns; k++) {
                const float scale = ((const float *)ck_f8_block(panel, k))[lane];
                out[k] = ck_f16_to_float(ck_f8_to_f16(ck_f8_codes(panel, k)[lane])) * scale;
            }
            break;
        default: break;
    }
}
