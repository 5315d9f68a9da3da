// Activation quantization for AVX-512: quantize_portable.c's arithmetic, a group in two registers.
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), \
                             apply_to = function)

CK_TEMPLATE __mmask16 first_lanes(int64_t count) {
    return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

// 32 codes that fit a byte. Returns the sums of each half, in lanes 0 and 4.
CK_TEMPLATE __m256i store_codes(__m512i low, __m512i high, int8_t *place) {
    __m256i packed = _mm256_set_m128i(_mm512_cvtepi32_epi8(high), _mm512_cvtepi32_epi8(low));
    _mm256_storeu_si256((__m256i *)place, packed);
    // Four at a time as a product with ones, then twice with the neighbour.
    __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), packed);
    sums = _mm256_hadd_epi32(sums, sums);
    return _mm256_hadd_epi32(sums, sums);
}

CK_TEMPLATE void quantize(const ck_activation format, const float *row, int64_t columns, int64_t padded_columns,
                          void *tile, int64_t tile_tokens, int64_t index) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (int64_t group = 0; group < padded_columns / CK_GROUP; group++) {
        const float *values = row + group * CK_GROUP;
        int64_t valid = columns - group * CK_GROUP;
        __m512 low = _mm512_maskz_loadu_ps(first_lanes(valid), values);
        __m512 high = _mm512_maskz_loadu_ps(first_lanes(valid - 16), values + 16);

        // Magnitudes compare like their bit patterns.
        __m512i largest_bits = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                                _mm512_and_si512(_mm512_castps_si512(high), magnitude));
        float largest = ck_float(_mm512_reduce_max_epu32(largest_bits));
        float inverse_scale = ck_inverse_scale(format, largest);

        __m512i codes_low = _mm512_setzero_si512(), codes_high = _mm512_setzero_si512();
        if (inverse_scale != 0) {
            const __m512 factor = _mm512_set1_ps(inverse_scale);
            codes_low = _mm512_cvtps_epi32(_mm512_mul_ps(low, factor));
            codes_high = _mm512_cvtps_epi32(_mm512_mul_ps(high, factor));
        }
        ck_group_block block = ck_block_at(format, tile, tile_tokens, group);
        __m256i sums;
        if (format == CK_ACT_Q8) {
            sums = store_codes(codes_low, codes_high, block.codes + index * CK_GROUP);
        } else {
            const __m512i half = _mm512_set1_epi32(64);  // of ck_high_part
            __m512i first = _mm512_srai_epi32(_mm512_add_epi32(codes_low, half), 7);
            __m512i second = _mm512_srai_epi32(_mm512_add_epi32(codes_high, half), 7);
            sums = _mm256_slli_epi32(store_codes(first, second, block.codes + index * CK_GROUP), 7);
            first = _mm512_sub_epi32(codes_low, _mm512_slli_epi32(first, 7));
            second = _mm512_sub_epi32(codes_high, _mm512_slli_epi32(second, 7));
            sums = _mm256_add_epi32(sums, store_codes(first, second, block.low + index * CK_GROUP));
        }
        int32_t sum_low = _mm256_extract_epi32(sums, 0), sum_high = _mm256_extract_epi32(sums, 4);
        ck_store_sums(format, block, index, largest, sum_low, sum_high);
    }
}

void ck_quantize_q8_avx512(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                           int64_t index) {
    quantize(CK_ACT_Q8, row, columns, padded_columns, tile, tile_tokens, index);
}

void ck_quantize_q16_avx512(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                            int64_t index) {
    quantize(CK_ACT_Q16, row, columns, padded_columns, tile, tile_tokens, index);
}

#pragma clang attribute pop
#endif
