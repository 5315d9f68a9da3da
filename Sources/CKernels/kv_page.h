// Where the elements of a KV page lie (CKernels.h has the layout).
#pragma once
#include "internal.h"

enum {
    LINE = 16,  // positions of K, or dimensions of V, that lie together
    PAGE_LINES = CK_PAGE / LINE
};

// Elements along a dot product that lie together.
CK_TEMPLATE int64_t kv_depth(ck_kv_type type) { return type == CK_KV_INT8 ? 4 : type == CK_KV_BF16 ? 2 : 1; }
CK_TEMPLATE int64_t kv_element_bytes(ck_kv_type type) { return type == CK_KV_INT8 ? 1 : type == CK_KV_F32 ? 4 : 2; }

CK_TEMPLATE int64_t padded_head_dim(int64_t head_dim) { return (head_dim + LINE - 1) / LINE * LINE; }
CK_TEMPLATE int64_t key_dims(ck_kv_type type, int64_t head_dim) {
    return (head_dim + kv_depth(type) - 1) / kv_depth(type) * kv_depth(type);
}

// Byte offsets in a page.
CK_TEMPLATE int64_t key_at(ck_kv_type type, int64_t head_dim, int64_t d, int64_t position) {
    int64_t depth = kv_depth(type), cell = position / LINE * (key_dims(type, head_dim) / depth) + d / depth;
    return ((cell * LINE + position % LINE) * depth + d % depth) * kv_element_bytes(type);
}
CK_TEMPLATE int64_t scales_at(ck_kv_type type, int64_t head_dim) {
    return CK_PAGE * key_dims(type, head_dim) * kv_element_bytes(type);
}
CK_TEMPLATE int64_t values_at(ck_kv_type type, int64_t head_dim) {
    return scales_at(type, head_dim) + (type == CK_KV_INT8 ? 2 * CK_PAGE * (int64_t)sizeof(float) : 0);
}
CK_TEMPLATE int64_t value_at(ck_kv_type type, int64_t head_dim, int64_t d, int64_t position) {
    int64_t depth = kv_depth(type), cell = position / depth * padded_head_dim(head_dim) + d;
    return values_at(type, head_dim) + (cell * depth + position % depth) * kv_element_bytes(type);
}

CK_TEMPLATE int64_t kv_page_bytes(ck_kv_type type, int64_t head_dim) {
    int64_t bytes = values_at(type, head_dim) + CK_PAGE * padded_head_dim(head_dim) * kv_element_bytes(type);
    return (bytes + 63) / 64 * 64;
}

// Scales of the keys, then of the values; NULL where the type has none.
CK_TEMPLATE const float *page_scales(ck_kv_type type, int64_t head_dim, const void *page) {
    return type == CK_KV_INT8 ? (const float *)((const char *)page + scales_at(type, head_dim)) : NULL;
}

typedef void ck_kv_copier(const void *source, int64_t from, void *destination, int64_t to, int64_t head_dim);
ck_kv_copier ck_kv_copy_f16, ck_kv_copy_f32, ck_kv_copy_bf16, ck_kv_copy_int8;
