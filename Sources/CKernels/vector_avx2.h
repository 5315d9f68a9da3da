// The vector layer of the AVX2 kernels: 8 floats (see vector_avx512.h). Include it inside the file's target attribute.
#pragma once
#include "internal.h"

typedef __m256 vector;

enum {
    VECTOR_WIDTH = 8,
    TILE_QUERIES = 4,        // queries that an attention tile holds
    TILE_ACCUMULATORS = 12,  // vector registers for its sums: the other 4 hold operands
    SCORE_ACCUMULATORS = 12,  // the same for scores
    WIDENED_QUERIES = 64    // from this many queries on, converting a page to f32 once for all pays off (measured)
};

CK_TEMPLATE vector vector_set(float value) { return _mm256_set1_ps(value); }
CK_TEMPLATE vector vector_load(const float *from) { return _mm256_loadu_ps(from); }
CK_TEMPLATE void vector_store(float *to, vector v) { _mm256_storeu_ps(to, v); }

// The first `count` lanes, 0 ... 8; the others are read as zero and never touched in memory.
CK_TEMPLATE __m256i vector_lane_numbers(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
CK_TEMPLATE __m256i vector_first(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), vector_lane_numbers());
}
CK_TEMPLATE vector vector_load_first(const float *from, int64_t count) {
    return _mm256_maskload_ps(from, vector_first(count));
}
CK_TEMPLATE void vector_store_first(float *to, int64_t count, vector v) {
    _mm256_maskstore_ps(to, vector_first(count), v);
}

CK_TEMPLATE vector vector_load_f16(const uint16_t *from) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
}
CK_TEMPLATE void vector_store_f16(uint16_t *to, vector v) {
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// 8 words of 32 bits with two bf16 or four signed bytes each, and one of these of every word as floats.
typedef __m256i vector_words;
CK_TEMPLATE vector_words vector_load_words(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }
CK_TEMPLATE vector_words vector_flip_words(vector_words w, uint32_t bits) {
    return _mm256_xor_si256(w, _mm256_set1_epi32((int32_t)bits));
}
CK_TEMPLATE vector vector_word_bf16(vector_words w, int part) {
    return _mm256_castsi256_ps(part == 0 ? _mm256_slli_epi32(w, 16)
                                         : _mm256_and_si256(w, _mm256_set1_epi32((int32_t)0xffff0000)));
}
CK_TEMPLATE vector vector_word_code(vector_words w, int part) {
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(w, 24 - 8 * part), 24));
}

CK_TEMPLATE vector vector_add(vector a, vector b) { return _mm256_add_ps(a, b); }
CK_TEMPLATE vector vector_subtract(vector a, vector b) { return _mm256_sub_ps(a, b); }
CK_TEMPLATE vector vector_multiply(vector a, vector b) { return _mm256_mul_ps(a, b); }
CK_TEMPLATE vector vector_divide(vector a, vector b) { return _mm256_div_ps(a, b); }
// a b + c and c - a b, rounded once.
CK_TEMPLATE vector vector_multiply_add(vector a, vector b, vector c) { return _mm256_fmadd_ps(a, b, c); }
CK_TEMPLATE vector vector_subtract_product(vector c, vector a, vector b) { return _mm256_fnmadd_ps(a, b, c); }
// Where either is NaN the result is b.
CK_TEMPLATE vector vector_maximum(vector a, vector b) { return _mm256_max_ps(a, b); }
CK_TEMPLATE vector vector_minimum(vector a, vector b) { return _mm256_min_ps(a, b); }
// To the nearest integer, even at ties.
CK_TEMPLATE vector vector_round(vector v) {
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// v * 2^n for an integral n of magnitude below 252: two factors, as 2^n itself may be out of range.
CK_TEMPLATE vector vector_power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
CK_TEMPLATE vector vector_scale(vector v, vector n) {
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    v = _mm256_mul_ps(v, vector_power_of_two(half));
    return _mm256_mul_ps(v, vector_power_of_two(_mm256_sub_epi32(whole, half)));
}
// Lanes begin ..< end of v (0 <= begin <= end <= 8), and of `other` elsewhere.
CK_TEMPLATE vector vector_keep(vector v, int64_t begin, int64_t end, vector other) {
    __m256i keep = _mm256_andnot_si256(vector_first(begin), vector_first(end));
    return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(keep));
}

// Over the lanes, in one fixed tree.
CK_TEMPLATE float vector_first_lane(vector v) { return _mm256_cvtss_f32(v); }
CK_TEMPLATE float vector_sum_lanes(vector v) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
CK_TEMPLATE float vector_maximum_lanes(vector v) {
    __m128 maximum = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    maximum = _mm_max_ps(maximum, _mm_movehl_ps(maximum, maximum));
    return _mm_cvtss_f32(_mm_max_ss(maximum, _mm_movehdup_ps(maximum)));
}
