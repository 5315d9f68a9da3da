// The vector layer of the AVX-512 kernels: 16 floats. vector_avx2.h and vector_portable.h define the same names, so
// that attention_kernel.h and elementwise_kernel.h are written once. Include it inside the file's target attribute.
#pragma once
#include "internal.h"

typedef __m512 vector;

enum {
    VECTOR_WIDTH = 16,
    TILE_QUERIES = 8,        // queries that an attention tile holds
    TILE_ACCUMULATORS = 24,  // vector registers for its sums: the other 8 hold operands
    SCORE_ACCUMULATORS = 24,  // the same for scores
    WIDENED_QUERIES = 64    // from this many queries on, converting a page to f32 once for all pays off (measured)
};

CK_TEMPLATE vector vector_set(float value) { return _mm512_set1_ps(value); }
CK_TEMPLATE vector vector_load(const float *from) { return _mm512_loadu_ps(from); }
CK_TEMPLATE void vector_store(float *to, vector v) { _mm512_storeu_ps(to, v); }

// The first `count` lanes, 0 ... 16; the others are read as zero and never touched in memory.
CK_TEMPLATE __mmask16 vector_first(int64_t count) { return (__mmask16)((1u << count) - 1); }
CK_TEMPLATE vector vector_load_first(const float *from, int64_t count) {
    return _mm512_maskz_loadu_ps(vector_first(count), from);
}
CK_TEMPLATE void vector_store_first(float *to, int64_t count, vector v) {
    _mm512_mask_storeu_ps(to, vector_first(count), v);
}

CK_TEMPLATE vector vector_load_f16(const uint16_t *from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
}
CK_TEMPLATE void vector_store_f16(uint16_t *to, vector v) {
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// 16 words of 32 bits with two bf16 or four signed bytes each, and one of these of every word as floats.
typedef __m512i vector_words;
CK_TEMPLATE vector_words vector_load_words(const void *from) { return _mm512_loadu_si512(from); }
CK_TEMPLATE vector_words vector_flip_words(vector_words w, uint32_t bits) {
    return _mm512_xor_si512(w, _mm512_set1_epi32((int32_t)bits));
}
CK_TEMPLATE vector vector_word_bf16(vector_words w, int part) {
    return _mm512_castsi512_ps(part == 0 ? _mm512_slli_epi32(w, 16)
                                         : _mm512_and_si512(w, _mm512_set1_epi32((int32_t)0xffff0000)));
}
CK_TEMPLATE vector vector_word_code(vector_words w, int part) {
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(w, 24 - 8 * (unsigned)part), 24));
}

CK_TEMPLATE vector vector_add(vector a, vector b) { return _mm512_add_ps(a, b); }
CK_TEMPLATE vector vector_subtract(vector a, vector b) { return _mm512_sub_ps(a, b); }
CK_TEMPLATE vector vector_multiply(vector a, vector b) { return _mm512_mul_ps(a, b); }
CK_TEMPLATE vector vector_divide(vector a, vector b) { return _mm512_div_ps(a, b); }
// a b + c and c - a b, rounded once.
CK_TEMPLATE vector vector_multiply_add(vector a, vector b, vector c) { return _mm512_fmadd_ps(a, b, c); }
CK_TEMPLATE vector vector_subtract_product(vector c, vector a, vector b) { return _mm512_fnmadd_ps(a, b, c); }
// Where either is NaN the result is b.
CK_TEMPLATE vector vector_maximum(vector a, vector b) { return _mm512_max_ps(a, b); }
CK_TEMPLATE vector vector_minimum(vector a, vector b) { return _mm512_min_ps(a, b); }
// To the nearest integer, even at ties.
CK_TEMPLATE vector vector_round(vector v) {
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// v * 2^n for an integral n of magnitude below 252.
CK_TEMPLATE vector vector_scale(vector v, vector n) { return _mm512_scalef_ps(v, n); }
// Lanes begin ..< end of v (0 <= begin <= end <= 16), and of `other` elsewhere.
CK_TEMPLATE vector vector_keep(vector v, int64_t begin, int64_t end, vector other) {
    return _mm512_mask_mov_ps(other, vector_first(end) & (__mmask16)~vector_first(begin), v);
}

// Over the lanes, in one fixed tree.
CK_TEMPLATE float vector_sum_lanes(vector v) { return _mm512_reduce_add_ps(v); }
CK_TEMPLATE float vector_maximum_lanes(vector v) { return _mm512_reduce_max_ps(v); }
CK_TEMPLATE float vector_first_lane(vector v) { return _mm512_cvtss_f32(v); }
