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
    int64_t padded = ck_padded_columns(layout, columns);
    if (ck_is_quantized(layout)) return padded / CK_PAIR_COLUMNS * ck_pair_bytes(layout);
    return padded * CK_PANEL * (layout == CK_F32 ? 4 : 2);
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

// Where the code of column `column` (0 ..< 32) of a group lies: a byte, and the nibble's shift in it.
typedef struct code_place {
    int byte, shift;
} code_place;

CK_TEMPLATE code_place place_of_code(ck_layout layout, int lane, int column) {
    int vector_column = ck_is_four_bit(layout) ? column % 16 : column;
    int byte = (vector_column / 4 * CK_PANEL + lane) * 4 + vector_column % 4;
    return (code_place){byte, ck_is_four_bit(layout) && column >= 16 ? 4 : 0};
}

// The layout's own code for zero; that of the affine ones is the caller's affair.
CK_TEMPLATE int zero_code(ck_layout layout) {
    if (ck_has_offsets(layout)) return 0;
    return ck_is_four_bit(layout) ? 8 : 128;
}

CK_TEMPLATE void pack_affine(const ck_layout layout, const uint8_t *codes, const float *scales, const float *offsets,
                             int64_t rows, int64_t columns, int32_t zero_point, uint8_t *panel) {
    const int scale_columns = ck_scale_columns(layout);
    const int32_t shift = ck_has_offsets(layout) ? 0 : zero_code(layout) - zero_point;
    const int64_t scale_count = columns / scale_columns;
    // Padding is zero: scale 0 and, so that a kernel's integer sums are zero too, the code for zero.
    const int zero = zero_code(layout) * (ck_is_four_bit(layout) ? 0x11 : 1);
    for (int64_t column = 0; column < columns; column += CK_PAIR_COLUMNS, panel += ck_pair_bytes(layout)) {
        memset(panel, 0, (size_t)ck_code_at(layout, 0));
        memset(panel + ck_code_at(layout, 0), zero, (size_t)(2 * ck_group_code_bytes(layout)));
        uint16_t *pair_scales = (uint16_t *)panel;
        uint16_t *pair_offsets = (uint16_t *)(panel + ck_offset_at(layout, 0));
        for (int64_t row = 0; row < rows; row++) {
            int64_t end = columns - column < CK_PAIR_COLUMNS ? columns - column : CK_PAIR_COLUMNS;
            for (int64_t k = 0; k < end; k += scale_columns) {
                int64_t from = row * scale_count + (column + k) / scale_columns;
                int64_t to = k / scale_columns * CK_PANEL + row;
                pair_scales[to] = ck_float_to_f16(scales[from]);
                if (ck_has_offsets(layout)) pair_offsets[to] = ck_float_to_f16(offsets[from]);
            }
            for (int64_t k = 0; k < end; k++) {
                code_place place = place_of_code(layout, (int)row, (int)(k % CK_GROUP));
                uint8_t *byte = panel + ck_code_at(layout, (int)(k / CK_GROUP)) + place.byte;
                int code = codes[row * columns + column + k] + shift;
                if (ck_is_four_bit(layout)) {
                    *byte = (uint8_t)((*byte & (0xf0 >> place.shift)) | ((code & 15) << place.shift));
                } else {
                    *byte = (uint8_t)code;
                }
            }
        }
    }
}

void ck_pack_affine(ck_layout layout, const uint8_t *codes, const float *scales, const float *offsets, int64_t rows,
                    int64_t columns, int32_t zero_point, void *panel) {
    switch (layout) {
        case CK_Q4S: pack_affine(CK_Q4S, codes, scales, offsets, rows, columns, zero_point, panel); break;
        case CK_Q4A: pack_affine(CK_Q4A, codes, scales, offsets, rows, columns, zero_point, panel); break;
        case CK_Q8S: pack_affine(CK_Q8S, codes, scales, offsets, rows, columns, zero_point, panel); break;
        case CK_Q8S16: pack_affine(CK_Q8S16, codes, scales, offsets, rows, columns, zero_point, panel); break;
        case CK_Q8A: pack_affine(CK_Q8A, codes, scales, offsets, rows, columns, zero_point, panel); break;
        default: break;
    }
}

CK_TEMPLATE void unpack_affine_row(const ck_layout layout, const uint8_t *panel, int lane, int64_t columns,
                                   float *out) {
    for (int64_t column = 0; column < columns; column++) {
        const uint8_t *pair = panel + column / CK_PAIR_COLUMNS * ck_pair_bytes(layout);
        int in_pair = (int)(column % CK_PAIR_COLUMNS);
        int scale_index = in_pair / ck_scale_columns(layout) * CK_PANEL + lane;
        float scale = ck_f16_to_float(((const uint16_t *)pair)[scale_index]);
        code_place place = place_of_code(layout, lane, in_pair % CK_GROUP);
        int code = pair[ck_code_at(layout, in_pair / CK_GROUP) + place.byte];
        if (ck_is_four_bit(layout)) code = (code >> place.shift) & 15;
        float value = scale * (float)(code - zero_code(layout));
        if (ck_has_offsets(layout)) {
            value += ck_f16_to_float(((const uint16_t *)(pair + ck_offset_at(layout, 0)))[scale_index]);
        }
        out[column] = value;
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
        case CK_Q8S: unpack_affine_row(CK_Q8S, panel, lane, columns, out); break;
        case CK_Q8S16: unpack_affine_row(CK_Q8S16, panel, lane, columns, out); break;
        case CK_Q8A: unpack_affine_row(CK_Q8A, panel, lane, columns, out); break;
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
        default: break;
    }
}
