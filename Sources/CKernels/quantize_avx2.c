// Activations into tiles for AVX2: quantize_portable.c's arithmetic, a group in four registers.
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

CK_TEMPLATE uint32_t largest_lane(__m256i a) {
    __m128i b = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epu32(b, _mm_shuffle_epi32(b, 0x4e));
    b = _mm_max_epu32(b, _mm_shuffle_epi32(b, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(b);
}

CK_TEMPLATE int32_t sum_of_lanes(__m256i a) {
    __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1));
    return _mm_cvtsi128_si32(b);
}

// 32 codes that fit a byte.
CK_TEMPLATE void store_codes(const __m256i code[4], int8_t *place) {
    // Packing works within 128-bit halves; the permutation puts the 4-byte runs in order again.
    __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(code[0], code[1]), _mm256_packs_epi32(code[2], code[3]));
    packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)place, packed);
}

CK_TEMPLATE void quantize(const ck_activation format, const float *row, int64_t columns, int64_t padded_columns,
                          void *tile, int64_t tile_tokens, int64_t index) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (int64_t group = 0; group < padded_columns / CK_GROUP; group++) {
        const float *values = row + group * CK_GROUP;
        float last[CK_GROUP];
        int64_t valid = columns - group * CK_GROUP;
        if (valid < CK_GROUP) {
            memset(last, 0, sizeof last);
            if (valid > 0) memcpy(last, values, (size_t)valid * sizeof(float));
            values = last;
        }
        __m256 value[4];
        __m256i largest_bits = _mm256_setzero_si256();
        for (int i = 0; i < 4; i++) {
            value[i] = _mm256_loadu_ps(values + 8 * i);
            // Magnitudes compare like their bit patterns.
            largest_bits = _mm256_max_epu32(largest_bits, _mm256_and_si256(_mm256_castps_si256(value[i]), magnitude));
        }
        float largest = ck_float(largest_lane(largest_bits));
        float inverse_scale = ck_inverse_scale(format, largest);

        __m256i code[4];
        for (int i = 0; i < 4; i++) {
            code[i] = inverse_scale == 0
                          ? _mm256_setzero_si256()
                          : _mm256_cvtps_epi32(_mm256_mul_ps(value[i], _mm256_set1_ps(inverse_scale)));
        }
        ck_group_block block = ck_block_at(format, tile, tile_tokens, group);
        if (format == CK_ACT_Q16) {
            __m256i high[4], low[4];
            for (int i = 0; i < 4; i++) {
                high[i] = _mm256_srai_epi32(_mm256_add_epi32(code[i], _mm256_set1_epi32(64)), 7);  // ck_high_part
                low[i] = _mm256_sub_epi32(code[i], _mm256_slli_epi32(high[i], 7));
            }
            store_codes(high, block.codes + index * CK_GROUP);
            store_codes(low, block.low + index * CK_GROUP);
        } else {
            store_codes(code, block.codes + index * CK_GROUP);
        }
        int32_t sum_low = sum_of_lanes(_mm256_add_epi32(code[0], code[1]));
        int32_t sum_high = sum_of_lanes(_mm256_add_epi32(code[2], code[3]));
        ck_store_sums(format, block, index, largest, sum_low, sum_high);
    }
}

void ck_quantize_q8_avx2(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                         int64_t index) {
    quantize(CK_ACT_Q8, row, columns, padded_columns, tile, tile_tokens, index);
}

void ck_quantize_q16_avx2(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                          int64_t index) {
    quantize(CK_ACT_Q16, row, columns, padded_columns, tile, tile_tokens, index);
}

// ck_float_to_bf16 of 8 values, each in the lower half of its lane.
CK_TEMPLATE __m256i to_bf16(__m256 value) {
    __m256i bits = _mm256_castps_si256(value);
    __m256i lowest = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(_mm256_set1_epi32(0x7fff), lowest));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}

void ck_convert_bf16_avx2(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                          int64_t index) {
    uint32_t *pairs = (uint32_t *)tile + index;
    for (int64_t k = 0; k < padded_columns; k += 16, pairs += 8 * tile_tokens) {
        const float *values = row + k;
        float last[16];
        if (columns - k < 16) {
            memset(last, 0, sizeof last);
            if (columns > k) memcpy(last, values, (size_t)(columns - k) * sizeof(float));
            values = last;
        }
        __m256i packed = _mm256_packus_epi32(to_bf16(_mm256_loadu_ps(values)), to_bf16(_mm256_loadu_ps(values + 8)));
        // Packing works within 128-bit halves: put the middle quarters in order.
        packed = _mm256_permute4x64_epi64(packed, 0xd8);
        uint32_t in_order[8];
        _mm256_storeu_si256((__m256i *)in_order, packed);
        for (int i = 0; i < 8; i++) pairs[i * tile_tokens] = in_order[i];
    }
}

#pragma clang attribute pop
#endif
