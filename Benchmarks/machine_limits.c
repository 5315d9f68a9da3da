// What this machine can do at best, as JSON: read bandwidth, and multiply-adds in fp32, bf16 and int8.
//
//   cc -O3 -march=native -pthread machine_limits.c -o machine_limits && ./machine_limits [--threads 1,2]
//       [--megabytes 512] [--repetitions 9] [--only bandwidth|compute]
//
// The bandwidth is that of sequential reads of huge pages, in several patterns, as what is best differs between machines and
// between hours on a shared one; the limit is the best pattern's median. A peak is a loop of independent instructions on
// registers; a multiply-add counts as two operations. What the instruction set lacks is null.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef int32_t line_t __attribute__((vector_size(64)));  // a cache line; the compiler splits it where registers are narrower

enum { max_threads = 256, max_repetitions = 1001, lines_per_block = 8 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

// ---- Reading ----

typedef struct {
    const char *name;
    size_t chunk;     // bytes that threads take in turn; 0: each thread reads one contiguous share
    int streams;      // that one thread reads side by side
    size_t prefetch;  // bytes ahead; 0: none
    bool into_l2;     // prefetch to the second level only
} pattern_t;

static const pattern_t patterns[] = {
    {"plain", 0, 1, 0, false},
    {"plain, 4 streams", 0, 4, 0, false},
    {"plain, shared in 64 KiB", 65536, 1, 0, false},
    {"prefetch 2 KiB", 0, 1, 2048, false},
    {"prefetch 8 KiB to L2", 0, 1, 8192, true},
    {"prefetch 2 KiB, shared in 64 KiB", 65536, 1, 2048, false},
};
enum { pattern_count = sizeof patterns / sizeof *patterns };

// Always inlined with constant arguments, so that each pattern gets a loop of its own.
static inline __attribute__((always_inline)) line_t read_block(const char *p, line_t sum, size_t prefetch, bool into_l2) {
    const line_t *lines = (const line_t *)p;
    if (prefetch)
        for (int i = 0; i < lines_per_block; i++) {
            if (into_l2) __builtin_prefetch(p + prefetch + 64 * i, 0, 2);
            else __builtin_prefetch(p + prefetch + 64 * i, 0, 3);
        }
    line_t a = lines[0] + lines[1], b = lines[2] + lines[3], c = lines[4] + lines[5], d = lines[6] + lines[7];
    return sum + ((a + b) + (c + d));
}

static line_t read_range(const char *p, size_t bytes, const pattern_t *pattern) {
    line_t sum = {0};
    const size_t block = 64 * lines_per_block;
    if (pattern->streams == 4) {
        line_t other = {0};
        const size_t quarter = bytes / 4;
        for (size_t o = 0; o < quarter; o += block) {
            sum = read_block(p + o, sum, 0, false);
            other = read_block(p + quarter + o, other, 0, false);
            sum = read_block(p + 2 * quarter + o, sum, 0, false);
            other = read_block(p + 3 * quarter + o, other, 0, false);
        }
        return sum + other;
    }
    if (pattern->into_l2)
        for (size_t o = 0; o < bytes; o += block) sum = read_block(p + o, sum, 8192, true);
    else if (pattern->prefetch)
        for (size_t o = 0; o < bytes; o += block) sum = read_block(p + o, sum, 2048, false);
    else
        for (size_t o = 0; o < bytes; o += block) sum = read_block(p + o, sum, 0, false);
    return sum;
}

// ---- Computing ----

// Twelve independent accumulators hide the latency of every multiply-add we know; the empty assembly keeps the loop as it is.
#define KEEP(register) __asm__ volatile("" : "+" VECTOR(register))
#define TWELVE(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)
#if defined(__x86_64__)
#define VECTOR(r) "v"(r)
#else
#define VECTOR(r) "w"(r)
#endif

// Each returns the operations of one turn of its loop; -1 where the instruction is missing.
#if defined(__AVX512F__)
typedef __m512 f32_t;
#define F32_SET(x) _mm512_set1_ps(x)
#define F32_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define F32_NAME "vfmadd512"
#elif defined(__FMA__)
typedef __m256 f32_t;
#define F32_SET(x) _mm256_set1_ps(x)
#define F32_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define F32_NAME "vfmadd256"
#elif defined(__aarch64__)
typedef float32x4_t f32_t;
#define F32_SET(x) vdupq_n_f32(x)
#define F32_FMA(a, b, c) vfmaq_f32(c, a, b)
#define F32_NAME "fmla"
#endif

#if defined(__AVX512BF16__)
typedef __m512 bf16_accumulator_t;
#define BF16_ZERO _mm512_setzero_ps()
#define BF16_OPERAND __m512bh operand = (__m512bh)_mm512_set1_epi16(0x3f80)
#define BF16_DOT(c) _mm512_dpbf16_ps(c, operand, operand)
#define BF16_NAME "vdpbf16ps512"
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
typedef float32x4_t bf16_accumulator_t;
#define BF16_ZERO vdupq_n_f32(0)
#define BF16_OPERAND bfloat16x8_t operand = vreinterpretq_bf16_u16(vdupq_n_u16(0x3f80))
#define BF16_DOT(c) vbfmmlaq_f32(c, operand, operand)
#define BF16_OPERATIONS 32 // bfmmla: 2x4 times 4x2
#define BF16_NAME "bfmmla"
#endif

#if defined(__AVX512VNNI__)
typedef __m512i int8_t_vector;
#define INT8_SET(x) _mm512_set1_epi8(x)
#define INT8_DOT(c) _mm512_dpbusd_epi32(c, operand, operand)
#define INT8_NAME "vpdpbusd512"
#elif defined(__AVXVNNI__)
typedef __m256i int8_t_vector;
#define INT8_SET(x) _mm256_set1_epi8(x)
#define INT8_DOT(c) _mm256_dpbusd_avx_epi32(c, operand, operand)
#define INT8_NAME "vpdpbusd256"
#elif defined(__AVX2__)
typedef __m256i int8_t_vector;
#define INT8_SET(x) _mm256_set1_epi8(x)
#define INT8_DOT(c) _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_maddubs_epi16(operand, operand), ones))
#define INT8_NAME "vpmaddubsw256"
#elif defined(__ARM_FEATURE_MATMUL_INT8)
typedef int32x4_t int8_t_vector;
#define INT8_SET(x) vreinterpretq_s32_s8(vdupq_n_s8(x))
#define INT8_DOT(c) vmmlaq_s32(c, vreinterpretq_s8_s32(operand), vreinterpretq_s8_s32(operand))
#define INT8_OPERATIONS 64 // smmla: 2x8 times 8x2
#define INT8_NAME "smmla"
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int32x4_t int8_t_vector;
#define INT8_SET(x) vreinterpretq_s32_s8(vdupq_n_s8(x))
#define INT8_DOT(c) vdotq_s32(c, vreinterpretq_s8_s32(operand), vreinterpretq_s8_s32(operand))
#define INT8_NAME "sdot"
#endif

static double compute_f32(long turns) {
#ifdef F32_NAME
    f32_t operand = F32_SET(1.0f), c[12];
    KEEP(operand);
    for (int i = 0; i < 12; i++) c[i] = F32_SET(0.0f);
    for (long t = 0; t < turns; t++) {
#define STEP(i) c[i] = F32_FMA(operand, operand, c[i]); KEEP(c[i]);
        TWELVE(STEP)
#undef STEP
    }
    return 12.0 * 2 * (sizeof(f32_t) / 4);
#else
    (void)turns;
    return -1;
#endif
}

static double compute_bf16(long turns) {
#ifdef BF16_NAME
#ifndef BF16_OPERATIONS
#define BF16_OPERATIONS (2 * (sizeof(bf16_accumulator_t) / 2))
#endif
    BF16_OPERAND;
    bf16_accumulator_t c[12];
    for (int i = 0; i < 12; i++) c[i] = BF16_ZERO;
    for (long t = 0; t < turns; t++) {
#define STEP(i) c[i] = BF16_DOT(c[i]); KEEP(c[i]);
        TWELVE(STEP)
#undef STEP
    }
    return 12.0 * BF16_OPERATIONS;
#else
    (void)turns;
    return -1;
#endif
}

static double compute_int8(long turns) {
#ifdef INT8_NAME
#ifndef INT8_OPERATIONS
#define INT8_OPERATIONS (2 * sizeof(int8_t_vector))
#endif
    int8_t_vector operand = INT8_SET(1), c[12];
#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)
    __m256i ones = _mm256_set1_epi16(1);
    KEEP(ones);
#endif
    for (int i = 0; i < 12; i++) c[i] = INT8_SET(0);
    for (long t = 0; t < turns; t++) {
        KEEP(operand);  // or products of constants would be taken out of the loop
#define STEP(i) c[i] = INT8_DOT(c[i]); KEEP(c[i]);
        TWELVE(STEP)
#undef STEP
    }
    return 12.0 * INT8_OPERATIONS;
#else
    (void)turns;
    return -1;
#endif
}

#ifndef F32_NAME
#define F32_NAME ""
#endif
#ifndef BF16_NAME
#define BF16_NAME ""
#endif
#ifndef INT8_NAME
#define INT8_NAME ""
#endif

static const struct {
    const char *name, *instruction;
    double (*run)(long);
} peaks[] = {
    {"f32", F32_NAME, compute_f32}, {"bf16", BF16_NAME, compute_bf16}, {"int8", INT8_NAME, compute_int8}};
enum { peak_count = sizeof peaks / sizeof *peaks, turns_per_repetition = 3000000 };

// ---- Threads: they live as long as the program and do what `job` says ----

static struct {
    const pattern_t *pattern;    // null: compute
    double (*compute)(long);
    int threads;
} job;
static char *memory;
static size_t memory_bytes;
static pthread_barrier_t barriers[max_threads + 1];
static _Atomic int sink;
static double operations;

static void work(int id) {
    if (!job.pattern) {
        double each = job.compute(turns_per_repetition);
        if (id == 0) operations = each;
        return;
    }
    line_t sum = {0};
    if (!job.pattern->chunk) {
        size_t share = memory_bytes / job.threads / 4096 * 4096;
        sum = read_range(memory + id * share, share, job.pattern);
    } else {
        for (size_t o = id * job.pattern->chunk; o < memory_bytes; o += job.threads * job.pattern->chunk)
            sum += read_range(memory + o, job.pattern->chunk, job.pattern);
    }
    atomic_fetch_add(&sink, sum[0] + sum[7] + sum[15]);
}

static void *helper(void *argument) {
    work((int)(intptr_t)argument);
    return NULL;
}

// The seconds of one repetition. Threads start before the clock does, and wait for each other.
typedef struct { int id; pthread_barrier_t *start; } start_t;
static void *started(void *argument) {
    start_t *start = argument;
    pthread_barrier_wait(start->start);
    return helper((void *)(intptr_t)start->id);
}

static double repetition(void) {
    pthread_t threads[max_threads];
    start_t starts[max_threads];
    pthread_barrier_t *barrier = &barriers[job.threads];
    for (int id = 1; id < job.threads; id++) {
        starts[id] = (start_t){id, barrier};
        if (pthread_create(&threads[id], NULL, started, &starts[id])) { perror("pthread_create"); exit(1); }
    }
    pthread_barrier_wait(barrier);
    double start = now();
    work(0);
    for (int id = 1; id < job.threads; id++) pthread_join(threads[id], NULL);
    return now() - start;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_rates(double *rates, int count) {
    qsort(rates, count, sizeof *rates, ascending);
    printf("\"median\": %.2f, \"best\": %.2f, \"worst\": %.2f", rates[count / 2], rates[count - 1], rates[0]);
}

int main(int argc, char **argv) {
    int threads[16] = {1, 2}, thread_counts = 2, repetitions = 9;
    size_t megabytes = 512;
    bool bandwidth = true, compute = true;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value) goto usage;
        if (!strcmp(argv[i], "--threads")) {
            thread_counts = 0;
            for (const char *p = value; thread_counts < 16;) {
                threads[thread_counts] = atoi(p);
                if (threads[thread_counts] < 1 || threads[thread_counts] > max_threads) goto usage;
                thread_counts++;
                if (!(p = strchr(p, ','))) break;
                p++;
            }
        } else if (!strcmp(argv[i], "--megabytes")) {
            megabytes = atoi(value);
            if (megabytes < 8 || megabytes > 65536) goto usage;
        } else if (!strcmp(argv[i], "--repetitions")) {
            repetitions = atoi(value);
            if (repetitions < 1 || repetitions > max_repetitions) goto usage;
        } else if (!strcmp(argv[i], "--only") && !strcmp(value, "bandwidth")) compute = false;
        else if (!strcmp(argv[i], "--only") && !strcmp(value, "compute")) bandwidth = false;
        else goto usage;
    }
    for (int i = 0; i < thread_counts; i++) pthread_barrier_init(&barriers[threads[i]], NULL, threads[i]);

    static double rates[max_repetitions];
    printf("{");
    if (bandwidth) {
        memory_bytes = megabytes << 20;
        const size_t huge = 2 << 20;
        char *mapped = mmap(NULL, memory_bytes + 2 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) { perror("mmap"); return 1; }
        memory = (char *)(((uintptr_t)mapped + huge - 1) / huge * huge);
        madvise(memory, memory_bytes, MADV_HUGEPAGE);
        memset(memory, 1, memory_bytes);
        printf("\"bandwidth_gb_per_second\": {");
        for (int t = 0; t < thread_counts; t++) {
            job.threads = threads[t];
            static double all[pattern_count][max_repetitions];
            for (int r = -1; r < repetitions; r++)  // in turn, as neighbours come and go; the first turn warms up
                for (int p = 0; p < pattern_count; p++) {
                    job.pattern = &patterns[p];
                    double seconds = repetition();
                    if (r >= 0) all[p][r] = memory_bytes / seconds / 1e9;
                }
            printf("%s\"%d\": {\"patterns\": {", t ? ", " : "", threads[t]);
            double best_median = 0, best = 0;
            for (int p = 0; p < pattern_count; p++) {
                printf("%s\"%s\": {", p ? ", " : "", patterns[p].name);
                print_rates(all[p], repetitions);
                printf("}");
                if (all[p][repetitions / 2] > best_median) best_median = all[p][repetitions / 2];
                if (all[p][repetitions - 1] > best) best = all[p][repetitions - 1];
            }
            printf("}, \"median\": %.2f, \"best\": %.2f}", best_median, best);
        }
        printf("}%s", compute ? ", " : "");
    }
    if (compute) {
        job.pattern = NULL;
        printf("\"giga_operations_per_second\": {");
        for (int t = 0; t < thread_counts; t++) {
            job.threads = threads[t];
            printf("%s\"%d\": {", t ? ", " : "", threads[t]);
            for (int p = 0; p < peak_count; p++) {
                job.compute = peaks[p].run;
                repetition();
                printf("%s\"%s\": ", p ? ", " : "", peaks[p].name);
                if (operations < 0) { printf("null"); continue; }
                for (int r = 0; r < repetitions; r++)
                    rates[r] = operations * turns_per_repetition * job.threads / repetition() / 1e9;
                printf("{\"instruction\": \"%s\", ", peaks[p].instruction);
                print_rates(rates, repetitions);
                printf("}");
            }
            printf("}");
        }
        printf("}");
    }
    printf("}\n");
    return 0;
usage:
    fprintf(stderr, "usage: machine_limits [--threads 1,2] [--megabytes 512] [--repetitions 9] [--only bandwidth|compute]\n");
    return 2;
}
