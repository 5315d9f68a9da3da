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

// 16 codes, whole or in two parts.
CK_TEMPLATE void store_codes(const ck_activation format, __m512i codes, int8_t *place, int8_t *low_place) {
    __m512i high = codes;
    if (format == CK_ACT_Q16) {
        high = _mm512_srai_epi32(_mm512_add_epi32(codes, _mm512_set1_epi32(64)), 7);  // ck_high_part
        __m512i low = _mm512_sub_epi32(codes, _mm512_slli_epi32(high, 7));
        _mm_storeu_si128((__m128i *)low_place, _mm512_cvtepi32_epi8(low));
    }
    _mm_storeu_si128((__m128i *)place, _mm512_cvtepi32_epi8(high));
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
        int8_t *codes = block.codes + index * CK_GROUP;
        int8_t *low_parts = block.low + index * CK_GROUP;
        store_codes(format, codes_low, codes, low_parts);
        store_codes(format, codes_high, codes + 16, low_parts + 16);

        int32_t sum_low = _mm512_reduce_add_epi32(codes_low), sum_high = _mm512_reduce_add_epi32(codes_high);
        float scale = largest / ck_largest_code(format);
        block.scale[index] = scale;
        block.zero_low[index] = -8 * sum_low;
        block.zero_high[index] = -8 * sum_high;
        block.scaled_sum[index] = scale * (float)(sum_low + sum_high);
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
