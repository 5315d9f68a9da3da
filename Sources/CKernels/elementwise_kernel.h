// Norms, rotary embedding and activations, written once over the vector layer of an instruction set.
//
// The elements left over after the last whole vector are loaded into a vector too, so an element's value never depends
// on where in the row it stands.
#pragma once
#include "vector_math.h"

#pragma STDC FP_CONTRACT OFF

typedef vector unary_operation(vector);
typedef vector binary_operation(vector, vector);

CK_TEMPLATE void map_unary(unary_operation *operation, const float *x, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + VECTOR_WIDTH <= count; i += VECTOR_WIDTH) vector_store(out + i, operation(vector_load(x + i)));
    if (i < count) vector_store_first(out + i, count - i, operation(vector_load_first(x + i, count - i)));
}

CK_TEMPLATE void map_binary(binary_operation *operation, const float *a, const float *b, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + VECTOR_WIDTH <= count; i += VECTOR_WIDTH) {
        vector_store(out + i, operation(vector_load(a + i), vector_load(b + i)));
    }
    if (i < count) {
        vector result = operation(vector_load_first(a + i, count - i), vector_load_first(b + i, count - i));
        vector_store_first(out + i, count - i, result);
    }
}

static void add(const float *a, const float *b, int64_t count, float *out) { map_binary(vector_add, a, b, count, out); }

static void multiply(const float *a, const float *b, int64_t count, float *out) {
    map_binary(vector_multiply, a, b, count, out);
}

static void silu(const float *x, int64_t count, float *out) { map_unary(vector_silu, x, count, out); }

static void gelu_erf(const float *x, int64_t count, float *out) { map_unary(vector_gelu_erf, x, count, out); }
static void gelu_tanh(const float *x, int64_t count, float *out) { map_unary(vector_gelu_tanh, x, count, out); }
static void gelu_quick(const float *x, int64_t count, float *out) { map_unary(vector_gelu_quick, x, count, out); }

CK_TEMPLATE vector vector_silu_multiply(vector gate, vector up) { return vector_multiply(vector_silu(gate), up); }

static void silu_multiply(const float *gate, const float *up, int64_t count, float *out) {
    map_binary(vector_silu_multiply, gate, up, count, out);
}

// MARK: - 8-bit floats

enum { F8_BLOCK = 64 };

// The e4m3 number nearest to value / divisor, times scale. Every step is exact or rounds once, so that plain C, which the
// compiler turns into vectors, gives the same bits on every instruction set.
CK_TEMPLATE float nearest_f8(float value, float divisor, float scale) {
    value /= divisor;
    // Below 2^-6 codes are multiples of 2^-9, the unit in the last place of what is added; above, 3 bits of fraction stay.
    // Both round to the nearest, ties to even.
    const float small = (value + 0x1.8p14f) - 0x1.8p14f;
    const uint32_t bits = ck_bits(value);
    const uint32_t rounded = (bits + 0x7ffff + ((bits >> 20) & 1)) & 0xfff00000;
    return ((bits & 0x7fffffff) < ck_bits(0x1p-6f) ? small : ck_float(rounded)) * scale;
}

// Through a buffer, so that rows that are rounded in place do not look as if elements depended on each other.
static void round_to_f8(const float *row, int64_t columns, float *out) {
    // Magnitudes compare like their bit patterns, and what is not a number is the largest.
    uint32_t largest = 0;
    for (int64_t i = 0; i < columns; i++) {
        const uint32_t magnitude = ck_bits(row[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    const float scale = ck_float(largest) / 448, divisor = scale > 0 ? scale : 1;
    float block[F8_BLOCK];
    int64_t i = 0;
    for (; i + F8_BLOCK <= columns; i += F8_BLOCK) {
        for (int j = 0; j < F8_BLOCK; j++) block[j] = nearest_f8(row[i + j], divisor, scale);
        memcpy(out + i, block, sizeof block);
    }
    for (; i < columns; i++) out[i] = nearest_f8(row[i], divisor, scale);
}

// RMSNorm (Zhang and Sennrich, 2019). Element i is squared into lane i mod 4 VECTOR_WIDTH: four chains of
// multiply-adds, so that they overlap. The product with the weight comes last, as in the reference implementations.
static void rms_norm(const float *row, const float *weight, float epsilon, int64_t columns, float *out) {
    vector sum[4] = {vector_set(0.0f), vector_set(0.0f), vector_set(0.0f), vector_set(0.0f)};
    int64_t i = 0;
    for (; i + 4 * VECTOR_WIDTH <= columns; i += 4 * VECTOR_WIDTH) {
#pragma clang loop unroll(full)
        for (int j = 0; j < 4; j++) {
            vector x = vector_load(row + i + j * VECTOR_WIDTH);
            sum[j] = vector_multiply_add(x, x, sum[j]);
        }
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
        int64_t left = columns - i - j * VECTOR_WIDTH;
        if (left <= 0) break;
        vector x = vector_load_first(row + i + j * VECTOR_WIDTH, left < VECTOR_WIDTH ? left : VECTOR_WIDTH);
        sum[j] = vector_multiply_add(x, x, sum[j]);
    }
    float total = vector_sum_lanes(vector_add(vector_add(sum[0], sum[1]), vector_add(sum[2], sum[3])));
    vector inverse = vector_set(1.0f / sqrtf(total / (float)columns + epsilon));
    for (i = 0; i + VECTOR_WIDTH <= columns; i += VECTOR_WIDTH) {
        vector normal = vector_multiply(vector_load(row + i), inverse);
        vector_store(out + i, vector_multiply(normal, vector_load(weight + i)));
    }
    if (i < columns) {
        vector normal = vector_multiply(vector_load_first(row + i, columns - i), inverse);
        vector scaled = vector_multiply(normal, vector_load_first(weight + i, columns - i));
        vector_store_first(out + i, columns - i, scaled);
    }
}

// Sum over a row of (x - center)^power, power 1 or 2; element i goes into lane i mod 2 VECTOR_WIDTH.
CK_TEMPLATE float sum_centered(const float *row, float center, int power, int64_t columns) {
    vector sum[2] = {vector_set(0.0f), vector_set(0.0f)};
    for (int64_t i = 0; i < columns; i += VECTOR_WIDTH) {
        int64_t left = columns - i < VECTOR_WIDTH ? columns - i : VECTOR_WIDTH;
        // Lanes beyond the row hold 0 - center, which must not count.
        vector x = vector_subtract(vector_load_first(row + i, left), vector_set(center));
        x = vector_keep(x, 0, left, vector_set(0.0f));
        vector *lanes = &sum[i / VECTOR_WIDTH % 2];
        *lanes = power == 1 ? vector_add(*lanes, x) : vector_multiply_add(x, x, *lanes);
    }
    return vector_sum_lanes(vector_add(sum[0], sum[1]));
}

// Layer normalization (Ba, Kiros and Hinton, 2016), with the mean first: no cancellation between large squares.
static void layer_norm(const float *row, const float *weight, const float *bias, float epsilon, int64_t columns,
                       float *out) {
    float mean = sum_centered(row, 0.0f, 1, columns) / (float)columns;
    float variance = sum_centered(row, mean, 2, columns) / (float)columns;
    vector inverse = vector_set(1.0f / sqrtf(variance + epsilon));
    for (int64_t i = 0; i < columns; i += VECTOR_WIDTH) {
        int64_t left = columns - i < VECTOR_WIDTH ? columns - i : VECTOR_WIDTH;
        vector x = vector_subtract(vector_load_first(row + i, left), vector_set(mean));
        vector normal = vector_multiply(x, inverse);
        vector_store_first(out + i, left, vector_multiply_add(
            normal, vector_load_first(weight + i, left), vector_load_first(bias + i, left)));
    }
}

// Rotary position embedding (RoFormer, Su et al., 2021), with the halves of the rotated dimensions as the pairs.
static void rope(float *heads, int64_t head_count, int64_t head_dim, int64_t rotary, const float *cos,
                 const float *sin) {
    int64_t half = rotary / 2;
    for (int64_t head = 0; head < head_count; head++) {
        float *first = heads + head * head_dim, *second = first + half;
        for (int64_t i = 0; i < half; i += VECTOR_WIDTH) {
            int64_t count = half - i < VECTOR_WIDTH ? half - i : VECTOR_WIDTH;
            vector x = vector_load_first(first + i, count), y = vector_load_first(second + i, count);
            vector c = vector_load_first(cos + i, count), s = vector_load_first(sin + i, count);
            vector_store_first(first + i, count, vector_subtract_product(vector_multiply(x, c), y, s));
            vector_store_first(second + i, count, vector_multiply_add(x, s, vector_multiply(y, c)));
        }
    }
}

CK_TEMPLATE void fill_elementwise(ck_kernels *table) {
    table->rms_norm = rms_norm;
    table->layer_norm = layer_norm;
    table->rope = rope;
    table->add = add;
    table->multiply = multiply;
    table->silu = silu;
    table->silu_multiply = silu_multiply;
    table->round_to_f8 = round_to_f8;
    table->gelu[CK_GELU_ERF] = gelu_erf;
    table->gelu[CK_GELU_TANH] = gelu_tanh;
    table->gelu[CK_GELU_QUICK] = gelu_quick;
}
