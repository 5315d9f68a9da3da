// Attention over a bf16 cache for AVX-512 with AVX512_BF16.
//
// vdpbf16ps multiplies two bf16 pairs per lane and adds both products to the lane's float sum (odd element first, each
// step rounded to nearest even, subnormals as zero): twice the arithmetic of float multiply-adds, and nothing to
// convert. So queries and softmax weights are rounded to bf16 as well, which is an error of the size of the cache's own.
// The sum of the weights takes them as rounded, so that an output is a mean of values whatever the rounding does.
//
// The rules of attention_kernel.h hold, with pairs of dimensions and of positions as steps of a chain. Where a query
// sees one position of a pair, the other one's values are masked to zero.
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c"))), apply_to = function)
#include "vector_avx512.h"

#include "attention_tile.h"

enum {
    PAGE_PAIRS = CK_PAGE / 2,
    QUERY_WORDS = 16384  // of a run's queries: 64 KB
};

// One run of queries, rounded: `words` holds a pair of dimensions each.
typedef struct run {
    const ck_attention *job;
    int64_t begin, end;
    uint32_t *words;
} run;

CK_TEMPLATE const uint32_t *query_words(const run *r, int64_t query) {
    return r->words + (query - r->begin) * (r->job->head_dim / 2);
}

static void round_queries(const run *r) {
    const int64_t head_dim = r->job->head_dim;
    for (int64_t query = r->begin; query < r->end; query++) {
        const float *from = query_of(r->job, query);
        uint16_t *to = (uint16_t *)query_words(r, query);
        for (int64_t d = 0; d < head_dim; d += 16) {
            int64_t count = minimum(head_dim - d, 16);
            __m256i rounded = (__m256i)_mm512_cvtneps_pbh(vector_load_first(from + d, count));
            _mm256_mask_storeu_epi16(to + d, vector_first(count), rounded);
        }
    }
}

CK_TEMPLATE __m512bh load_pairs(const void *page, int64_t at) {
    return (__m512bh)_mm512_loadu_si512((const char *)page + at);
}

CK_TEMPLATE void score_lines(int queries, int lines, const run *r, int64_t first, const void *page, const void *ahead,
                             int64_t line, float (*scores)[CK_PAGE]) {
    const int64_t head_dim = r->job->head_dim;
    __m512 sum[TILE_QUERIES][PAGE_LINES];
    const uint32_t *query[TILE_QUERIES];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
        query[q] = query_words(r, first + q);
#pragma clang loop unroll(full)
        for (int l = 0; l < lines; l++) sum[q][l] = _mm512_setzero_ps();
    }
#pragma clang loop unroll_count(2)
    for (int64_t pair = 0; pair < head_dim / 2; pair++) {
        __m512bh key[PAGE_LINES];
#pragma clang loop unroll(full)
        for (int l = 0; l < lines; l++) {
            int64_t at = key_at(CK_KV_BF16, head_dim, 2 * pair, (line + l) * LINE);
            key[l] = load_pairs(page, at);
            if (ahead != page) fetch((const char *)ahead + at);
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            const __m512bh x = (__m512bh)_mm512_set1_epi32((int32_t)query[q][pair]);
#pragma clang loop unroll(full)
            for (int l = 0; l < lines; l++) sum[q][l] = _mm512_dpbf16_ps(sum[q][l], key[l], x);
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int l = 0; l < lines; l++) _mm512_store_ps(&scores[q][(line + l) * LINE], sum[q][l]);
    }
}

// Scores become weights, rounded to pairs.
CK_TEMPLATE void weigh(const float *scores, float highest, float *state, uint32_t *weights) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
#pragma clang loop unroll(full)
    for (int i = 0; i < 2; i++) {
        const __m512 low = softmax_weight(scores + 32 * i, highest);
        const __m512 high = softmax_weight(scores + 32 * i + 16, highest);
        const __m512bh pairs = _mm512_cvtne2ps_pbh(high, low);
        _mm512_store_si512(weights + 16 * i, (__m512i)pairs);
        sum[i] = _mm512_dpbf16_ps(sum[i], pairs, ones);
    }
    softmax_add(state, _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1])));
}

// Adds the pairs begin ..< end to 16 * columns dimensions of a tile's queries first ..< first + queries. `keep` masks
// the values.
CK_TEMPLATE void add_values(int queries, int columns, const tile *t, int first, const void *page, int64_t head_dim,
                            span pairs, uint32_t keep, int64_t column, const uint32_t (*weights)[PAGE_PAIRS]) {
    __m512 sum[TILE_QUERIES][8];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) sum[q][c] = _mm512_loadu_ps(t->state[first + q] + STATE_HEADER + column + 16 * c);
    }
    for (int64_t pair = pairs.begin; pair < pairs.end; pair++) {
        __m512bh value[8];
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            value[c] = load_pairs(page, value_at(CK_KV_BF16, head_dim, column + 16 * c, 2 * pair));
            if (keep != UINT32_MAX) {
                value[c] = (__m512bh)_mm512_and_si512((__m512i)value[c], _mm512_set1_epi32((int32_t)keep));
            }
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            const __m512bh weight = (__m512bh)_mm512_set1_epi32((int32_t)weights[first + q][pair]);
#pragma clang loop unroll(full)
            for (int c = 0; c < columns; c++) sum[q][c] = _mm512_dpbf16_ps(sum[q][c], value[c], weight);
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            _mm512_storeu_ps(t->state[first + q] + STATE_HEADER + column + 16 * c, sum[q][c]);
        }
    }
}

CK_TEMPLATE void add_pairs(int queries, const tile *t, int first, const void *page, int64_t head_dim, span pairs,
                           uint32_t keep, const uint32_t (*weights)[PAGE_PAIRS]) {
    const int64_t stride = padded_head_dim(head_dim);
    int64_t column = 0;
    for (; 4 * queries <= TILE_ACCUMULATORS && column + 64 <= stride; column += 64) {
        add_values(queries, 4, t, first, page, head_dim, pairs, keep, column, weights);
    }
    for (; column + 32 <= stride; column += 32) {
        add_values(queries, 2, t, first, page, head_dim, pairs, keep, column, weights);
    }
    for (; column < stride; column += 16) {
        add_values(queries, 1, t, first, page, head_dim, pairs, keep, column, weights);
    }
}

// One query takes positions on its own: half a pair, whole pairs, half a pair.
CK_NOINLINE void add_edge(const tile *t, int query, const void *page, int64_t head_dim, span at,
                          const uint32_t (*weights)[PAGE_PAIRS]) {
    if (is_empty(at)) return;
    if (at.begin % 2 == 1) {
        span half = {at.begin / 2, at.begin / 2 + 1};
        add_pairs(1, t, query, page, head_dim, half, 0xffff0000, weights);
        at.begin++;
    }
    add_pairs(1, t, query, page, head_dim, (span){at.begin / 2, at.end / 2}, UINT32_MAX, weights);
    if (at.end % 2 == 1 && at.end > at.begin) {
        add_pairs(1, t, query, page, head_dim, (span){at.end / 2, at.end / 2 + 1}, 0x0000ffff, weights);
    }
}

CK_TEMPLATE void attend_tile(int queries, const run *r, int64_t first, const void *page, const void *ahead,
                             int64_t start) {
    const ck_attention *job = r->job;
    const tile t = tile_at(job, first, queries, start);
    if (is_empty(t.any)) return;
    const int64_t head_dim = job->head_dim, stride = padded_head_dim(head_dim);

    _Alignas(64) float scores[TILE_QUERIES][CK_PAGE];
    _Alignas(64) uint32_t pairs[TILE_QUERIES][PAGE_PAIRS];
    float highest[TILE_QUERIES];
    int64_t line = t.any.begin / LINE;
    const int64_t line_end = (t.any.end + LINE - 1) / LINE;
    if (line_end - line < PAGE_LINES) memset(scores, 0, (size_t)queries * sizeof *scores);
    const int at_once = lines_at_once(queries, true, TILE_ACCUMULATORS);
    for (; at_once >= 4 && line + 4 <= line_end; line += 4) {
        score_lines(queries, 4, r, first, page, ahead, line, scores);
    }
    for (; at_once >= 2 && line + 2 <= line_end; line += 2) score_lines(queries, 2, r, first, page, ahead, line, scores);
    for (; line < line_end; line++) score_lines(queries, 1, r, first, page, ahead, line, scores);
    for (int q = 0; q < queries; q++) {
        if (is_empty(t.visible[q])) continue;
        highest[q] = softmax_raise(scores[q], NULL, t.visible[q], job->scale, stride, t.state[q]);
    }
    for (int q = 0; q < queries; q++) {
        if (!is_empty(t.visible[q])) weigh(scores[q], highest[q], t.state[q], pairs[q]);
    }

    const uint32_t(*weights)[PAGE_PAIRS] = (const uint32_t(*)[PAGE_PAIRS])pairs;
    const span shared = {(t.all.begin + 1) / 2, t.all.end / 2};  // pairs that every query sees whole
    if (is_empty(t.all) || is_empty(shared)) {
        for (int q = 0; q < queries; q++) add_edge(&t, q, page, head_dim, t.visible[q], weights);
        return;
    }
    for (int q = 0; q < queries; q++) {
        add_edge(&t, q, page, head_dim, (span){t.visible[q].begin, 2 * shared.begin}, weights);
    }
    fetch_part(page, ahead, values_at(CK_KV_BF16, head_dim), kv_page_bytes(CK_KV_BF16, head_dim));
    add_pairs(queries, &t, 0, page, head_dim, shared, UINT32_MAX, weights);
    for (int q = 0; q < queries; q++) {
        add_edge(&t, q, page, head_dim, (span){2 * shared.end, t.visible[q].end}, weights);
    }
}

CK_NOINLINE void attend_page(const run *r, const void *page, const void *ahead, int64_t start) {
#define TILE(count, first) attend_tile(count, r, first, page, ahead, start)
    CK_FOR_EACH_TILE(r->begin, r->end, TILE);
#undef TILE
}

static void attention_bf16(const ck_attention *job) {
    _Alignas(64) uint32_t words[QUERY_WORDS];
    const int64_t queries = job->query_tokens * job->group;
    const int64_t run_queries = minimum(RUN_QUERIES, QUERY_WORDS / (job->head_dim / 2));
    clear_states(job, queries);
    for (int64_t begin = 0; begin < queries; begin += run_queries) {
        const run r = {job, begin, minimum(begin + run_queries, queries), words};
        round_queries(&r);
        for (int64_t i = 0; i < job->page_count; i++) {
            int64_t start = job->first_position + i * CK_PAGE;
            if (is_empty(run_span(job, r.begin, r.end, start))) continue;
            attend_page(&r, job->pages[i], page_ahead(CK_KV_BF16, job, i, queries), start);
        }
    }
}

void ck_fill_attention_avx512bf16(ck_kernels *table) { table->attention[CK_KV_BF16] = attention_bf16; }
#pragma clang attribute pop
#endif
