// The floating-point linear kernels of an instruction set with few registers: bf16, f16, f32 and f8, made from the file's
// `bf16_subtile` and `float_subtile`, which take up to 6 tokens. Included where those are defined, inside the file's target
// attribute.
#pragma once
#include "internal.h"

CK_TEMPLATE void subtile(const ck_layout layout, const int tokens, const ck_linear *job, const ck_tiles *at,
                         int64_t first) {
    if (layout == CK_BF16) {
        const uint16_t *tile = (const uint16_t *)job->activations + at->token * job->columns;
        bf16_subtile(tokens, job, at->panel, at->token + first, tile + 2 * first, at->tokens);
    } else {
        float_subtile(layout, tokens, job, at->panel, at->token + first);
    }
}

CK_TEMPLATE void float_linear(const ck_layout layout, const ck_linear *job, int64_t begin, int64_t end) {
    ck_tiles at = ck_first_tile(job, begin, end, ck_layout_activation(layout), 1);
    while (ck_next_tile(&at)) {
        switch (at.tokens) {
            case 1: subtile(layout, 1, job, &at, 0); break;
            case 2: subtile(layout, 2, job, &at, 0); break;
            case 3: subtile(layout, 3, job, &at, 0); break;
            case 4: subtile(layout, 4, job, &at, 0); break;
            case 5: subtile(layout, 5, job, &at, 0); break;
            case 6: subtile(layout, 6, job, &at, 0); break;
            case 7:
                subtile(layout, 4, job, &at, 0);
                subtile(layout, 3, job, &at, 4);
                break;
            default:
                subtile(layout, 4, job, &at, 0);
                subtile(layout, 4, job, &at, 4);
                break;
        }
    }
}

static void linear_bf16(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_BF16, job, begin, end); }
static void linear_f16(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F16, job, begin, end); }
static void linear_f32(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F32, job, begin, end); }
static void linear_f8(const ck_linear *job, int64_t begin, int64_t end) { float_linear(CK_F8, job, begin, end); }

static inline void ck_fill_float(ck_kernels *table) {
    table->linear[CK_BF16] = linear_bf16;
    table->linear[CK_F16] = linear_f16;
    table->linear[CK_F32] = linear_f32;
    table->linear[CK_F8] = linear_f8;
}
