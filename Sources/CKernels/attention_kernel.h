// Attention over a paged KV cache, written once over the vector layer of an instruction set.
//
// The method is FlashAttention-2 (Dao, 2023): the context is walked in pages of 64 positions with an online softmax,
// and no score outlives its page. A call covers one chunk of the context and leaves a partial result per query; merging
// the partials of all chunks comes last, so that several workers can share a long context (Flash-Decoding, Dao et al.,
// 2023). The query heads of a group share their KV head's page (GQA, Ainslie et al., 2023): a tile is any run of
// queries in (token, head) order, so that every vector of K and V is loaded once for up to TILE_QUERIES of them.
//
// Every query's arithmetic is the same whatever shares its tile, call or page run, to the last bit:
//   - a score is one multiply-add chain over d, then a product with `scale`; a lane owns a position;
//   - a page's maximum and sum come from fixed trees over its 64 positions, where those that the query can't see count
//     as -inf by selection, never by arithmetic;
//   - an output is one multiply-add chain over the positions that the query sees, ascending; a lane owns a dimension.
//     Where the queries of a tile see different positions of a page, each takes those that not all see on its own;
//   - a page of which the query sees nothing leaves its state alone.
// So nothing that a query can't see reaches its result: unwritten rows may hold NaN. A NaN that it does see makes the
// whole result NaN.
#pragma once
#include "vector_math.h"

#pragma STDC FP_CONTRACT OFF

#define CK_NOINLINE static __attribute__((noinline))

enum {
    LINE = 16,  // positions of K, or dimensions of V, that lie together
    LINE_VECTORS = LINE / VECTOR_WIDTH,
    PAGE_LINES = CK_PAGE / LINE,
    STATE_HEADER = 16,       // floats before the vector of a partial result: maximum, sum, padding
    RUN_QUERIES = 128,       // queries that take a page one after the other
    WIDENED_HEAD_DIM = 256,  // the largest head whose pages are converted to f32: one takes 128 KB of stack then
    STREAM_ROWS = 8,         // rows of V that a tile takes through all its columns at a time
    STREAM_QUERIES = 4,      // up to here the processor's own prefetcher keeps up with adjacent pages (measured)
    CACHE_LINE = 64
};

// An f16 page comes from memory, so its tile reads it as one stream and fetches the next page meanwhile. An f32 page is
// mostly a converted one, and in the cache.
CK_TEMPLATE bool is_streamed(ck_kv_type type) { return type == CK_KV_F16; }

CK_TEMPLATE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
CK_TEMPLATE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }

CK_TEMPLATE int64_t padded_head_dim(int64_t head_dim) { return (head_dim + LINE - 1) / LINE * LINE; }

// MARK: - Pages

// Elements of K in front of V, and the place of (d, position) in K.
CK_TEMPLATE int64_t page_values_at(int64_t head_dim) { return CK_PAGE * head_dim; }
CK_TEMPLATE int64_t page_key_at(int64_t head_dim, int64_t d, int64_t position) {
    return (position / LINE * head_dim + d) * LINE + position % LINE;
}

CK_TEMPLATE int64_t element_bytes(ck_kv_type type) { return type == CK_KV_F16 ? 2 : 4; }
CK_TEMPLATE const void *element_at(ck_kv_type type, const void *base, int64_t index) {
    return (const char *)base + index * element_bytes(type);
}
CK_TEMPLATE vector load_elements(ck_kv_type type, const void *base, int64_t index) {
    const void *from = element_at(type, base, index);
    return type == CK_KV_F16 ? vector_load_f16(from) : vector_load(from);
}

CK_TEMPLATE void kv_store(ck_kv_type type, const float *key, const float *value, int64_t head_dim, void *page,
                          int64_t slot) {
    int64_t stride = padded_head_dim(head_dim);
    int64_t value_at = page_values_at(head_dim) + slot * stride;
    for (int64_t d = 0; d < stride; d += VECTOR_WIDTH) {
        int64_t count = maximum(0, minimum(head_dim - d, VECTOR_WIDTH));  // the padding of V is zero
        vector k = vector_load_first(key + d, count), v = vector_load_first(value + d, count);
        if (type == CK_KV_F16) {
            uint16_t *to = page, keys[VECTOR_WIDTH];
            vector_store_f16(keys, k);
            for (int64_t i = 0; i < count; i++) to[page_key_at(head_dim, d + i, slot)] = keys[i];
            vector_store_f16(to + value_at + d, v);
        } else {
            float *to = page, keys[VECTOR_WIDTH];
            vector_store(keys, k);
            for (int64_t i = 0; i < count; i++) to[page_key_at(head_dim, d + i, slot)] = keys[i];
            vector_store(to + value_at + d, v);
        }
    }
}

static void kv_store_f16(const float *key, const float *value, int64_t head_dim, void *page, int64_t slot) {
    kv_store(CK_KV_F16, key, value, head_dim, page, slot);
}
static void kv_store_f32(const float *key, const float *value, int64_t head_dim, void *page, int64_t slot) {
    kv_store(CK_KV_F32, key, value, head_dim, page, slot);
}

CK_TEMPLATE void kv_copy(ck_kv_type type, const void *source, int64_t from, void *destination, int64_t to,
                         int64_t head_dim) {
    int64_t stride = padded_head_dim(head_dim);
    for (int64_t d = 0; d < head_dim; d++) {
        int64_t source_at = page_key_at(head_dim, d, from), destination_at = page_key_at(head_dim, d, to);
        if (type == CK_KV_F16) {
            ((uint16_t *)destination)[destination_at] = ((const uint16_t *)source)[source_at];
        } else {
            ((float *)destination)[destination_at] = ((const float *)source)[source_at];
        }
    }
    int64_t values_at = page_values_at(head_dim);
    memmove((char *)destination + (values_at + to * stride) * element_bytes(type),
            element_at(type, source, values_at + from * stride), (size_t)(stride * element_bytes(type)));
}

static void kv_copy_f16(const void *source, int64_t from, void *destination, int64_t to, int64_t head_dim) {
    kv_copy(CK_KV_F16, source, from, destination, to, head_dim);
}
static void kv_copy_f32(const void *source, int64_t from, void *destination, int64_t to, int64_t head_dim) {
    kv_copy(CK_KV_F32, source, from, destination, to, head_dim);
}

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

CK_TEMPLATE tile tile_at(const ck_attention *job, int64_t first, int count, int64_t start) {
    tile t = {.any = {CK_PAGE, 0}, .all = {0, CK_PAGE}};
    for (int q = 0; q < count; q++) {
        int64_t token = (first + q) / job->group, head = (first + q) % job->group;
        span visible = visible_span(job, token, start);
        t.query[q] = job->queries + token * job->query_stride + head * job->head_dim;
        t.state[q] = state_of(job, first + q);
        t.visible[q] = visible;
        t.all = (span){maximum(t.all.begin, visible.begin), minimum(t.all.end, visible.end)};
        if (is_empty(visible)) continue;
        t.any = (span){minimum(t.any.begin, visible.begin), maximum(t.any.end, visible.end)};
    }
    return t;
}

// MARK: - Scores

// Into the second-level cache: the first level has no room for a page ahead.
CK_TEMPLATE void fetch(const void *address) { __builtin_prefetch(address, 0, 2); }

// Scores of `queries` queries with `lines` lines of K, from the one at `line` on. type, queries and lines are
// constants.
CK_TEMPLATE void score_lines(ck_kv_type type, int queries, int lines, const tile *t, const void *page,
                             const void *ahead, int64_t head_dim, int64_t line, float (*scores)[CK_PAGE]) {
    const float *query[TILE_QUERIES];
    vector sum[TILE_QUERIES][PAGE_LINES * LINE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
        query[q] = t->query[q];
#pragma clang loop unroll(full)
        for (int v = 0; v < lines * LINE_VECTORS; v++) sum[q][v] = vector_set(0.0f);
    }
#pragma clang loop unroll_count(2)
    for (int64_t d = 0; d < head_dim; d++) {
        // One cache line holds two lines of f16.
        if (is_streamed(type) && d % 2 == 0) fetch(element_at(type, ahead, page_key_at(head_dim, d, line * LINE)));
        vector key[PAGE_LINES * LINE_VECTORS];
#pragma clang loop unroll(full)
        for (int v = 0; v < lines * LINE_VECTORS; v++) {
            int64_t position = line * LINE + v * VECTOR_WIDTH;
            key[v] = load_elements(type, page, page_key_at(head_dim, d, position));
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            vector x = vector_set(query[q][d]);
#pragma clang loop unroll(full)
            for (int v = 0; v < lines * LINE_VECTORS; v++) sum[q][v] = vector_multiply_add(x, key[v], sum[q][v]);
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < lines * LINE_VECTORS; v++) {
            vector_store(&scores[q][line * LINE + v * VECTOR_WIDTH], sum[q][v]);
        }
    }
}

// Every line that some query sees a position of.
CK_TEMPLATE void score_page(ck_kv_type type, int queries, const tile *t, const void *page, const void *ahead,
                            int64_t head_dim, float (*scores)[CK_PAGE]) {
    int64_t line = t->any.begin / LINE, end = (t->any.end + LINE - 1) / LINE;
    if (end - line < PAGE_LINES) memset(scores, 0, (size_t)queries * sizeof *scores);
    if (!is_streamed(type) && 2 * queries * LINE_VECTORS <= TILE_ACCUMULATORS) {
        for (; line + 2 <= end; line += 2) score_lines(type, queries, 2, t, page, ahead, head_dim, line, scores);
    }
    for (; line < end; line++) score_lines(type, queries, 1, t, page, ahead, head_dim, line, scores);
}

// MARK: - Online softmax

// Scores of one query become weights e^(score - maximum); maximum, sum and vector of its state move to the new maximum.
CK_TEMPLATE void softmax_page(float *scores, span visible, float scale, int64_t stride, float *state) {
    enum { COUNT = CK_PAGE / VECTOR_WIDTH, CHAINS = 4 };
    const vector unseen = vector_set(-INFINITY);
    vector highest[CHAINS] = {unseen, unseen, unseen, unseen};
#pragma clang loop unroll(full)
    for (int i = 0; i < COUNT; i++) {
        vector score = vector_multiply(vector_load(scores + i * VECTOR_WIDTH), vector_set(scale));
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
    if (page_maximum > state[0]) {
        float shrink = scalar_exp(state[0] - page_maximum);
        state[0] = page_maximum;
        state[1] *= shrink;
        for (int64_t d = 0; d < stride; d += VECTOR_WIDTH) {
            float *out = state + STATE_HEADER + d;
            vector_store(out, vector_multiply(vector_load(out), vector_set(shrink)));
        }
    }
    vector sum[CHAINS] = {vector_set(0.0f), vector_set(0.0f), vector_set(0.0f), vector_set(0.0f)};
#pragma clang loop unroll(full)
    for (int i = 0; i < COUNT; i++) {
        vector weight = vector_exp(vector_subtract(vector_load(scores + i * VECTOR_WIDTH), vector_set(state[0])));
        vector_store(scores + i * VECTOR_WIDTH, weight);
        sum[i % CHAINS] = vector_add(sum[i % CHAINS], weight);
    }
    state[1] += vector_sum_lanes(vector_add(vector_add(sum[0], sum[1]), vector_add(sum[2], sum[3])));
    if (state[1] != state[1]) state[0] = state[1];  // a NaN score may have lost against the maximum: it must not hide
}

// MARK: - Values

// Adds weight * V over `positions` to dimensions column ..< column + columns * VECTOR_WIDTH of the queries `first`
// ..< first + queries of the tile. type, queries and columns are constants.
CK_TEMPLATE void add_values(ck_kv_type type, int queries, int columns, const tile *t, int first, const void *values,
                            int64_t stride, span positions, int64_t column, const float (*weights)[CK_PAGE]) {
    vector sum[TILE_QUERIES][8];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            sum[q][c] = vector_load(t->state[first + q] + STATE_HEADER + column + c * VECTOR_WIDTH);
        }
    }
    for (int64_t position = positions.begin; position < positions.end; position++) {
        vector value[8];
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            value[c] = load_elements(type, values, position * stride + column + c * VECTOR_WIDTH);
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            vector weight = vector_set(weights[first + q][position]);
#pragma clang loop unroll(full)
            for (int c = 0; c < columns; c++) sum[q][c] = vector_multiply_add(weight, value[c], sum[q][c]);
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            vector_store(t->state[first + q] + STATE_HEADER + column + c * VECTOR_WIDTH, sum[q][c]);
        }
    }
}

// All dimensions, in steps as wide as the registers allow.
CK_TEMPLATE void add_rows(ck_kv_type type, int queries, const tile *t, int first, const void *values, int64_t stride,
                          span positions, const float (*weights)[CK_PAGE]) {
    int64_t column = 0;
    if (8 * queries <= TILE_ACCUMULATORS) {
        for (; column + 8 * VECTOR_WIDTH <= stride; column += 8 * VECTOR_WIDTH) {
            add_values(type, queries, 8, t, first, values, stride, positions, column, weights);
        }
    }
    if (4 * queries <= TILE_ACCUMULATORS) {
        for (; column + 4 * VECTOR_WIDTH <= stride; column += 4 * VECTOR_WIDTH) {
            add_values(type, queries, 4, t, first, values, stride, positions, column, weights);
        }
    }
    for (; column + 2 * VECTOR_WIDTH <= stride; column += 2 * VECTOR_WIDTH) {
        add_values(type, queries, 2, t, first, values, stride, positions, column, weights);
    }
    for (; column < stride; column += VECTOR_WIDTH) {
        add_values(type, queries, 1, t, first, values, stride, positions, column, weights);
    }
}

// The same, in an order of rows and columns that suits where the page is. Each sum is still one chain in `positions`.
CK_TEMPLATE void add_shared(ck_kv_type type, int queries, const tile *t, const void *values, const void *ahead,
                            int64_t stride, span positions, const float (*weights)[CK_PAGE]) {
    if (!is_streamed(type)) {
        add_rows(type, queries, t, 0, values, stride, positions, weights);
        return;
    }
    for (int64_t row = positions.begin; row < positions.end; row += STREAM_ROWS) {
        for (int64_t byte = 0; byte < STREAM_ROWS * stride * element_bytes(type); byte += CACHE_LINE) {
            fetch((const char *)element_at(type, ahead, row * stride) + byte);
        }
        span rows = {row, minimum(row + STREAM_ROWS, positions.end)};
        add_rows(type, queries, t, 0, values, stride, rows, weights);
    }
}

// One query takes positions on its own, at the edges of causal and window masks.
CK_NOINLINE void add_edge_f16(const tile *t, int query, const void *values, int64_t stride, span positions,
                              const float (*weights)[CK_PAGE]) {
    add_rows(CK_KV_F16, 1, t, query, values, stride, positions, weights);
}
CK_NOINLINE void add_edge_f32(const tile *t, int query, const void *values, int64_t stride, span positions,
                              const float (*weights)[CK_PAGE]) {
    add_rows(CK_KV_F32, 1, t, query, values, stride, positions, weights);
}
CK_TEMPLATE void add_edge(ck_kv_type type, const tile *t, int query, const void *values, int64_t stride,
                          span positions, const float (*weights)[CK_PAGE]) {
    if (is_empty(positions)) return;
    (type == CK_KV_F16 ? add_edge_f16 : add_edge_f32)(t, query, values, stride, positions, weights);
}

// MARK: - One tile on one page

CK_TEMPLATE void attend_tile(ck_kv_type type, int queries, const ck_attention *job, int64_t first, const void *page,
                             const void *ahead, int64_t start) {
    const tile t = tile_at(job, first, queries, start);
    if (is_empty(t.any)) return;
    const int64_t head_dim = job->head_dim, stride = padded_head_dim(head_dim);
    const void *values = element_at(type, page, page_values_at(head_dim));

    _Alignas(64) float scores[TILE_QUERIES][CK_PAGE];
    score_page(type, queries, &t, page, ahead, head_dim, scores);
    for (int q = 0; q < queries; q++) {
        if (!is_empty(t.visible[q])) softmax_page(scores[q], t.visible[q], job->scale, stride, t.state[q]);
    }
    const float(*weights)[CK_PAGE] = (const float(*)[CK_PAGE])scores;
    if (is_empty(t.all)) {
        for (int q = 0; q < queries; q++) add_edge(type, &t, q, values, stride, t.visible[q], weights);
        return;
    }
    for (int q = 0; q < queries; q++) {
        add_edge(type, &t, q, values, stride, (span){t.visible[q].begin, t.all.begin}, weights);
    }
    const void *values_ahead = element_at(type, ahead, page_values_at(head_dim));
    add_shared(type, queries, &t, values, values_ahead, stride, t.all, weights);
    for (int q = 0; q < queries; q++) {
        add_edge(type, &t, q, values, stride, (span){t.all.end, t.visible[q].end}, weights);
    }
}

// Queries begin ..< end on one page, in tiles, while the page `ahead` is fetched. The number of queries of a tile must
// be a constant.
CK_TEMPLATE void attend_page(ck_kv_type type, const ck_attention *job, int64_t begin, int64_t end, const void *page,
                             const void *ahead, int64_t start) {
    for (; begin + TILE_QUERIES <= end; begin += TILE_QUERIES) {
        attend_tile(type, TILE_QUERIES, job, begin, page, ahead, start);
    }
    switch (end - begin) {
        case 7: if (TILE_QUERIES > 7) attend_tile(type, 7, job, begin, page, ahead, start); break;
        case 6: if (TILE_QUERIES > 6) attend_tile(type, 6, job, begin, page, ahead, start); break;
        case 5: if (TILE_QUERIES > 5) attend_tile(type, 5, job, begin, page, ahead, start); break;
        case 4: if (TILE_QUERIES > 4) attend_tile(type, 4, job, begin, page, ahead, start); break;
        case 3: if (TILE_QUERIES > 3) attend_tile(type, 3, job, begin, page, ahead, start); break;
        case 2: if (TILE_QUERIES > 2) attend_tile(type, 2, job, begin, page, ahead, start); break;
        case 1: attend_tile(type, 1, job, begin, page, ahead, start); break;
        default: break;
    }
}
CK_NOINLINE void attend_page_f16(const ck_attention *job, int64_t begin, int64_t end, const void *page,
                                 const void *ahead, int64_t start) {
    attend_page(CK_KV_F16, job, begin, end, page, ahead, start);
}
CK_NOINLINE void attend_page_f32(const ck_attention *job, int64_t begin, int64_t end, const void *page, int64_t start) {
    attend_page(CK_KV_F32, job, begin, end, page, page, start);
}

// The page to fetch while page i is at work, or page i itself for none. The processor follows a stream into an adjacent
// page on its own, and better, unless arithmetic takes most of the time.
CK_TEMPLATE const void *page_ahead(const ck_attention *job, int64_t i, int64_t queries) {
    const char *page = job->pages[i];
    if (i + 1 >= job->page_count) return page;
    const char *next = job->pages[i + 1];
    int64_t bytes = CK_PAGE * (job->head_dim + padded_head_dim(job->head_dim)) * element_bytes(CK_KV_F16);
    return next == page + bytes && queries <= STREAM_QUERIES ? page : next;
}

// MARK: - A chunk

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

// The part of an f16 page that holds `visible`, as an f32 page.
CK_TEMPLATE void widen_page(const void *page, int64_t head_dim, span visible, float *wide) {
    const uint16_t *from = page;
    int64_t stride = padded_head_dim(head_dim), values_at = page_values_at(head_dim);
    span parts[2] = {
        {visible.begin / LINE * LINE * head_dim, (visible.end + LINE - 1) / LINE * LINE * head_dim},
        {values_at + visible.begin * stride, values_at + visible.end * stride},
    };
    for (int part = 0; part < 2; part++) {
        for (int64_t i = parts[part].begin; i < parts[part].end; i += VECTOR_WIDTH) {
            vector_store(wide + i, vector_load_f16(from + i));
        }
    }
}

// Many queries: runs of them take each page in turn, converted once for the whole run.
CK_NOINLINE void attend_widened(const ck_attention *job, int64_t queries) {
    _Alignas(64) float wide[2 * CK_PAGE * WIDENED_HEAD_DIM];
    for (int64_t begin = 0; begin < queries; begin += RUN_QUERIES) {
        int64_t end = minimum(begin + RUN_QUERIES, queries);
        for (int64_t i = 0; i < job->page_count; i++) {
            int64_t start = job->first_position + i * CK_PAGE;
            span visible = run_span(job, begin, end, start);
            if (is_empty(visible)) continue;
            widen_page(job->pages[i], job->head_dim, visible, wide);
            attend_page_f32(job, begin, end, wide, start);
        }
    }
}

CK_TEMPLATE void attend(ck_kv_type type, const ck_attention *job) {
    int64_t queries = job->query_tokens * job->group;
    clear_states(job, queries);
    if (type == CK_KV_F16 && queries >= WIDENED_QUERIES && job->head_dim <= WIDENED_HEAD_DIM) {
        attend_widened(job, queries);
        return;
    }
    for (int64_t begin = 0; begin < queries; begin += RUN_QUERIES) {
        int64_t end = minimum(begin + RUN_QUERIES, queries);
        for (int64_t i = 0; i < job->page_count; i++) {
            int64_t start = job->first_position + i * CK_PAGE;
            if (is_empty(run_span(job, begin, end, start))) continue;
            if (type == CK_KV_F16) {
                attend_page_f16(job, begin, end, job->pages[i], page_ahead(job, i, queries), start);
            } else {
                attend_page_f32(job, begin, end, job->pages[i], start);
            }
        }
    }
}

static void attention_f16(const ck_attention *job) { attend(CK_KV_F16, job); }
static void attention_f32(const ck_attention *job) { attend(CK_KV_F32, job); }

// MARK: - Merging chunks

static void attention_merge(float *state, const float *partial, int64_t v_stride) {
    if (partial[0] == -INFINITY && partial[1] == 0) return;
    if (state[0] == -INFINITY) {
        memcpy(state, partial, (size_t)(STATE_HEADER + v_stride) * sizeof(float));
        return;
    }
    float highest = state[0] > partial[0] ? state[0] : partial[0];
    float keep = scalar_exp(state[0] - highest), take = scalar_exp(partial[0] - highest);
    state[0] = highest;
    state[1] = state[1] * keep + partial[1] * take;
    for (int64_t d = 0; d < v_stride; d += VECTOR_WIDTH) {
        float *out = state + STATE_HEADER + d;
        vector kept = vector_multiply(vector_load(out), vector_set(keep));
        vector_store(out, vector_multiply_add(vector_load(partial + STATE_HEADER + d), vector_set(take), kept));
    }
}

static void attention_finish(const float *state, int64_t head_dim, float *out) {
    const float sum = state[1];
    for (int64_t d = 0; d < head_dim; d += VECTOR_WIDTH) {
        int64_t count = minimum(head_dim - d, VECTOR_WIDTH);
        vector mean = sum == 0 ? vector_set(0.0f)
                               : vector_divide(vector_load_first(state + STATE_HEADER + d, count), vector_set(sum));
        vector_store_first(out + d, count, mean);
    }
}

CK_TEMPLATE void fill_attention(ck_kernels *table) {
    table->kv_store[CK_KV_F16] = kv_store_f16;
    table->kv_store[CK_KV_F32] = kv_store_f32;
    table->kv_copy[CK_KV_F16] = kv_copy_f16;
    table->kv_copy[CK_KV_F32] = kv_copy_f32;
    table->attention[CK_KV_F16] = attention_f16;
    table->attention[CK_KV_F32] = attention_f32;
    table->attention_merge = attention_merge;
    table->attention_finish = attention_finish;
}
