// What needs no arithmetic: the size of a KV page, and rows moved from one to another.
#include "kv_page.h"

int64_t ck_kv_page_bytes(ck_kv_type type, int64_t head_dim) { return kv_page_bytes(type, head_dim); }

CK_TEMPLATE void kv_copy(ck_kv_type type, const void *source, int64_t from, void *destination, int64_t to,
                         int64_t head_dim) {
    const char *in = source;
    char *out = destination;
    const int64_t depth = kv_depth(type);
    const size_t element = (size_t)kv_element_bytes(type);
    for (int64_t d = 0; d < key_dims(type, head_dim); d += depth) {
        memmove(out + key_at(type, head_dim, d, to), in + key_at(type, head_dim, d, from), (size_t)depth * element);
    }
    for (int part = 0; type == CK_KV_INT8 && part < 2; part++) {
        int64_t scales = scales_at(type, head_dim) + part * CK_PAGE * (int64_t)sizeof(float);
        memmove(out + scales + 4 * to, in + scales + 4 * from, sizeof(float));
    }
    for (int64_t d = 0; d < padded_head_dim(head_dim); d++) {
        memmove(out + value_at(type, head_dim, d, to), in + value_at(type, head_dim, d, from), element);
    }
}

void ck_kv_copy_f16(const void *source, int64_t from, void *destination, int64_t to, int64_t head_dim) {
    kv_copy(CK_KV_F16, source, from, destination, to, head_dim);
}
void ck_kv_copy_f32(const void *source, int64_t from, void *destination, int64_t to, int64_t head_dim) {
    kv_copy(CK_KV_F32, source, from, destination, to, head_dim);
}
void ck_kv_copy_bf16(const void *source, int64_t from, void *destination, int64_t to, int64_t head_dim) {
    kv_copy(CK_KV_BF16, source, from, destination, to, head_dim);
}
void ck_kv_copy_int8(const void *source, int64_t from, void *destination, int64_t to, int64_t head_dim) {
    kv_copy(CK_KV_INT8, source, from, destination, to, head_dim);
}
