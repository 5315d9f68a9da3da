// Chooses the kernels that this CPU can run.
//
// Tables are layered: AVX2 starts as a copy of the portable table and AVX-512 as a copy of AVX2's, then each overrides
// what it has; so no entry is ever missing. A CPU with AVX512_VNNI but without AVX512_BF16 keeps AVX2's bf16 kernels. On
// arm64 NEON starts from the portable table, and without the dot-product extension keeps its quantized linear kernels.
#include <pthread.h>
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "internal.h"
#include "tables.h"

// Best first; `count` of them are usable.
static ck_kernels tables[3];
static int count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_portable(ck_kernels *table) {
    table->name = "portable";
    ck_fill_linear_portable(table);
    ck_fill_attention_portable(table);
    ck_fill_attention_baseline_portable(table);
    ck_fill_elementwise_portable(table);
}

#if defined(__x86_64__)
// Every feature that a file of the table names in its target attribute.
static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

static void fill_avx2(ck_kernels *table) {
    table->name = "avx2";
    ck_fill_linear_avx2(table);
    ck_fill_attention_avx2(table);
    ck_fill_attention_baseline_avx2(table);
    ck_fill_elementwise_avx2(table);
}

static void fill_avx512(ck_kernels *table) {
    table->name = "avx512";
    ck_fill_linear_avx512(table);
    if (__builtin_cpu_supports("avx512bf16")) ck_fill_linear_avx512bf16(table);
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi")) ck_fill_linear_avx512f8(table);
    ck_fill_attention_avx512(table);
    ck_fill_attention_avx512vnni(table);
    if (__builtin_cpu_supports("avx512bf16")) ck_fill_attention_avx512bf16(table);
    ck_fill_attention_baseline_avx512(table);
    ck_fill_elementwise_avx512(table);
}
#elif defined(__aarch64__)
static int has_dot_product(void) {
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__ARM_FEATURE_DOTPROD)
    return 1;
#else
    return 0;
#endif
}

static void fill_neon(ck_kernels *table) {
    table->name = "neon";
    ck_fill_linear_neon(table);
    if (has_dot_product()) ck_fill_linear_neondot(table);
    ck_fill_attention_neon(table);
    ck_fill_attention_baseline_neon(table);
    ck_fill_elementwise_neon(table);
}
#endif

static void fill_tables(void) {
    void (*fill[3])(ck_kernels *table) = {fill_portable};
    count = 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (has_avx2()) fill[count++] = fill_avx2;
    if (has_avx512()) fill[count++] = fill_avx512;
#elif defined(__aarch64__)
    fill[count++] = fill_neon;
#endif
    for (int i = 0; i < count; i++) {
        ck_kernels *table = &tables[count - 1 - i];
        if (i > 0) *table = table[1];
        fill[i](table);
    }
}

const ck_kernels *ck_select(const char *name) {
    pthread_once(&once, fill_tables);
    for (int i = 0; i < count; i++) {
        if (!name || strcmp(name, tables[i].name) == 0) return &tables[i];
    }
    return NULL;
}
