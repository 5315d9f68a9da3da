// NEON helpers of the linear kernels: a panel's 16 rows are 4 registers of 4.
#pragma once
#include <arm_neon.h>

#include "internal.h"

enum { LANES = 4, QUARTERS = CK_PANEL / LANES };

CK_TEMPLATE float32x4_t ck_load_f16(const void *halves) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves)));
}

// output = (sum + bias) or output + (sum + bias): one order of additions for every tile size.
CK_TEMPLATE void ck_store_rows(const ck_linear *job, int64_t panel, int64_t token, int tokens,
                               float32x4_t sums[][QUARTERS]) {
    const int64_t row = panel * CK_PANEL, rows = job->rows - row;
    for (int t = 0; t < tokens; t++) {
        float *output = job->output + (token + t) * job->output_stride + row;
        if (rows >= CK_PANEL) {
#pragma clang loop unroll(full)
            for (int q = 0; q < QUARTERS; q++) {
                float32x4_t value = sums[t][q];
                if (job->bias) value = vaddq_f32(value, vld1q_f32(job->bias + row + q * LANES));
                if (job->accumulate) value = vaddq_f32(vld1q_f32(output + q * LANES), value);
                vst1q_f32(output + q * LANES, value);
            }
            continue;
        }
        float lanes[CK_PANEL];
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) vst1q_f32(lanes + q * LANES, sums[t][q]);
        for (int64_t r = 0; r < rows; r++) {
            float value = lanes[r];
            if (job->bias) value = value + job->bias[row + r];
            output[r] = job->accumulate ? output[r] + value : value;
        }
    }
}
