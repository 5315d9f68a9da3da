// Attention as it is written before the ideas that Martlet's own rests on: docs/LADDER.md measures what each brings.
//
// K and V are plain rows, one run of them for every query head, read from the first to the last; a score is a dot product
// of two rows. Both methods share that arithmetic (four queries take a row together, sums stay in registers), so that the
// difference between them is the method's: `plain` writes the scores of a query's whole context to memory and goes over
// them three times (Vaswani et al., 2017), `tiled` takes 64 positions at a time with an online softmax
// (FlashAttention, Dao et al., 2022). A query's partial result is that of ck_attention.
#pragma once
#include "tables.h"
#include "vector_math.h"

#pragma STDC FP_CONTRACT OFF

enum {
    ROW_QUERIES = 4,  // queries that take a row together
    ROW_ALIGNMENT = 16,
    STATE_HEADER = 16  // floats before the vector of a partial result: maximum, sum, padding
};

CK_TEMPLATE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
CK_TEMPLATE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
CK_TEMPLATE int64_t padded(int64_t count) { return (count + ROW_ALIGNMENT - 1) / ROW_ALIGNMENT * ROW_ALIGNMENT; }

// Positions begin ..< end.
typedef struct span {
    int64_t begin, end;
} span;

static void row_store_f32(const float *row, int64_t head_dim, void *out) {
    for (int64_t d = 0; d < padded(head_dim); d += VECTOR_WIDTH) {
        int64_t count = maximum(0, minimum(head_dim - d, VECTOR_WIDTH));
        vector_store((float *)out + d, vector_load_first(row + d, count));
    }
}

static void row_store_f16(const float *row, int64_t head_dim, void *out) {
    for (int64_t d = 0; d < padded(head_dim); d += VECTOR_WIDTH) {
        int64_t count = maximum(0, minimum(head_dim - d, VECTOR_WIDTH));
        vector_store_f16((uint16_t *)out + d, vector_load_first(row + d, count));
    }
}

CK_TEMPLATE vector row_load(ck_kv_type type, const void *rows, int64_t index) {
    return type == CK_KV_F16 ? vector_load_f16((const uint16_t *)rows + index) : vector_load((const float *)rows + index);
}

// The positions begin ..< end of the job that query token `token` sees.
CK_TEMPLATE span row_span(const ck_row_attention *job, int64_t token) {
    int64_t end = job->first_query + token + 1;
    int64_t begin = job->window > 0 ? maximum(0, end - job->window) : 0;
    return (span){maximum(begin, job->begin), minimum(end, job->end)};
}

// Unscaled scores of `queries` queries (a constant) and the positions of a span; scores[q * stride] belongs to `origin`.
CK_TEMPLATE void score_rows(ck_kv_type type, int queries, const ck_row_attention *job, int64_t token, span positions,
                            int64_t origin, float *scores, int64_t stride) {
    const float *query = job->queries + token * job->query_stride;
    int64_t row_stride = padded(job->head_dim);
    for (int64_t position = positions.begin; position < positions.end; position++) {
        vector sum[ROW_QUERIES];
        for (int q = 0; q < queries; q++) sum[q] = vector_set(0.0f);
        int64_t d = 0;
        for (; d + VECTOR_WIDTH <= job->head_dim; d += VECTOR_WIDTH) {
            vector key = row_load(type, job->keys, position * row_stride + d);
            for (int q = 0; q < queries; q++) {
                sum[q] = vector_multiply_add(vector_load(query + q * job->query_stride + d), key, sum[q]);
            }
        }
        if (d < job->head_dim) {
            vector key = row_load(type, job->keys, position * row_stride + d);
            for (int q = 0; q < queries; q++) {
                vector rest = vector_load_first(query + q * job->query_stride + d, job->head_dim - d);
                sum[q] = vector_multiply_add(rest, key, sum[q]);
            }
        }
        for (int q = 0; q < queries; q++) scores[q * stride + position - origin] = vector_sum_lanes(sum[q]);
    }
}

// Adds weight * V over a span to `columns` vectors of `queries` states (both constants), which lie behind one another.
CK_TEMPLATE void add_value_columns(ck_kv_type type, int queries, int columns, const ck_row_attention *job,
                                   span positions, int64_t origin, const float *weights, int64_t stride, float *state,
                                   int64_t column) {
    int64_t row_stride = padded(job->head_dim), state_stride = STATE_HEADER + row_stride;
    float *out = state + STATE_HEADER + column;
    vector sum[ROW_QUERIES][8];
    for (int q = 0; q < queries; q++) {
        for (int c = 0; c < columns; c++) sum[q][c] = vector_load(out + q * state_stride + c * VECTOR_WIDTH);
    }
    for (int64_t position = positions.begin; position < positions.end; position++) {
        for (int c = 0; c < columns; c++) {
            vector value = row_load(type, job->values, position * row_stride + column + c * VECTOR_WIDTH);
            for (int q = 0; q < queries; q++) {
                vector weight = vector_set(weights[q * stride + position - origin]);
                sum[q][c] = vector_multiply_add(weight, value, sum[q][c]);
            }
        }
    }
    for (int q = 0; q < queries; q++) {
        for (int c = 0; c < columns; c++) vector_store(out + q * state_stride + c * VECTOR_WIDTH, sum[q][c]);
    }
}

// The same for all columns, in steps as wide as the registers allow.
CK_TEMPLATE void add_value_rows(ck_kv_type type, int queries, const ck_row_attention *job, span positions,
                                int64_t origin, const float *weights, int64_t stride, float *state) {
    int64_t column = 0, end = padded(job->head_dim);
    if (8 * queries <= TILE_ACCUMULATORS) {
        for (; column + 8 * VECTOR_WIDTH <= end; column += 8 * VECTOR_WIDTH) {
            add_value_columns(type, queries, 8, job, positions, origin, weights, stride, state, column);
        }
    }
    if (4 * queries <= TILE_ACCUMULATORS) {
        for (; column + 4 * VECTOR_WIDTH <= end; column += 4 * VECTOR_WIDTH) {
            add_value_columns(type, queries, 4, job, positions, origin, weights, stride, state, column);
        }
    }
    for (; column + 2 * VECTOR_WIDTH <= end; column += 2 * VECTOR_WIDTH) {
        add_value_columns(type, queries, 2, job, positions, origin, weights, stride, state, column);
    }
    for (; column < end; column += VECTOR_WIDTH) {
        add_value_columns(type, queries, 1, job, positions, origin, weights, stride, state, column);
    }
}

CK_TEMPLATE void clear_row_states(const ck_row_attention *job) {
    int64_t state_stride = STATE_HEADER + padded(job->head_dim);
    memset(job->states, 0, (size_t)(job->query_tokens * state_stride) * sizeof(float));
    for (int64_t token = 0; token < job->query_tokens; token++) job->states[token * state_stride] = -INFINITY;
}

// Scores of one query and `count` positions (a multiple of 16) become weights e^(score - maximum), zero for those that it
// can't see. Maximum, sum and vector of its state move to the new maximum (online softmax, Milakov and Gimelshein, 2018).
CK_TEMPLATE void softmax(float *scores, int64_t count, span visible, float scale, int64_t stride, float *state) {
    for (int64_t i = 0; i < visible.begin; i++) scores[i] = -INFINITY;
    for (int64_t i = visible.end; i < count; i++) scores[i] = -INFINITY;
    vector highest = vector_set(state[0]), sum = vector_set(0.0f);
    for (int64_t i = 0; i < count; i += VECTOR_WIDTH) {
        vector score = vector_multiply(vector_load(scores + i), vector_set(scale));
        vector_store(scores + i, score);
        highest = vector_maximum(highest, score);
    }
    float largest = vector_maximum_lanes(highest), shrink = scalar_exp(state[0] - largest);
    state[0] = largest;
    for (int64_t i = 0; i < count; i += VECTOR_WIDTH) {
        vector weight = vector_exp(vector_subtract(vector_load(scores + i), vector_set(largest)));
        vector_store(scores + i, weight);
        sum = vector_add(sum, weight);
    }
    state[1] = state[1] * shrink + vector_sum_lanes(sum);
    if (shrink == 1.0f) return;
    for (int64_t d = 0; d < stride; d += VECTOR_WIDTH) {
        float *out = state + STATE_HEADER + d;
        vector_store(out, vector_multiply(vector_load(out), vector_set(shrink)));
    }
}

// MARK: - Plain

// The first and the third pass of `queries` query tokens (a constant).
CK_TEMPLATE void plain_pass(ck_kv_type type, int queries, const ck_row_attention *job, int64_t token, bool is_first) {
    span seen = {row_span(job, token).begin, row_span(job, token + queries - 1).end};
    float *scores = job->scores + token * job->score_stride;
    if (is_first) {
        score_rows(type, queries, job, token, seen, 0, scores, job->score_stride);
    } else {
        float *state = job->states + token * (STATE_HEADER + padded(job->head_dim));
        add_value_rows(type, queries, job, seen, 0, scores, job->score_stride, state);
    }
}

CK_TEMPLATE void plain_passes(ck_kv_type type, const ck_row_attention *job, bool is_first) {
    int64_t token = 0;
    for (; token + ROW_QUERIES <= job->query_tokens; token += ROW_QUERIES) {
        plain_pass(type, ROW_QUERIES, job, token, is_first);
    }
    for (; token < job->query_tokens; token++) plain_pass(type, 1, job, token, is_first);
}

// Scores, softmax, weighted values: each goes over the whole matrix of scores.
CK_TEMPLATE void plain_attention(ck_kv_type type, const ck_row_attention *job) {
    clear_row_states(job);
    plain_passes(type, job, true);
    int64_t stride = padded(job->head_dim);
    for (int64_t token = 0; token < job->query_tokens; token++) {
        softmax(job->scores + token * job->score_stride, padded(job->end), row_span(job, token), job->scale, stride,
                job->states + token * (STATE_HEADER + stride));
    }
    plain_passes(type, job, false);
}

// MARK: - Tiled

// `queries` queries (a constant) on the 64 positions from `start` on: their scores never leave the first-level cache.
CK_TEMPLATE void tiled_rows(ck_kv_type type, int queries, const ck_row_attention *job, int64_t token, int64_t start) {
    int64_t stride = padded(job->head_dim);
    float *state = job->states + token * (STATE_HEADER + stride);
    span seen = {row_span(job, token).begin, row_span(job, token + queries - 1).end};
    seen = (span){maximum(seen.begin, start), minimum(seen.end, start + CK_PAGE)};
    if (seen.begin >= seen.end) return;
    _Alignas(64) float scores[ROW_QUERIES][CK_PAGE];
    score_rows(type, queries, job, token, seen, start, scores[0], CK_PAGE);
    for (int q = 0; q < queries; q++, state += STATE_HEADER + stride) {
        span visible = row_span(job, token + q);
        visible = (span){maximum(visible.begin - start, 0), minimum(visible.end - start, CK_PAGE)};
        if (visible.begin < visible.end) {
            softmax(scores[q], CK_PAGE, visible, job->scale, stride, state);
        } else {
            memset(scores[q], 0, sizeof scores[q]);
        }
    }
    state = job->states + token * (STATE_HEADER + stride);
    add_value_rows(type, queries, job, seen, start, scores[0], CK_PAGE, state);
}

CK_TEMPLATE void tiled_attention(ck_kv_type type, const ck_row_attention *job) {
    clear_row_states(job);
    for (int64_t start = job->begin / CK_PAGE * CK_PAGE; start < job->end; start += CK_PAGE) {
        int64_t token = 0;
        for (; token + ROW_QUERIES <= job->query_tokens; token += ROW_QUERIES) {
            tiled_rows(type, ROW_QUERIES, job, token, start);
        }
        for (; token < job->query_tokens; token++) tiled_rows(type, 1, job, token, start);
    }
}

static void plain_attention_f16(const ck_row_attention *job) { plain_attention(CK_KV_F16, job); }
static void plain_attention_f32(const ck_row_attention *job) { plain_attention(CK_KV_F32, job); }
static void tiled_attention_f16(const ck_row_attention *job) { tiled_attention(CK_KV_F16, job); }
static void tiled_attention_f32(const ck_row_attention *job) { tiled_attention(CK_KV_F32, job); }

CK_TEMPLATE void fill_attention_baseline(ck_kernels *table) {
    table->row_store[CK_KV_F16] = row_store_f16;
    table->row_store[CK_KV_F32] = row_store_f32;
    table->plain_attention[CK_KV_F16] = plain_attention_f16;
    table->plain_attention[CK_KV_F32] = plain_attention_f32;
    table->tiled_attention[CK_KV_F16] = tiled_attention_f16;
    table->tiled_attention[CK_KV_F32] = tiled_attention_f32;
}
