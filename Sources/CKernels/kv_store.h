// Writing a row of K and V into a page, over the vector layer of an instruction set.
#pragma once
#include "kv_page.h"
#include "vector_math.h"

// VECTOR_WIDTH elements of a row as the cache's type holds them, from dimension d on; beyond head_dim they are zero.
// For int8 `inverse` turns values into codes.
CK_TEMPLATE void kv_round(ck_kv_type type, const float *row, int64_t d, int64_t head_dim, float inverse, void *out) {
    int64_t count = head_dim - d < 0 ? 0 : head_dim - d < VECTOR_WIDTH ? head_dim - d : VECTOR_WIDTH;
    vector v = vector_load_first(row + (count > 0 ? d : 0), count);
    if (type == CK_KV_F16) {
        vector_store_f16(out, v);
        return;
    }
    float lanes[VECTOR_WIDTH];
    vector_store(lanes, type == CK_KV_INT8 ? vector_round(vector_multiply(v, vector_set(inverse))) : v);
    for (int i = 0; i < VECTOR_WIDTH; i++) {
        if (type == CK_KV_F32) ((float *)out)[i] = lanes[i];
        if (type == CK_KV_BF16) ((uint16_t *)out)[i] = ck_float_to_bf16(lanes[i]);
        if (type == CK_KV_INT8) ((int8_t *)out)[i] = (int8_t)lanes[i];
    }
}

// Absolute maximum of a row, NaN if a value is not finite.
CK_TEMPLATE float kv_largest(const float *row, int64_t head_dim) {
    vector largest = vector_set(0.0f), zeros = vector_set(0.0f);
    for (int64_t d = 0; d < head_dim; d += VECTOR_WIDTH) {
        vector v = vector_load_first(row + d, head_dim - d < VECTOR_WIDTH ? head_dim - d : VECTOR_WIDTH);
        largest = vector_maximum(largest, vector_maximum(v, vector_subtract(vector_set(0.0f), v)));
        zeros = vector_multiply_add(v, vector_set(0.0f), zeros);
    }
    float zero = vector_sum_lanes(zeros);
    return zero == 0 ? vector_maximum_lanes(largest) : zero;
}

CK_TEMPLATE void kv_store(ck_kv_type type, const float *key, const float *value, int64_t head_dim, void *page,
                          int64_t slot) {
    char *to = page;
    const int64_t element = kv_element_bytes(type);
    float key_inverse = 0, value_inverse = 0;
    if (type == CK_KV_INT8) {
        float keys = kv_largest(key, head_dim), values = kv_largest(value, head_dim);
        float *scales = (float *)(to + scales_at(type, head_dim)) + slot;
        bool is_finite = keys + values == keys + values;
        // Both are NaN then: a NaN score makes a whole result NaN, where that of a value might get lost in a maximum.
        scales[0] = is_finite ? keys / 127 : __builtin_nanf("");
        scales[CK_PAGE] = is_finite ? values / 127 : __builtin_nanf("");
        key_inverse = is_finite ? ck_inverse_scale(CK_ACT_Q8, keys) : 0;
        value_inverse = is_finite ? ck_inverse_scale(CK_ACT_Q8, values) : 0;
        if (key_inverse == 0) key = NULL;
        if (value_inverse == 0) value = NULL;
    }
    const float *const rows[2] = {key, value};
    const float inverses[2] = {key_inverse, value_inverse};
    const int64_t dims[2] = {key_dims(type, head_dim), padded_head_dim(head_dim)};
#pragma clang loop unroll(full)
    for (int part = 0; part < 2; part++) {
        for (int64_t d = 0; d < dims[part]; d += VECTOR_WIDTH) {
            _Alignas(64) char lanes[VECTOR_WIDTH * 4];
            if (rows[part]) {
                kv_round(type, rows[part], d, head_dim, inverses[part], lanes);
            } else {
                memset(lanes, 0, sizeof lanes);
            }
            if (part == 0 && type == CK_KV_INT8) {
                for (int i = 0; i < VECTOR_WIDTH; i++) lanes[i] ^= (char)0x80;  // adds 128
            }
            if (part == 1 && kv_depth(type) == 1) {
                memcpy(to + value_at(type, head_dim, d, slot), lanes, (size_t)(VECTOR_WIDTH * element));
                continue;
            }
            int64_t count = dims[part] - d < VECTOR_WIDTH ? dims[part] - d : VECTOR_WIDTH;
            for (int64_t i = 0; i < count; i++) {
                int64_t at = part == 0 ? key_at(type, head_dim, d + i, slot) : value_at(type, head_dim, d + i, slot);
                memcpy(to + at, lanes + i * element, (size_t)element);
            }
        }
    }
}

static void kv_store_f16(const float *key, const float *value, int64_t head_dim, void *page, int64_t slot) {
    kv_store(CK_KV_F16, key, value, head_dim, page, slot);
}
static void kv_store_f32(const float *key, const float *value, int64_t head_dim, void *page, int64_t slot) {
    kv_store(CK_KV_F32, key, value, head_dim, page, slot);
}
static void kv_store_bf16(const float *key, const float *value, int64_t head_dim, void *page, int64_t slot) {
    kv_store(CK_KV_BF16, key, value, head_dim, page, slot);
}
static void kv_store_int8(const float *key, const float *value, int64_t head_dim, void *page, int64_t slot) {
    kv_store(CK_KV_INT8, key, value, head_dim, page, slot);
}
