// The vector layer of the portable kernels: 4 floats in the vector extension of Clang and GCC (see vector_avx512.h),
// which becomes NEON on arm64 and SSE2 on any x86-64.
#pragma once
#include "internal.h"

// A multiply-add rounds once where the target has one and twice elsewhere; the compiler must not choose by itself.
#pragma STDC FP_CONTRACT OFF

typedef float vector __attribute__((vector_size(16)));
typedef uint32_t vector_bits __attribute__((vector_size(16)));

enum {
    VECTOR_WIDTH = 4,
    TILE_QUERIES = 2,        // queries that an attention tile holds
    TILE_ACCUMULATORS = 12,  // vector registers for its sums
    SCORE_ACCUMULATORS = 8,  // the same for scores
    WIDENED_QUERIES = 4     // from this many queries on, converting a page to f32 once for all pays off (measured)
};

CK_TEMPLATE vector vector_set(float value) { return (vector){value, value, value, value}; }
CK_TEMPLATE vector vector_load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}
CK_TEMPLATE void vector_store(float *to, vector v) { memcpy(to, &v, sizeof v); }

// The first `count` lanes, 0 ... 4; the others are read as zero and never touched in memory.
CK_TEMPLATE vector vector_load_first(const float *from, int64_t count) {
    float lanes[VECTOR_WIDTH] = {0};
    for (int64_t i = 0; i < count; i++) lanes[i] = from[i];
    return vector_load(lanes);
}
CK_TEMPLATE void vector_store_first(float *to, int64_t count, vector v) {
    for (int64_t i = 0; i < count; i++) to[i] = v[i];
}

CK_TEMPLATE vector vector_select(vector_bits mask, vector a, vector b) {
    return (vector)(((vector_bits)a & mask) | ((vector_bits)b & ~mask));
}

// Exponent and mantissa move to where f32 has them, and a product with 2^(127-15) corrects the bias; it makes
// subnormals normal too. Only infinity and NaN are special.
CK_TEMPLATE vector vector_load_f16(const uint16_t *from) {
    typedef uint16_t halves __attribute__((vector_size(8)));
    halves raw;
    memcpy(&raw, from, sizeof raw);
    vector_bits half = __builtin_convertvector(raw, vector_bits);
    vector_bits magnitude = (half & 0x7fff) << 13, sign = (half & 0x8000) << 16;
    vector finite = (vector)magnitude * vector_set(0x1p112f);
    vector special = (vector)(magnitude | 0x7f800000);
    vector result = vector_select((vector_bits)(magnitude >= 0x7c00 << 13), special, finite);
    return (vector)((vector_bits)result | sign);
}
CK_TEMPLATE void vector_store_f16(uint16_t *to, vector v) {
    for (int i = 0; i < VECTOR_WIDTH; i++) to[i] = ck_float_to_f16(v[i]);
}

// 4 words of 32 bits with two bf16 or four signed bytes each, and one of these of every word as floats.
typedef vector_bits vector_words;
CK_TEMPLATE vector_words vector_load_words(const void *from) {
    vector_words w;
    memcpy(&w, from, sizeof w);
    return w;
}
CK_TEMPLATE vector_words vector_flip_words(vector_words w, uint32_t bits) { return w ^ bits; }
CK_TEMPLATE vector vector_word_bf16(vector_words w, int part) {
    return (vector)(part == 0 ? w << 16 : w & 0xffff0000);
}
CK_TEMPLATE vector vector_word_code(vector_words w, int part) {
    typedef int32_t vector_integers __attribute__((vector_size(16)));
    vector_integers code = (vector_integers)(w << (24 - 8 * (uint32_t)part)) >> 24;
    return __builtin_convertvector(code, vector);
}

CK_TEMPLATE vector vector_add(vector a, vector b) { return a + b; }
CK_TEMPLATE vector vector_subtract(vector a, vector b) { return a - b; }
CK_TEMPLATE vector vector_multiply(vector a, vector b) { return a * b; }
CK_TEMPLATE vector vector_divide(vector a, vector b) { return a / b; }
#if defined(__ARM_FEATURE_FMA)
CK_TEMPLATE vector vector_multiply_add(vector a, vector b, vector c) { return __builtin_elementwise_fma(a, b, c); }
CK_TEMPLATE vector vector_subtract_product(vector c, vector a, vector b) {
    return __builtin_elementwise_fma(-a, b, c);
}
#else
CK_TEMPLATE vector vector_multiply_add(vector a, vector b, vector c) { return a * b + c; }
CK_TEMPLATE vector vector_subtract_product(vector c, vector a, vector b) { return c - a * b; }
#endif
// Where either is NaN the result is b.
CK_TEMPLATE vector vector_maximum(vector a, vector b) { return vector_select((vector_bits)(a > b), a, b); }
CK_TEMPLATE vector vector_minimum(vector a, vector b) { return vector_select((vector_bits)(a < b), a, b); }
// 1.5 * 2^23: a sum with it has no fraction bits left, and its low bits hold the other addend as an integer.
CK_TEMPLATE vector vector_rounder(void) { return vector_set(0x1.8p23f); }
// To the nearest integer, even at ties; for magnitudes below 2^22.
CK_TEMPLATE vector vector_round(vector v) { return (v + vector_rounder()) - vector_rounder(); }
// v * 2^n for an integral n of magnitude below 252: two factors, as 2^n itself may be out of range.
CK_TEMPLATE vector vector_power_of_two(vector_bits n) { return (vector)((n + 127) << 23); }
CK_TEMPLATE vector vector_scale(vector v, vector n) {
    vector_bits whole = (vector_bits)(n + vector_rounder()) - (vector_bits)vector_rounder();
    vector_bits half = ((whole + 512) >> 1) - 256;  // floor(n / 2) without a signed shift
    return v * vector_power_of_two(half) * vector_power_of_two(whole - half);
}
// Lanes begin ..< end of v (0 <= begin <= end <= 4), and of `other` elsewhere.
CK_TEMPLATE vector vector_keep(vector v, int64_t begin, int64_t end, vector other) {
    vector_bits lane = {0, 1, 2, 3}, first = {0}, last = {0};
    return vector_select((vector_bits)(lane >= first + (uint32_t)begin) & (vector_bits)(lane < last + (uint32_t)end), v,
                         other);
}

// Over the lanes, in one fixed tree.
CK_TEMPLATE float vector_first_lane(vector v) { return v[0]; }
CK_TEMPLATE float vector_sum_lanes(vector v) { return (v[0] + v[2]) + (v[1] + v[3]); }
CK_TEMPLATE float vector_maximum_lanes(vector v) {
    float even = v[0] > v[2] ? v[0] : v[2], odd = v[1] > v[3] ? v[1] : v[3];
    return even > odd ? even : odd;
}
