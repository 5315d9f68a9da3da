// Compares every kernel of the NEON table with the portable one, which the Swift tests hold against double precision.
//
// The Swift tests run on NEON by themselves on an arm64 machine. This program needs no Swift for arm64: it is
// cross-compiled and runs under qemu (scripts/check-neon.sh run). Prints what failed; the exit status counts.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

static const ck_kernels *neon, *portable;
static int failures, checks;

static void check(int passed, const char *what, int64_t a, int64_t b, int64_t c) {
    checks++;
    if (passed) return;
    if (failures++ < 20) printf("FAILED %s (%lld, %lld, %lld)\n", what, (long long)a, (long long)b, (long long)c);
}

// MARK: - Data

static uint64_t state = 1;
static uint32_t random_bits(void) {  // Knuth's MMIX generator, upper half
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}
static float random_float(void) { return (float)(int32_t)random_bits() * 0x1p-31f; }

static void *allocate(int64_t bytes) {
    void *memory = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64);
    if (!memory) abort();
    memset(memory, 0xa5, (size_t)(bytes + 63) / 64 * 64);  // kernels must write, not rely on zeros
    return memory;
}
static float *random_floats(int64_t count) {
    float *values = allocate(count * 4);
    for (int64_t i = 0; i < count; i++) values[i] = random_float();
    return values;
}

// MARK: - Linear

typedef void activation_writer(const float *, int64_t, int64_t, void *, int64_t, int64_t);

static activation_writer *writer(const ck_kernels *kernels, ck_activation format) {
    switch (format) {
        case CK_ACT_Q8: return kernels->quantize_q8;
        case CK_ACT_Q16: return kernels->quantize_q16;
        default: return kernels->convert_bf16;
    }
}

static void *activations(const ck_kernels *kernels, ck_activation format, const float *rows, int64_t columns,
                         int64_t padded, int64_t tokens) {
    int64_t bytes = ck_activation_bytes(format, padded, tokens);
    uint8_t *out = allocate(bytes);
    if (format == CK_ACT_F32) {
        memcpy(out, rows, (size_t)bytes);
        return out;
    }
    for (int64_t t = 0; t < tokens; t++) {
        int64_t first = t / CK_TILE * CK_TILE, count = tokens - first < CK_TILE ? tokens - first : CK_TILE;
        void *tile = out + ck_activation_bytes(format, padded, first);
        writer(kernels, format)(rows + t * columns, columns, padded, tile, count, t - first);
    }
    return out;
}

static int code_bits(ck_layout layout) {
    switch (layout) {
        case CK_Q4S: case CK_Q4A: case CK_Q4Z: case CK_Q4W: case CK_Q4K: return 4;
        case CK_Q5K: return 5;
        case CK_Q6K: return 6;
        default: return 8;
    }
}

static int has_factors(ck_layout layout) { return layout == CK_Q4K || layout == CK_Q5K || layout == CK_Q6K; }
static int has_zero_points(ck_layout layout) {
    return layout == CK_Q4Z || layout == CK_Q4W || layout == CK_Q8Z || layout == CK_Q8W;
}
static int has_offsets(ck_layout layout) {
    return layout == CK_Q4A || layout == CK_Q8A || layout == CK_Q4K || layout == CK_Q5K || has_zero_points(layout);
}

static uint8_t *random_codes(int64_t count, int bits) {
    uint8_t *codes = allocate(count);
    for (int64_t i = 0; i < count; i++) codes[i] = (uint8_t)(random_bits() & ((1u << bits) - 1));
    return codes;
}

static uint8_t *pack(ck_layout layout, int64_t rows, int64_t columns) {
    int64_t bytes = ck_panel_bytes(layout, columns), panels = (rows + CK_PANEL - 1) / CK_PANEL;
    uint8_t *packed = allocate(panels * bytes);
    int64_t groups = columns / 16;  // as many as any layout has
    for (int64_t panel = 0; panel < panels; panel++) {
        int64_t count = rows - panel * CK_PANEL < CK_PANEL ? rows - panel * CK_PANEL : CK_PANEL;
        float *values = random_floats(count * columns), *scales = random_floats(count * groups);
        float *offsets = random_floats(count * groups);
        uint8_t *codes = random_codes(count * columns, code_bits(layout));
        uint8_t *scale_factors = random_codes(count * groups, 8), *offset_factors = random_codes(count * groups, 8);
        ck_affine_rows source = {codes, scales,  offsets, scale_factors, offset_factors,
                                 count, columns, 1 << (code_bits(layout) - 1)};
        if (ck_layout_activation(layout) == CK_ACT_Q8 || layout == CK_F8) {
            ck_pack_affine(layout, &source, packed + panel * bytes);
        } else {
            ck_pack_float(layout, values, count, columns, packed + panel * bytes);
        }
        free(values), free(scales), free(offsets), free(codes), free(scale_factors), free(offset_factors);
    }
    return packed;
}

static float *product(const ck_kernels *kernels, ck_layout layout, ck_activation format, const ck_linear *job,
                      const float *start) {
    float *output = allocate(job->tokens * job->output_stride * 4);
    memcpy(output, start, (size_t)(job->tokens * job->output_stride * 4));
    ck_linear own = *job;
    own.output = output;
    ck_run_linear(kernels, layout, format, &own, 0, (job->rows + CK_PANEL - 1) / CK_PANEL);
    return output;
}

// Affine layouts sum scale * code and the offset apart, and the two may cancel: the largest scale * code.
static double largest_product(ck_layout layout) {
    if (!has_offsets(layout)) return 0;
    return ((1 << code_bits(layout)) - 1) * (has_factors(layout) ? 255.0 : 1.0);
}

// Both tables' products are within n roundings of the sum of the terms' magnitudes (CKernelsTests/LinearReference),
// where the roundings are those of float sums: integer products are exact. One token's bits don't depend on the others.
static void check_linear(ck_layout layout, ck_activation format, int64_t rows, int64_t columns, int64_t tokens,
                         int options) {
    int64_t padded = ck_padded_columns(layout, columns), stride = rows + 3;
    uint8_t *packed = pack(layout, rows, columns);
    float *x = random_floats(tokens * columns), *bias = random_floats(rows), *start = random_floats(tokens * stride);
    void *acts = activations(portable, format, x, columns, padded, tokens);
    void *own = activations(neon, format, x, columns, padded, tokens);
    check(memcmp(acts, own, (size_t)ck_activation_bytes(format, padded, tokens)) == 0, "activations", format, columns,
          tokens);
    ck_linear job = {packed, acts, options & 1 ? bias : NULL, NULL, padded, rows, tokens, stride, options & 2};
    float *expected = product(portable, layout, format, &job, start);
    float *result = product(neon, layout, format, &job, start);
    float *row = allocate(columns * 4);
    for (int64_t r = 0; r < rows; r++) {
        ck_unpack_row(layout, packed, r, columns, row);
        for (int64_t t = 0; t < tokens; t++) {
            double magnitude = fabs((double)bias[r]) + fabs((double)start[t * stride + r]);
            for (int64_t k = 0; k < columns; k++) {
                magnitude += (fabs((double)row[k]) + largest_product(layout)) * fabs((double)x[t * columns + k]);
            }
            double n = (format == CK_ACT_Q8 || format == CK_ACT_Q16) ? (double)columns / 8 : (double)columns;
            double error = fabs((double)result[t * stride + r] - expected[t * stride + r]);
            check(error <= (n + 4) * 0x1p-23 * magnitude, "linear", layout * 10 + format, r, t);
        }
    }
    for (int64_t t = 0; t < tokens; t++) {
        void *alone = activations(neon, format, x + t * columns, columns, padded, 1);
        ck_linear one = job;
        one.activations = alone;
        one.tokens = 1;
        float *single = product(neon, layout, format, &one, start + t * stride);
        // Beyond the valid rows nothing may be written.
        check(memcmp(single, result + t * stride, (size_t)stride * 4) == 0, "one token's bits", layout, format, t);
        check(memcmp(single + rows, start + t * stride + rows, (size_t)(stride - rows) * 4) == 0, "row bounds", layout,
              format, t);
        free(alone), free(single);
    }
    free(packed), free(x), free(bias), free(start), free(acts), free(own), free(expected), free(result), free(row);
}

// Codes and activations at their limits, all factors 1: every sum is an integer that float holds.
static void check_extremes(ck_layout layout, uint8_t code, float activation) {
    enum { COLUMNS = 64, TOKENS = 9 };
    uint8_t codes[CK_PANEL * COLUMNS], factors[CK_PANEL * 4], *packed = allocate(ck_panel_bytes(layout, COLUMNS));
    float scales[CK_PANEL * 4], offsets[CK_PANEL * 4] = {0}, x[TOKENS * COLUMNS], start[TOKENS * CK_PANEL] = {0};
    const int zero = has_offsets(layout) ? 0 : 1 << (code_bits(layout) - 1);
    memset(codes, code, sizeof codes);
    memset(factors, 1, sizeof factors);
    for (int i = 0; i < CK_PANEL * 4; i++) scales[i] = 1;
    for (int i = 0; i < TOKENS * COLUMNS; i++) x[i] = activation;
    ck_affine_rows source = {codes, scales, offsets, factors, factors, CK_PANEL, COLUMNS, zero};
    ck_pack_affine(layout, &source, packed);
    void *acts = activations(neon, CK_ACT_Q8, x, COLUMNS, COLUMNS, TOKENS);
    ck_linear job = {packed, acts, NULL, NULL, COLUMNS, CK_PANEL, TOKENS, CK_PANEL, 0};
    float *result = product(neon, layout, CK_ACT_Q8, &job, start);
    float expected = COLUMNS * activation * (float)(code - zero);
    for (int i = 0; i < TOKENS * CK_PANEL; i++) check(result[i] == expected, "extremes", layout, code, (int)activation);
    free(packed), free(acts), free(result);
}

static void check_all_linear(void) {
    for (int layout = 0; layout < CK_LAYOUT_COUNT; layout++) {
        int quantized = ck_layout_activation(layout) == CK_ACT_Q8;
        for (int64_t tokens = 1; tokens <= 19; tokens += tokens < 9 ? 1 : 5) {
            int64_t rows = 13 + 5 * tokens, columns = quantized ? 32 * (1 + tokens % 9) * 2 - 32 : 61 + 23 * tokens;
            check_linear(layout, ck_layout_activation(layout), rows, columns, tokens, (int)tokens % 4);
            if (quantized) check_linear(layout, CK_ACT_Q16, rows, columns, tokens, (int)tokens % 4);
        }
        if (!quantized) continue;
        uint8_t most = (uint8_t)((1 << code_bits(layout)) - 1);
        for (int sign = -127; sign <= 127; sign += 254) {
            check_extremes(layout, most, (float)sign);
            check_extremes(layout, 0, (float)sign);
        }
    }
}

// MARK: - Attention

// The portable table fuses its multiply-adds on arm64 and folds lanes in the same tree, so bits agree.
static void check_attention(ck_kv_type type, int64_t head_dim, int64_t group, int64_t tokens, int64_t pages,
                            int64_t window) {
    int64_t v_stride = (head_dim + 15) / 16 * 16, elements = CK_PAGE * (head_dim + v_stride);
    int64_t bytes = elements * (type == CK_KV_F16 ? 2 : 4), partial = 16 + v_stride;
    uint8_t *pool = allocate(pages * bytes), *other = allocate(pages * bytes);
    const void *table[CK_CHUNK_PAGES];
    for (int64_t p = 0; p < pages; p++) {
        table[p] = pool + p * bytes;
        for (int64_t slot = 0; slot < CK_PAGE; slot++) {
            float *key = random_floats(head_dim), *value = random_floats(head_dim);
            ck_run_kv_store(neon, type, key, value, head_dim, pool + p * bytes, slot);
            ck_run_kv_store(portable, type, key, value, head_dim, other + p * bytes, slot);
            free(key), free(value);
        }
    }
    check(memcmp(pool, other, (size_t)(pages * bytes)) == 0, "kv_store", type, head_dim, pages);
    ck_run_kv_copy(neon, type, pool, 3, pool, 5, head_dim);
    ck_run_kv_copy(portable, type, other, 3, other, 5, head_dim);
    check(memcmp(pool, other, (size_t)(pages * bytes)) == 0, "kv_copy", type, head_dim, pages);

    int64_t queries = tokens * group;
    float *x = random_floats(queries * head_dim);
    float *result = allocate(queries * partial * 4), *expected = allocate(queries * partial * 4);
    int64_t first_query = pages * CK_PAGE - tokens;
    ck_attention job = {x,     group * head_dim, tokens, group,  head_dim, first_query,
                        table, pages,            0,      window, 2.5f,     result};
    ck_run_attention(neon, type, &job);
    job.partials = expected;
    ck_run_attention(portable, type, &job);
    check(memcmp(result, expected, (size_t)(queries * partial * 4)) == 0, "attention", head_dim, group, tokens);

    float *finished = allocate(head_dim * 8);
    for (int64_t query = 0; query + 1 < queries; query++) {
        neon->attention_merge(result + query * partial, result + (query + 1) * partial, v_stride);
        portable->attention_merge(expected + query * partial, expected + (query + 1) * partial, v_stride);
        neon->attention_finish(result + query * partial, head_dim, finished);
        portable->attention_finish(expected + query * partial, head_dim, finished + head_dim);
        int same = memcmp(finished, finished + head_dim, (size_t)head_dim * 4) == 0;
        check(same, "merge, finish", head_dim, group, query);
    }
    free(pool), free(other), free(x), free(result), free(expected), free(finished);
}

static void check_all_attention(void) {
    for (int type = 0; type < CK_KV_TYPE_COUNT; type++) {
        for (int64_t head_dim = 2; head_dim <= 160; head_dim += head_dim < 60 ? 22 : 16) {
            for (int64_t group = 1; group <= 5; group += 2) {
                check_attention(type, head_dim, group, 1, 3, 0);
                check_attention(type, head_dim, group, 9, 2, 70);
            }
        }
        check_attention(type, 64, 3, 60, CK_CHUNK_PAGES, 0);
    }
}

// MARK: - Elementwise

static void check_elementwise(int64_t count) {
    float *a = random_floats(count), *b = random_floats(count), *result = allocate(count * 4);
    float *expected = allocate(count * 4);
    const float special[] = {-INFINITY, INFINITY, -120, 120, -88.5f, 0, -0.0f, 1e-30f};
    for (int64_t i = 0; i < count; i++) a[i] = i % 7 == 3 ? special[i / 7 % 8] : 20 * a[i];
#define SAME(name) check(memcmp(result, expected, (size_t)count * 4) == 0, name, count, 0, 0)
    neon->silu(a, count, result), portable->silu(a, count, expected);
    SAME("silu");
    neon->silu_multiply(a, b, count, result), portable->silu_multiply(a, b, count, expected);
    SAME("silu_multiply");
    neon->round_to_f8(b, count, result), portable->round_to_f8(b, count, expected);
    SAME("round_to_f8");
    neon->add(a, b, count, result), portable->add(a, b, count, expected);
    SAME("add");
    neon->multiply(a, b, count, result), portable->multiply(a, b, count, expected);
    SAME("multiply");
    neon->rms_norm(b, b, 1e-5f, count, result), portable->rms_norm(b, b, 1e-5f, count, expected);
    SAME("rms_norm");
    neon->layer_norm(b, b, b, 1e-5f, count, result), portable->layer_norm(b, b, b, 1e-5f, count, expected);
    SAME("layer_norm");
    for (int kind = 0; kind < CK_GELU_COUNT; kind++) {
        neon->gelu[kind](a, count, result), portable->gelu[kind](a, count, expected);
        SAME("gelu");
    }
    memcpy(result, b, (size_t)count * 4), memcpy(expected, b, (size_t)count * 4);
    neon->rope(result, 1, count, count / 2 * 2, b, b), portable->rope(expected, 1, count, count / 2 * 2, b, b);
    SAME("rope");
    free(a), free(b), free(result), free(expected);
}

int main(void) {
    neon = ck_select("neon"), portable = ck_select("portable");
    if (!neon || !portable || neon->linear[CK_F32] == portable->linear[CK_F32]) return printf("no NEON table\n"), 1;
    check_all_linear();
    check_all_attention();
    for (int64_t count = 1; count < 130; count++) check_elementwise(count);
    int dot_product = neon->linear[CK_Q4S] != portable->linear[CK_Q4S];
    printf("%d of %d comparisons failed (%s dot products)\n", failures, checks, dot_product ? "with" : "without");
    return failures > 0;
}
