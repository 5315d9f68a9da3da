// What the attention kernels share: which positions a query sees, tiles of queries, and the online softmax of a page.
#pragma once
#include "kv_page.h"
#include "vector_math.h"

#pragma STDC FP_CONTRACT OFF

#define CK_NOINLINE static __attribute__((noinline))

enum {
    STATE_HEADER = 16,  // floats before the vector of a partial result: maximum, sum, padding
    RUN_QUERIES = 256,  // queries that take a page one after the other
    STREAM_QUERIES = 4, // up to here the processor's own prefetcher keeps up with adjacent pages (measured)
    CACHE_LINE = 64
};

CK_TEMPLATE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
CK_TEMPLATE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }

// MARK: - Visibility

// Positions begin ..< end of a page.
typedef struct span {
    int64_t begin, end;
} span;

CK_TEMPLATE bool is_empty(span s) { return s.begin >= s.end; }

// What query token `token` sees of the page that starts at position `start`.
CK_TEMPLATE span visible_span(const ck_attention *job, int64_t token, int64_t start) {
    int64_t last = job->first_query + token - start;
    int64_t begin = job->window > 0 ? maximum(0, last - job->window + 1) : 0;
    return (span){begin, minimum(CK_PAGE, last + 1)};
}

// Queries first ..< first + count of a job, numbered token * group + head, on one page.
typedef struct tile {
    const float *query[TILE_QUERIES];
    float *state[TILE_QUERIES];
    span visible[TILE_QUERIES];
    span any;  // positions that some query sees: tokens are consecutive, so it has no holes
    span all;  // positions that every query sees
} tile;

CK_TEMPLATE float *state_of(const ck_attention *job, int64_t query) {
    return job->partials + query * (STATE_HEADER + padded_head_dim(job->head_dim));
}

CK_TEMPLATE const float *query_of(const ck_attention *job, int64_t query) {
    return job->queries + query / job->group * job->query_stride + query % job->group * job->head_dim;
}

CK_TEMPLATE tile tile_at(const ck_attention *job, int64_t first, int count, int64_t start) {
    tile t = {.any = {CK_PAGE, 0}, .all = {0, CK_PAGE}};
    for (int q = 0; q < count; q++) {
        span visible = visible_span(job, (first + q) / job->group, start);
        t.query[q] = query_of(job, first + q);
        t.state[q] = state_of(job, first + q);
        t.visible[q] = visible;
        t.all = (span){maximum(t.all.begin, visible.begin), minimum(t.all.end, visible.end)};
        if (is_empty(visible)) continue;
        t.any = (span){minimum(t.any.begin, visible.begin), maximum(t.any.end, visible.end)};
    }
    return t;
}

// What queries begin ..< end see of a page, together.
CK_TEMPLATE span run_span(const ck_attention *job, int64_t begin, int64_t end, int64_t start) {
    span first = visible_span(job, begin / job->group, start), last = visible_span(job, (end - 1) / job->group, start);
    return (span){first.begin, last.end};
}

CK_TEMPLATE void clear_states(const ck_attention *job, int64_t queries) {
    int64_t stride = padded_head_dim(job->head_dim);
    for (int64_t query = 0; query < queries; query++) {
        float *state = state_of(job, query);
        memset(state, 0, (size_t)(STATE_HEADER + stride) * sizeof(float));
        state[0] = -INFINITY;
    }
}

// Calls attend(count, first) for the queries begin ..< end in tiles. `count` is a constant in each call.
#define CK_FOR_EACH_TILE(begin, end, attend)                                         \
    do {                                                                             \
        int64_t first = (begin);                                                     \
        for (; first + TILE_QUERIES <= (end); first += TILE_QUERIES) attend(TILE_QUERIES, first); \
        switch ((end) - first) {                                                     \
            case 7: if (TILE_QUERIES > 7) attend(7, first); break;                   \
            case 6: if (TILE_QUERIES > 6) attend(6, first); break;                   \
            case 5: if (TILE_QUERIES > 5) attend(5, first); break;                   \
            case 4: if (TILE_QUERIES > 4) attend(4, first); break;                   \
            case 3: if (TILE_QUERIES > 3) attend(3, first); break;                   \
            case 2: if (TILE_QUERIES > 2) attend(2, first); break;                   \
            case 1: attend(1, first); break;                                         \
            default: break;                                                          \
        }                                                                            \
    } while (0)

// MARK: - The next page

// Lines of K that a tile may take at a time. Several at once keep more sums in flight, but read a page as several
// streams, which the processor's prefetcher follows at half the speed: only where arithmetic is the limit anyway.
CK_TEMPLATE int lines_at_once(int queries, bool is_streamed, int accumulators) {
    if (is_streamed && queries <= STREAM_QUERIES) return 1;
    return accumulators >= 4 * queries ? 4 : accumulators >= 2 * queries ? 2 : 1;
}

// Into the second-level cache: the first level has no room for a page ahead.
CK_TEMPLATE void fetch(const void *address) { __builtin_prefetch(address, 0, 2); }

// The page to fetch while page i is at work, or page i itself for none. The processor follows a stream into an adjacent
// page on its own, and better, unless arithmetic takes most of the time.
CK_TEMPLATE const void *page_ahead(ck_kv_type type, const ck_attention *job, int64_t i, int64_t queries) {
    const char *page = job->pages[i];
    if (i + 1 >= job->page_count) return page;
    const char *next = job->pages[i + 1];
    return next == page + kv_page_bytes(type, job->head_dim) && queries <= STREAM_QUERIES ? page : next;
}

// Fetches the bytes begin ..< end of a page ahead.
CK_TEMPLATE void fetch_part(const void *page, const void *ahead, int64_t begin, int64_t end) {
    if (ahead == page) return;
    for (; begin < end; begin += CACHE_LINE) fetch((const char *)ahead + begin);
}

// MARK: - Online softmax

// Scales the scores of one query, hides those that it can't see, and moves maximum, sum and vector of its state to the
// new maximum, which is returned. `key_scales` may be NULL.
CK_TEMPLATE float softmax_raise(float *scores, const float *key_scales, span visible, float scale, int64_t stride,
                                float *state) {
    enum { COUNT = CK_PAGE / VECTOR_WIDTH, CHAINS = 4 };
    const vector unseen = vector_set(-INFINITY);
    vector highest[CHAINS] = {unseen, unseen, unseen, unseen};
#pragma clang loop unroll(full)
    for (int i = 0; i < COUNT; i++) {
        vector score = vector_multiply(vector_load(scores + i * VECTOR_WIDTH), vector_set(scale));
        if (key_scales) score = vector_multiply(score, vector_load(key_scales + i * VECTOR_WIDTH));
        if (visible.begin > 0 || visible.end < CK_PAGE) {
            int64_t begin = visible.begin - i * VECTOR_WIDTH, end = visible.end - i * VECTOR_WIDTH;
            begin = minimum(maximum(begin, 0), VECTOR_WIDTH);
            end = minimum(maximum(end, begin), VECTOR_WIDTH);
            score = vector_keep(score, begin, end, unseen);
        }
        vector_store(scores + i * VECTOR_WIDTH, score);
        highest[i % CHAINS] = vector_maximum(highest[i % CHAINS], score);
    }
    float page_maximum = vector_maximum_lanes(
        vector_maximum(vector_maximum(highest[0], highest[1]), vector_maximum(highest[2], highest[3])));
    const float highest_before = state[0];
    if (page_maximum > highest_before) {
        float shrink = scalar_exp(highest_before - page_maximum);
        state[0] = page_maximum;
        state[1] *= shrink;
        for (int64_t d = 0; d < stride; d += VECTOR_WIDTH) {
            float *out = state + STATE_HEADER + d;
            vector_store(out, vector_multiply(vector_load(out), vector_set(shrink)));
        }
    }
    return page_maximum > highest_before ? page_maximum : highest_before;
}

// e^(score - highest) of VECTOR_WIDTH scores, as a power of two. That the factor is rounded and the maximum's product
// with it too changes an exponent by 2^-24 of its magnitude, no more than the rounding of the scores themselves.
CK_TEMPLATE vector softmax_weight(const float *scores, float highest) {
    const float factor = 0x1.715476p+0f;  // 1 / ln 2
    return vector_power(
        vector_multiply_add(vector_load(scores), vector_set(factor), vector_set(-highest * factor)));
}

// Adds the page's weights to the sum. A NaN score may have lost against the maximum: it must not hide.
CK_TEMPLATE void softmax_add(float *state, float sum) {
    state[1] += sum;
    if (state[1] != state[1]) state[0] = state[1];
}

// Scores of one query become weights e^(score - highest).
CK_TEMPLATE void softmax_weights(float *scores, float highest, float *state) {
    enum { COUNT = CK_PAGE / VECTOR_WIDTH, CHAINS = 4 };
    vector sum[CHAINS] = {vector_set(0.0f), vector_set(0.0f), vector_set(0.0f), vector_set(0.0f)};
#pragma clang loop unroll(full)
    for (int i = 0; i < COUNT; i++) {
        vector weight = softmax_weight(scores + i * VECTOR_WIDTH, highest);
        vector_store(scores + i * VECTOR_WIDTH, weight);
        sum[i % CHAINS] = vector_add(sum[i % CHAINS], weight);
    }
    softmax_add(state, vector_sum_lanes(vector_add(vector_add(sum[0], sum[1]), vector_add(sum[2], sum[3]))));
}
