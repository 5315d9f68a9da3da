// The vector layer of the NEON kernels: 4 floats (see vector_avx512.h). Every arm64 CPU has what it uses.
#pragma once
#include <arm_neon.h>

#include "internal.h"

typedef float32x4_t vector;

enum {
    VECTOR_WIDTH = 4,
    TILE_QUERIES = 4,        // queries that an attention tile holds
    TILE_ACCUMULATORS = 24,  // vector registers for its sums: the other 8 hold operands
    SCORE_ACCUMULATORS = 24,  // the same for scores
    WIDENED_QUERIES = 16     // from this many queries on, an f16 page is converted to f32 once for all (a guess)
};

CK_TEMPLATE vector vector_set(float value) { return vdupq_n_f32(value); }
CK_TEMPLATE vector vector_load(const float *from) { return vld1q_f32(from); }
CK_TEMPLATE void vector_store(float *to, vector v) { vst1q_f32(to, v); }

// The first `count` lanes, 0 ... 4; the others are read as zero and never touched in memory.
CK_TEMPLATE vector vector_load_first(const float *from, int64_t count) {
    if (count == VECTOR_WIDTH) return vld1q_f32(from);
    float lanes[VECTOR_WIDTH] = {0};
    for (int64_t i = 0; i < count; i++) lanes[i] = from[i];
    return vld1q_f32(lanes);
}
CK_TEMPLATE void vector_store_first(float *to, int64_t count, vector v) {
    if (count == VECTOR_WIDTH) {
        vst1q_f32(to, v);
        return;
    }
    float lanes[VECTOR_WIDTH];
    vst1q_f32(lanes, v);
    for (int64_t i = 0; i < count; i++) to[i] = lanes[i];
}

CK_TEMPLATE vector vector_load_f16(const uint16_t *from) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
}
CK_TEMPLATE void vector_store_f16(uint16_t *to, vector v) { vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(v))); }

// 4 words of 32 bits with two bf16 or four signed bytes each, and one of these of every word as floats.
typedef int32x4_t vector_words;
CK_TEMPLATE vector_words vector_load_words(const void *from) { return vld1q_s32((const int32_t *)from); }
CK_TEMPLATE vector_words vector_flip_words(vector_words w, uint32_t bits) {
    return veorq_s32(w, vdupq_n_s32((int32_t)bits));
}
CK_TEMPLATE vector vector_word_bf16(vector_words w, int part) {
    return vreinterpretq_f32_s32(part == 0 ? vshlq_n_s32(w, 16) : vandq_s32(w, vdupq_n_s32((int32_t)0xffff0000)));
}
CK_TEMPLATE vector vector_word_code(vector_words w, int part) {
    return vcvtq_f32_s32(vshrq_n_s32(vshlq_s32(w, vdupq_n_s32(24 - 8 * part)), 24));
}

CK_TEMPLATE vector vector_add(vector a, vector b) { return vaddq_f32(a, b); }
CK_TEMPLATE vector vector_subtract(vector a, vector b) { return vsubq_f32(a, b); }
CK_TEMPLATE vector vector_multiply(vector a, vector b) { return vmulq_f32(a, b); }
CK_TEMPLATE vector vector_divide(vector a, vector b) { return vdivq_f32(a, b); }
// a b + c and c - a b, rounded once.
CK_TEMPLATE vector vector_multiply_add(vector a, vector b, vector c) { return vfmaq_f32(c, a, b); }
CK_TEMPLATE vector vector_subtract_product(vector c, vector a, vector b) { return vfmsq_f32(c, a, b); }
// Where either is NaN the result is b: fmax would give NaN.
CK_TEMPLATE vector vector_maximum(vector a, vector b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
CK_TEMPLATE vector vector_minimum(vector a, vector b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
// To the nearest integer, even at ties.
CK_TEMPLATE vector vector_round(vector v) { return vrndnq_f32(v); }
// v * 2^n for an integral n of magnitude below 252: two factors, as 2^n itself may be out of range.
CK_TEMPLATE vector vector_power_of_two(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
CK_TEMPLATE vector vector_scale(vector v, vector n) {
    int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    v = vmulq_f32(v, vector_power_of_two(half));
    return vmulq_f32(v, vector_power_of_two(vsubq_s32(whole, half)));
}
// Lanes begin ..< end of v (0 <= begin <= end <= 4), and of `other` elsewhere.
CK_TEMPLATE vector vector_keep(vector v, int64_t begin, int64_t end, vector other) {
    const int32_t numbers[VECTOR_WIDTH] = {0, 1, 2, 3};
    int32x4_t lane = vld1q_s32(numbers);
    uint32x4_t from_begin = vcgeq_s32(lane, vdupq_n_s32((int32_t)begin));
    return vbslq_f32(vandq_u32(from_begin, vcltq_s32(lane, vdupq_n_s32((int32_t)end))), v, other);
}

// Over the lanes, in one fixed tree.
CK_TEMPLATE float vector_first_lane(vector v) { return vgetq_lane_f32(v, 0); }
CK_TEMPLATE float vector_sum_lanes(vector v) {
    float32x2_t sum = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(sum, 0) + vget_lane_f32(sum, 1);
}
CK_TEMPLATE float vector_maximum_lanes(vector v) {
    vector maximum = vector_maximum(v, vextq_f32(v, v, 2));
    return vgetq_lane_f32(vector_maximum(maximum, vextq_f32(maximum, maximum, 1)), 0);
}
