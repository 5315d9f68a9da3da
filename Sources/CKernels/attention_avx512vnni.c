// Attention over an int8 cache for AVX-512 with AVX512_VNNI.
//
// vpdpbusd multiplies four unsigned bytes by four signed ones per lane and adds the products to an int32 sum. Queries
// are rounded to 15 bits with one scale per head, weights (times their row's V scale) to 16 bits with one scale per
// page; both take part as two bytes, whose sums are joined at the end. Integer sums are exact, so their order is free and
// what a query can't see takes part with weight zero. An output is one multiply-add chain over the pages that the query
// sees, so the rules of attention_kernel.h hold.
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#include "vector_avx512.h"

#include "attention_tile.h"

enum {
    PAGE_QUADS = CK_PAGE / 4,
    QUERY_WORDS = 16384,  // of a run's queries: 64 KB
    LARGEST_WEIGHT = 65535
};

// A query's codes, 128 * high + low, four dimensions a word. Keys are stored as code + 128, so `zero_high` and
// `zero_low`, -128 times the sum of the parts, are what sums start from.
typedef struct quantized_query {
    float scale;
    int32_t zero_high, zero_low;
    const uint32_t *high, *low;
} quantized_query;

typedef struct run {
    const ck_attention *job;
    int64_t begin, end;
    quantized_query *queries;
    uint32_t *words;
} run;

static void quantize_queries(const run *r) {
    const int64_t head_dim = r->job->head_dim, quads = key_dims(CK_KV_INT8, head_dim) / 4;
    for (int64_t query = r->begin; query < r->end; query++) {
        const float *from = query_of(r->job, query);
        uint32_t *words = r->words + (query - r->begin) * 2 * quads;
        int8_t *high = (int8_t *)words, *low = (int8_t *)(words + quads);
        __m512 largest = _mm512_setzero_ps(), zeros = largest;
        for (int64_t d = 0; d < head_dim; d += 16) {
            __m512 x = vector_load_first(from + d, minimum(head_dim - d, 16));
            largest = _mm512_max_ps(largest, _mm512_abs_ps(x));
            zeros = _mm512_fmadd_ps(x, _mm512_setzero_ps(), zeros);
        }
        // What isn't finite makes every score NaN.
        const float bad = _mm512_reduce_add_ps(zeros), top = _mm512_reduce_max_ps(largest);
        const float inverse = bad == 0 ? ck_inverse_scale(CK_ACT_Q16, top) : 0;
        int32_t high_sum = 0, low_sum = 0;
        for (int64_t d = 0; d < 4 * quads; d += 16) {
            const __mmask16 stored = vector_first(minimum(4 * quads - d, 16));
            const int64_t count = maximum(0, minimum(head_dim - d, 16));
            __m512i code = _mm512_setzero_si512();
            if (inverse != 0) {
                code = _mm512_cvtps_epi32(_mm512_mul_ps(vector_load_first(from + d, count), _mm512_set1_ps(inverse)));
            }
            const __m512i h = _mm512_srai_epi32(_mm512_add_epi32(code, _mm512_set1_epi32(64)), 7);
            const __m512i l = _mm512_sub_epi32(code, _mm512_slli_epi32(h, 7));
            _mm_mask_storeu_epi8(high + d, stored, _mm512_cvtepi32_epi8(h));
            _mm_mask_storeu_epi8(low + d, stored, _mm512_cvtepi32_epi8(l));
            high_sum += _mm512_reduce_add_epi32(h);
            low_sum += _mm512_reduce_add_epi32(l);
        }
        r->queries[query - r->begin] = (quantized_query){
            bad == 0 ? top / ck_largest_code(CK_ACT_Q16) : NAN, -128 * high_sum, -128 * low_sum, words, words + quads};
    }
}

CK_TEMPLATE void score_lines(int queries, int lines, const run *r, int64_t first, const void *page, const void *ahead,
                             int64_t line, float (*scores)[CK_PAGE]) {
    const int64_t head_dim = r->job->head_dim, quads = key_dims(CK_KV_INT8, head_dim) / 4;
    __m512i high[TILE_QUERIES][PAGE_LINES], low[TILE_QUERIES][PAGE_LINES];
    const quantized_query *query = r->queries + (first - r->begin);
    const uint32_t *words = query->high;
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int l = 0; l < lines; l++) {
            high[q][l] = _mm512_set1_epi32(query[q].zero_high);
            low[q][l] = _mm512_set1_epi32(query[q].zero_low);
        }
    }
    for (int64_t quad = 0; quad < quads; quad++, words++) {
        __m512i key[PAGE_LINES];
#pragma clang loop unroll(full)
        for (int l = 0; l < lines; l++) {
            int64_t at = key_at(CK_KV_INT8, head_dim, 4 * quad, (line + l) * LINE);
            key[l] = _mm512_loadu_si512((const char *)page + at);
            if (ahead != page) fetch((const char *)ahead + at);
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            const __m512i h = _mm512_set1_epi32((int32_t)words[2 * q * quads]);
            const __m512i l = _mm512_set1_epi32((int32_t)words[(2 * q + 1) * quads]);
#pragma clang loop unroll(full)
            for (int i = 0; i < lines; i++) {
                high[q][i] = _mm512_dpbusd_epi32(high[q][i], key[i], h);
                low[q][i] = _mm512_dpbusd_epi32(low[q][i], key[i], l);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int l = 0; l < lines; l++) {
            const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high[q][l], 7), low[q][l]);
            _mm512_store_ps(&scores[q][(line + l) * LINE], _mm512_cvtepi32_ps(sum));
        }
    }
}

// One query's weights on a page, 256 * high + low, four positions a word, and what a code is worth.
typedef struct quantized_weights {
    _Alignas(64) uint32_t high[PAGE_QUADS];
    uint32_t low[PAGE_QUADS];
    float scale;
} quantized_weights;

// Scores become weights times the scales of V, of which the largest is returned.
CK_TEMPLATE float weigh(float *scores, const float *value_scales, span visible, float highest, float *state) {
    __m512 weight[4], product[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        weight[i] = softmax_weight(scores + 16 * i, highest);
        product[i] = _mm512_mul_ps(weight[i], _mm512_loadu_ps(value_scales + 16 * i));
        if (visible.begin > 0 || visible.end < CK_PAGE) {  // the scales of rows out of sight may be anything
            int64_t begin = minimum(maximum(visible.begin - 16 * i, 0), 16);
            int64_t end = minimum(maximum(visible.end - 16 * i, begin), 16);
            product[i] = vector_keep(product[i], begin, end, _mm512_setzero_ps());
        }
        _mm512_store_ps(scores + 16 * i, product[i]);
    }
    softmax_add(state, _mm512_reduce_add_ps(
                           _mm512_add_ps(_mm512_add_ps(weight[0], weight[1]), _mm512_add_ps(weight[2], weight[3]))));
    return _mm512_reduce_max_ps(
        _mm512_max_ps(_mm512_max_ps(product[0], product[1]), _mm512_max_ps(product[2], product[3])));
}

CK_TEMPLATE void quantize_weights(const float *products, float largest, quantized_weights *out) {
    out->scale = largest / LARGEST_WEIGHT;
    const float inverse = largest > 0x1p-100f && largest < INFINITY ? LARGEST_WEIGHT / largest : 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        const __m512 scaled = _mm512_mul_ps(_mm512_load_ps(products + 16 * i), _mm512_set1_ps(inverse));
        const __m512i code = _mm512_cvtps_epi32(scaled);
        _mm_store_si128((__m128i *)out->high + i, _mm512_cvtepi32_epi8(_mm512_srli_epi32(code, 8)));
        _mm_store_si128((__m128i *)out->low + i, _mm512_cvtepi32_epi8(code));
    }
}

CK_TEMPLATE void add_values(int queries, int columns, const tile *t, const void *page, int64_t head_dim, span quads,
                            int64_t column, const quantized_weights *weights) {
    __m512i high[TILE_QUERIES][4], low[TILE_QUERIES][4];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) high[q][c] = low[q][c] = _mm512_setzero_si512();
    }
    for (int64_t quad = quads.begin; quad < quads.end; quad++) {
        __m512i value[4];
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            value[c] =
                _mm512_loadu_si512((const char *)page + value_at(CK_KV_INT8, head_dim, column + 16 * c, 4 * quad));
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            const __m512i h = _mm512_set1_epi32((int32_t)weights[q].high[quad]);
            const __m512i l = _mm512_set1_epi32((int32_t)weights[q].low[quad]);
#pragma clang loop unroll(full)
            for (int c = 0; c < columns; c++) {
                high[q][c] = _mm512_dpbusd_epi32(high[q][c], h, value[c]);
                low[q][c] = _mm512_dpbusd_epi32(low[q][c], l, value[c]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
        if (is_empty(t->visible[q])) continue;
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            float *out = t->state[q] + STATE_HEADER + column + 16 * c;
            const __m512 sum = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high[q][c], 8), low[q][c]));
            _mm512_storeu_ps(out, _mm512_fmadd_ps(sum, _mm512_set1_ps(weights[q].scale), _mm512_loadu_ps(out)));
        }
    }
}

CK_TEMPLATE void attend_tile(int queries, const run *r, int64_t first, const void *page, const void *ahead,
                             int64_t start) {
    const ck_attention *job = r->job;
    const tile t = tile_at(job, first, queries, start);
    if (is_empty(t.any)) return;
    const int64_t head_dim = job->head_dim, stride = padded_head_dim(head_dim);

    _Alignas(64) float scores[TILE_QUERIES][CK_PAGE];
    quantized_weights weights[TILE_QUERIES];
    int64_t line = t.any.begin / LINE;
    const int64_t line_end = (t.any.end + LINE - 1) / LINE;
    if (line_end - line < PAGE_LINES) memset(scores, 0, (size_t)queries * sizeof *scores);
    const int at_once = lines_at_once(queries, true, TILE_ACCUMULATORS / 2);
    for (; at_once >= 4 && line + 4 <= line_end; line += 4) {
        score_lines(queries, 4, r, first, page, ahead, line, scores);
    }
    for (; at_once >= 2 && line + 2 <= line_end; line += 2) {
        score_lines(queries, 2, r, first, page, ahead, line, scores);
    }
    for (; line < line_end; line++) score_lines(queries, 1, r, first, page, ahead, line, scores);

    const float *scales = page_scales(CK_KV_INT8, head_dim, page);
    // Three loops: the chain of operations from scores to codes is long, and shorter ones of several queries overlap.
    float highest[TILE_QUERIES], largest[TILE_QUERIES];
    for (int q = 0; q < queries; q++) {
        if (is_empty(t.visible[q])) continue;
        const float scale = job->scale * r->queries[first - r->begin + q].scale;
        highest[q] = softmax_raise(scores[q], scales, t.visible[q], scale, stride, t.state[q]);
    }
    for (int q = 0; q < queries; q++) {
        if (is_empty(t.visible[q])) continue;
        largest[q] = weigh(scores[q], scales + CK_PAGE, t.visible[q], highest[q], t.state[q]);
    }
    for (int q = 0; q < queries; q++) {
        if (is_empty(t.visible[q])) {
            memset(&weights[q], 0, sizeof weights[q]);
        } else {
            quantize_weights(scores[q], largest[q], &weights[q]);
        }
    }
    fetch_part(page, ahead, scales_at(CK_KV_INT8, head_dim), kv_page_bytes(CK_KV_INT8, head_dim));
    const span quads = {t.any.begin / 4, (t.any.end + 3) / 4};
    int64_t column = 0;
    for (; 8 * queries <= TILE_ACCUMULATORS && column + 64 <= stride; column += 64) {
        add_values(queries, 4, &t, page, head_dim, quads, column, weights);
    }
    for (; 4 * queries <= TILE_ACCUMULATORS && column + 32 <= stride; column += 32) {
        add_values(queries, 2, &t, page, head_dim, quads, column, weights);
    }
    for (; column < stride; column += 16) add_values(queries, 1, &t, page, head_dim, quads, column, weights);
}

CK_NOINLINE void attend_page(const run *r, const void *page, const void *ahead, int64_t start) {
#define TILE(count, first) attend_tile(count, r, first, page, ahead, start)
    CK_FOR_EACH_TILE(r->begin, r->end, TILE);
#undef TILE
}

static void attention_int8(const ck_attention *job) {
    _Alignas(64) uint32_t words[QUERY_WORDS];
    quantized_query quantized[RUN_QUERIES];
    const int64_t queries = job->query_tokens * job->group;
    const int64_t run_queries = minimum(RUN_QUERIES, QUERY_WORDS / (key_dims(CK_KV_INT8, job->head_dim) / 2));
    clear_states(job, queries);
    for (int64_t begin = 0; begin < queries; begin += run_queries) {
        const run r = {job, begin, minimum(begin + run_queries, queries), quantized, words};
        quantize_queries(&r);
        for (int64_t i = 0; i < job->page_count; i++) {
            int64_t start = job->first_position + i * CK_PAGE;
            if (is_empty(run_span(job, r.begin, r.end, start))) continue;
            attend_page(&r, job->pages[i], page_ahead(CK_KV_INT8, job, i, queries), start);
        }
    }
}

void ck_fill_attention_avx512vnni(ck_kernels *table) { table->attention[CK_KV_INT8] = attention_int8; }
#pragma clang attribute pop
#endif
