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
// (attention_avx512bf16.c and attention_avx512vnni.c have products of their own that keep the same rules.)
// So nothing that a query can't see reaches its result: unwritten rows may hold NaN. A NaN that it does see makes the
// whole result NaN.
#pragma once
#include "attention_tile.h"
#include "kv_store.h"

enum {
    LINE_VECTORS = LINE / VECTOR_WIDTH,
    WIDENED_HEAD_DIM = 256,  // the largest head whose pages are converted to f32: one takes 128 KB of stack then
    STREAM_ROWS = 8          // rows of V that a tile takes through all its columns at a time
};

// A page as a tile reads it. `ahead` is one of the same type to fetch meanwhile, or the page itself for none.
typedef struct page {
    const void *base, *ahead;
    const float *key_scales, *value_scales;  // NULL where the type has none
    int64_t head_dim;
    int64_t start;  // the position of its first row
} page;

// A narrow page comes from memory, so its tile reads it as one stream and fetches the next page meanwhile. An f32 page
// is mostly a converted one, and in the cache.
CK_TEMPLATE bool is_streamed(ck_kv_type type) { return type != CK_KV_F32; }

// Lanes of 32 bits (of f16: 16) that hold `depth` elements each, and one of these as floats.
typedef struct cells {
    vector floats;
    vector_words words;
} cells;
CK_TEMPLATE cells load_cells(ck_kv_type type, const void *from) {
    cells c;
    if (type == CK_KV_F16) {
        c.floats = vector_load_f16(from);
    } else if (type == CK_KV_F32) {
        c.floats = vector_load(from);
    } else {
        c.words = vector_load_words(from);
    }
    return c;
}
// Codes of V are signed; those of K are made so first.
CK_TEMPLATE cells load_keys(ck_kv_type type, const void *from) {
    cells c = load_cells(type, from);
    if (type == CK_KV_INT8) c.words = vector_flip_words(c.words, 0x80808080);
    return c;
}
CK_TEMPLATE vector cell_part(ck_kv_type type, cells c, int part) {
    if (type == CK_KV_BF16) return vector_word_bf16(c.words, part);
    if (type == CK_KV_INT8) return vector_word_code(c.words, part);
    return c.floats;
}

// MARK: - Scores

// Adds the products of `parts` dimensions, from d on. type, queries, lines and parts are constants.
CK_TEMPLATE void score_cell(ck_kv_type type, int queries, int lines, int parts, const tile *t, const page *p, int64_t d,
                            int64_t line, vector (*sum)[PAGE_LINES * LINE_VECTORS]) {
    cells key[PAGE_LINES * LINE_VECTORS];
#pragma clang loop unroll(full)
    for (int v = 0; v < lines * LINE_VECTORS; v++) {
        int64_t at = key_at(type, p->head_dim, d, line * LINE + v * VECTOR_WIDTH);
        key[v] = load_keys(type, (const char *)p->base + at);
    }
#pragma clang loop unroll(full)
    for (int part = 0; part < parts; part++) {
        vector k[PAGE_LINES * LINE_VECTORS];
#pragma clang loop unroll(full)
        for (int v = 0; v < lines * LINE_VECTORS; v++) k[v] = cell_part(type, key[v], part);
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            vector x = vector_set(t->query[q][d + part]);
#pragma clang loop unroll(full)
            for (int v = 0; v < lines * LINE_VECTORS; v++) sum[q][v] = vector_multiply_add(x, k[v], sum[q][v]);
        }
    }
}

// Scores of `queries` queries with `lines` lines of K, from the one at `line` on. type, queries and lines are
// constants.
CK_TEMPLATE void score_lines(ck_kv_type type, int queries, int lines, const tile *t, const page *p, int64_t line,
                             float (*scores)[CK_PAGE]) {
    const int depth = (int)kv_depth(type);
    vector sum[TILE_QUERIES][PAGE_LINES * LINE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < lines * LINE_VECTORS; v++) sum[q][v] = vector_set(0.0f);
    }
    int64_t d = 0;
#pragma clang loop unroll_count(2)
    for (; d + depth <= p->head_dim; d += depth) {
        if (is_streamed(type)) {
#pragma clang loop unroll(full)
            for (int i = 0; i < lines; i++) {
                int64_t at = key_at(type, p->head_dim, d, (line + i) * LINE);
                if (at % CACHE_LINE == 0) fetch((const char *)p->ahead + at);
            }
        }
        score_cell(type, queries, lines, depth, t, p, d, line, sum);
    }
    if (d < p->head_dim) score_cell(type, queries, lines, 2, t, p, d, line, sum);  // int8: head dims are even
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < lines * LINE_VECTORS; v++) {
            vector_store(&scores[q][line * LINE + v * VECTOR_WIDTH], sum[q][v]);
        }
    }
}

// Every line that some query sees a position of.
CK_TEMPLATE void score_page(ck_kv_type type, int queries, const tile *t, const page *p, float (*scores)[CK_PAGE]) {
    int64_t line = t->any.begin / LINE, end = (t->any.end + LINE - 1) / LINE;
    if (end - line < PAGE_LINES) memset(scores, 0, (size_t)queries * sizeof *scores);
    const int at_once = is_streamed(type) ? 1 : lines_at_once(queries, false, SCORE_ACCUMULATORS / LINE_VECTORS);
    if (at_once >= 4) {
        for (; line + 4 <= end; line += 4) score_lines(type, queries, 4, t, p, line, scores);
    }
    if (at_once >= 2) {
        for (; line + 2 <= end; line += 2) score_lines(type, queries, 2, t, p, line, scores);
    }
    for (; line < end; line++) score_lines(type, queries, 1, t, p, line, scores);
}

// MARK: - Values

// The positions of one cell that are in `inside`; all of them if is_whole, a constant.
CK_TEMPLATE void add_cell(ck_kv_type type, bool is_whole, int queries, int columns, int first,
                          const page *p, int64_t position, span inside, int64_t column,
                          const float (*weights)[CK_PAGE], vector (*sum)[8]) {
    cells value[8];
#pragma clang loop unroll(full)
    for (int c = 0; c < columns; c++) {
        int64_t at = value_at(type, p->head_dim, column + c * VECTOR_WIDTH, position);
        value[c] = load_cells(type, (const char *)p->base + at);
    }
#pragma clang loop unroll(full)
    for (int part = 0; part < (int)kv_depth(type); part++) {
        if (!is_whole && (position + part < inside.begin || position + part >= inside.end)) continue;
        vector v[8];
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) v[c] = cell_part(type, value[c], part);
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            vector weight = vector_set(weights[first + q][position + part]);
#pragma clang loop unroll(full)
            for (int c = 0; c < columns; c++) sum[q][c] = vector_multiply_add(weight, v[c], sum[q][c]);
        }
    }
}

// Adds weight * V over `positions` to dimensions column ..< column + columns * VECTOR_WIDTH of the queries `first`
// ..< first + queries of the tile. type, queries and columns are constants.
CK_TEMPLATE void add_values(ck_kv_type type, int queries, int columns, const tile *t, int first, const page *p,
                            span positions, int64_t column, const float (*weights)[CK_PAGE]) {
    const int64_t depth = kv_depth(type);
    vector sum[TILE_QUERIES][8];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            sum[q][c] = vector_load(t->state[first + q] + STATE_HEADER + column + c * VECTOR_WIDTH);
        }
    }
    int64_t position = positions.begin / depth * depth;
    if (depth > 1 && position < positions.begin && position < positions.end) {
        add_cell(type, false, queries, columns, first, p, position, positions, column, weights, sum);
        position += depth;
    }
    for (; position + depth <= positions.end; position += depth) {
        add_cell(type, true, queries, columns, first, p, position, positions, column, weights, sum);
    }
    if (depth > 1 && position < positions.end) {
        add_cell(type, false, queries, columns, first, p, position, positions, column, weights, sum);
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
CK_TEMPLATE void add_rows(ck_kv_type type, int queries, const tile *t, int first, const page *p, span positions,
                          const float (*weights)[CK_PAGE]) {
    const int64_t stride = padded_head_dim(p->head_dim);
    int64_t column = 0;
    if (8 * queries <= TILE_ACCUMULATORS) {
        for (; column + 8 * VECTOR_WIDTH <= stride; column += 8 * VECTOR_WIDTH) {
            add_values(type, queries, 8, t, first, p, positions, column, weights);
        }
    }
    if (4 * queries <= TILE_ACCUMULATORS) {
        for (; column + 4 * VECTOR_WIDTH <= stride; column += 4 * VECTOR_WIDTH) {
            add_values(type, queries, 4, t, first, p, positions, column, weights);
        }
    }
    for (; column + 2 * VECTOR_WIDTH <= stride; column += 2 * VECTOR_WIDTH) {
        add_values(type, queries, 2, t, first, p, positions, column, weights);
    }
    for (; column < stride; column += VECTOR_WIDTH) {
        add_values(type, queries, 1, t, first, p, positions, column, weights);
    }
}

// The same, in an order of rows and columns that suits where the page is. Each sum is still one chain in `positions`.
CK_TEMPLATE void add_shared(ck_kv_type type, int queries, const tile *t, const page *p, span positions,
                            const float (*weights)[CK_PAGE]) {
    if (!is_streamed(type)) {
        add_rows(type, queries, t, 0, p, positions, weights);
        return;
    }
    const int64_t row_bytes = padded_head_dim(p->head_dim) * kv_element_bytes(type);
    for (int64_t row = positions.begin / STREAM_ROWS * STREAM_ROWS; row < positions.end; row += STREAM_ROWS) {
        const char *ahead = (const char *)p->ahead + value_at(type, p->head_dim, 0, row);
        for (int64_t byte = 0; byte < STREAM_ROWS * row_bytes; byte += CACHE_LINE) fetch(ahead + byte);
        span rows = {maximum(row, positions.begin), minimum(row + STREAM_ROWS, positions.end)};
        add_rows(type, queries, t, 0, p, rows, weights);
    }
}

// One query takes positions on its own, at the edges of causal and window masks.
CK_NOINLINE void add_edge_f16(const tile *t, int query, const page *p, span at, const float (*weights)[CK_PAGE]) {
    add_rows(CK_KV_F16, 1, t, query, p, at, weights);
}
CK_NOINLINE void add_edge_f32(const tile *t, int query, const page *p, span at, const float (*weights)[CK_PAGE]) {
    add_rows(CK_KV_F32, 1, t, query, p, at, weights);
}
CK_NOINLINE void add_edge_bf16(const tile *t, int query, const page *p, span at, const float (*weights)[CK_PAGE]) {
    add_rows(CK_KV_BF16, 1, t, query, p, at, weights);
}
CK_NOINLINE void add_edge_int8(const tile *t, int query, const page *p, span at, const float (*weights)[CK_PAGE]) {
    add_rows(CK_KV_INT8, 1, t, query, p, at, weights);
}
CK_TEMPLATE void add_edge(ck_kv_type type, const tile *t, int query, const page *p, span at,
                          const float (*weights)[CK_PAGE]) {
    if (is_empty(at)) return;
    switch (type) {
        case CK_KV_F16: add_edge_f16(t, query, p, at, weights); break;
        case CK_KV_BF16: add_edge_bf16(t, query, p, at, weights); break;
        case CK_KV_INT8: add_edge_int8(t, query, p, at, weights); break;
        default: add_edge_f32(t, query, p, at, weights); break;
    }
}

// MARK: - One tile on one page

CK_TEMPLATE void attend_tile(ck_kv_type type, int queries, const ck_attention *job, int64_t first, const page *p) {
    const tile t = tile_at(job, first, queries, p->start);
    if (is_empty(t.any)) return;
    const int64_t stride = padded_head_dim(p->head_dim);

    _Alignas(64) float scores[TILE_QUERIES][CK_PAGE];
    score_page(type, queries, &t, p, scores);
    // Two loops: the chain of operations from scores to a sum is long, and shorter ones of several queries overlap.
    float highest[TILE_QUERIES];
    for (int q = 0; q < queries; q++) {
        if (is_empty(t.visible[q])) continue;
        highest[q] = softmax_raise(scores[q], p->key_scales, t.visible[q], job->scale, stride, t.state[q]);
    }
    for (int q = 0; q < queries; q++) {
        if (is_empty(t.visible[q])) continue;
        softmax_weights(scores[q], highest[q], t.state[q]);
        // What V's scale would do to each of a row's elements, done once; positions out of sight are never read.
        for (int i = 0; p->value_scales && i < CK_PAGE; i += VECTOR_WIDTH) {
            vector_store(scores[q] + i,
                         vector_multiply(vector_load(scores[q] + i), vector_load(p->value_scales + i)));
        }
    }
    const float(*weights)[CK_PAGE] = (const float(*)[CK_PAGE])scores;
    if (is_empty(t.all)) {
        for (int q = 0; q < queries; q++) add_edge(type, &t, q, p, t.visible[q], weights);
        return;
    }
    for (int q = 0; q < queries; q++) {
        add_edge(type, &t, q, p, (span){t.visible[q].begin, t.all.begin}, weights);
    }
    add_shared(type, queries, &t, p, t.all, weights);
    for (int q = 0; q < queries; q++) {
        add_edge(type, &t, q, p, (span){t.all.end, t.visible[q].end}, weights);
    }
}

// Queries begin ..< end on one page.
#define ATTEND(type) \
    CK_NOINLINE void attend_page_##type(const ck_attention *job, int64_t begin, int64_t end, const page *p)
#define F16_TILE(count, first) attend_tile(CK_KV_F16, count, job, first, p)
#define F32_TILE(count, first) attend_tile(CK_KV_F32, count, job, first, p)
#define BF16_TILE(count, first) attend_tile(CK_KV_BF16, count, job, first, p)
#define INT8_TILE(count, first) attend_tile(CK_KV_INT8, count, job, first, p)
ATTEND(f16) { CK_FOR_EACH_TILE(begin, end, F16_TILE); }
ATTEND(f32) { CK_FOR_EACH_TILE(begin, end, F32_TILE); }
ATTEND(bf16) { CK_FOR_EACH_TILE(begin, end, BF16_TILE); }
ATTEND(int8) { CK_FOR_EACH_TILE(begin, end, INT8_TILE); }
#undef ATTEND

// MARK: - A chunk

// The part of a page that holds `visible`, as an f32 page; codes stay without their scales.
CK_TEMPLATE void widen_page(ck_kv_type type, const void *base, int64_t head_dim, span visible, float *wide) {
    const int64_t depth = kv_depth(type), stride = padded_head_dim(head_dim);
    for (int64_t position = visible.begin / LINE * LINE; position < visible.end; position += VECTOR_WIDTH) {
        for (int64_t d = 0; d < head_dim; d += depth) {
            cells keys = load_keys(type, (const char *)base + key_at(type, head_dim, d, position));
#pragma clang loop unroll(full)
            for (int part = 0; part < depth; part++) {
                if (d + part >= head_dim) break;
                float *to = wide + key_at(CK_KV_F32, head_dim, d + part, position) / 4;
                vector_store(to, cell_part(type, keys, part));
            }
        }
    }
    for (int64_t position = visible.begin / depth * depth; position < visible.end; position += depth) {
        for (int64_t d = 0; d < stride; d += VECTOR_WIDTH) {
            cells values = load_cells(type, (const char *)base + value_at(type, head_dim, d, position));
#pragma clang loop unroll(full)
            for (int part = 0; part < depth; part++) {
                float *to = wide + value_at(CK_KV_F32, head_dim, d, position + part) / 4;
                vector_store(to, cell_part(type, values, part));
            }
        }
    }
}

CK_TEMPLATE page page_at(ck_kv_type type, const ck_attention *job, int64_t i, int64_t queries) {
    const float *scales = page_scales(type, job->head_dim, job->pages[i]);
    return (page){job->pages[i], page_ahead(type, job, i, queries), scales, scales ? scales + CK_PAGE : NULL,
                  job->head_dim, job->first_position + i * CK_PAGE};
}

// Many queries: runs of them take each page in turn, converted once for the whole run.
CK_TEMPLATE void attend_widened(ck_kv_type type, const ck_attention *job, int64_t queries) {
    _Alignas(64) float wide[2 * CK_PAGE * WIDENED_HEAD_DIM];
    for (int64_t begin = 0; begin < queries; begin += RUN_QUERIES) {
        int64_t end = minimum(begin + RUN_QUERIES, queries);
        for (int64_t i = 0; i < job->page_count; i++) {
            page p = page_at(type, job, i, queries);
            span visible = run_span(job, begin, end, p.start);
            if (is_empty(visible)) continue;
            widen_page(type, p.base, p.head_dim, visible, wide);
            p.base = p.ahead = wide;
            attend_page_f32(job, begin, end, &p);
        }
    }
}

CK_TEMPLATE void attend(ck_kv_type type, const ck_attention *job) {
    int64_t queries = job->query_tokens * job->group;
    clear_states(job, queries);
    if (type != CK_KV_F32 && queries >= WIDENED_QUERIES && job->head_dim <= WIDENED_HEAD_DIM) {
        attend_widened(type, job, queries);
        return;
    }
    for (int64_t begin = 0; begin < queries; begin += RUN_QUERIES) {
        int64_t end = minimum(begin + RUN_QUERIES, queries);
        for (int64_t i = 0; i < job->page_count; i++) {
            const page p = page_at(type, job, i, queries);
            if (is_empty(run_span(job, begin, end, p.start))) continue;
            switch (type) {
                case CK_KV_F16: attend_page_f16(job, begin, end, &p); break;
                case CK_KV_BF16: attend_page_bf16(job, begin, end, &p); break;
                case CK_KV_INT8: attend_page_int8(job, begin, end, &p); break;
                default: attend_page_f32(job, begin, end, &p); break;
            }
        }
    }
}

static void attention_f16(const ck_attention *job) { attend(CK_KV_F16, job); }
static void attention_f32(const ck_attention *job) { attend(CK_KV_F32, job); }
static void attention_bf16(const ck_attention *job) { attend(CK_KV_BF16, job); }
static void attention_int8(const ck_attention *job) { attend(CK_KV_INT8, job); }

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
    table->kv_store[CK_KV_BF16] = kv_store_bf16;
    table->kv_store[CK_KV_INT8] = kv_store_int8;
    table->kv_copy[CK_KV_F16] = ck_kv_copy_f16;
    table->kv_copy[CK_KV_F32] = ck_kv_copy_f32;
    table->kv_copy[CK_KV_BF16] = ck_kv_copy_bf16;
    table->kv_copy[CK_KV_INT8] = ck_kv_copy_int8;
    table->attention[CK_KV_F16] = attention_f16;
    table->attention[CK_KV_F32] = attention_f32;
    table->attention[CK_KV_BF16] = attention_bf16;
    table->attention[CK_KV_INT8] = attention_int8;
    table->attention_merge = attention_merge;
    table->attention_finish = attention_finish;
}
