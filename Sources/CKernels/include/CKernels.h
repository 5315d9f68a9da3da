// The arithmetic of the CPU backend: one table of plain functions per instruction set.
//
// No vector type crosses this border (passing one by value between C and Swift is silently wrong), and no function here
// checks its arguments: shapes, bounds and alignment are the caller's (MartletCPU). Every pointer to packed data is
// 64-byte aligned.
//
// Batch invariance (docs/ARCHITECTURE.md): an output's arithmetic must not depend on how many tokens, queries or rows
// share a call, nor on how the work was split. So a SIMD lane owns an output, walks K (or the context) in one fixed
// order with explicit multiply-adds, and the one-token and many-token forms of a kernel perform the same operations.
#pragma once
#include <stddef.h>
#include <stdint.h>

// MARK: - Layouts

enum {
    CK_PANEL = 16,       // weight rows interleaved in a panel: one 32-bit lane owns one row
    CK_TILE = 8,         // tokens in an activation tile (the last tile of a batch may hold fewer)
    CK_GROUP = 32,       // K values that share an activation scale
    CK_SUPER_GROUP = 256,  // columns that share the scale of their groups' scales (q4k, q5k, q6k)
    CK_Q8_BLOCK = 48,    // bytes per token and group of a q8 activation tile
    CK_Q16_BLOCK = 80,   // the same of a q16 tile
    CK_PAGE = 64,        // KV rows in a page, the unit that attention kernels read
    CK_CHUNK_PAGES = 8,  // pages in a split-KV chunk: partial results are cut at multiples of 512 positions
};

// How a weight matrix [rows, columns] lies in memory: panels of 16 rows, one after the other; the last one is padded
// with zero rows. Columns are padded to a multiple of 64 (quantized), 32 (bf16) or 1 (f16, f32, f8).
//
// Quantized panels are a sequence of *pairs*, each two groups of 32 columns:
//   scales   f16 [2][16]       (q4w and q8w: f32)
//   offsets  f16 [2][16]       (not q4s and q8s; of q4z, q4w, q8z and q8w minus the zero points, which are integers)
//   codes    4-bit: u8 [2][4][16][4]: byte i of lane r in vector j holds column 4j+i (low nibble) and 16+4j+i (high)
//            8-bit: u8 [2][8][16][4]: byte i of lane r in vector j holds column 4j+i
// The layouts of K-quants have scales that are themselves quantized: every four pairs (256 columns) are preceded by
//   scales   f16 [16] and offsets f16 [16] (q4k, q5k), or scales f32 [16] (q6k), which are f16 in the files
// and a pair holds integer factors of them. (One stream: super scales in a header of the panel halved the speed.)
//   scale factors   u8 [2][16]   (q6k: i8 [4][16], one per 16 columns)
//   offset factors  u8 [2][16]   (not q6k)
//   codes    per group 4-bit codes as above, followed by the upper bits:
//            5-bit: u8 [16][4]: bit j of byte i of lane r belongs to column 4j+i
//            6-bit: u8 [2][16][4]: bits 2j and 2j+1 of byte i of lane r in vector v belong to column 16v+4j+i
// value = scale * (code - 8)                                    q4s
//         scale * code + offset                                 q4a, q8a
//         scale * (code + offset)                               q4z, q4w, q8z, q8w
//         scale * (code - 128)                                  q8s
//         scale * factor * code + offset * offset factor        q4k, q5k
//         scale * factor * (code - 32)                          q6k
// bf16 panels are u16 [columns/2][16][2]; f16 and f32 panels are [columns][16]. An f8 panel is a sequence of blocks of 128
// columns: scales f32 [16], 256 times those of the rows, then e4m3 codes u8 [128][16]; value = code * row's scale in f32.
typedef enum ck_layout {
    CK_Q4S,
    CK_Q4A,
    CK_Q4Z,
    CK_Q4W,
    CK_Q8S,
    CK_Q8A,
    CK_Q8Z,
    CK_Q8W,
    CK_Q4K,
    CK_Q5K,
    CK_Q6K,
    CK_BF16,
    CK_F16,
    CK_F32,
    CK_F8,
    CK_LAYOUT_COUNT
} ck_layout;

// What a linear kernel reads as activations for `tokens` tokens and `columns` padded columns:
//   q8    (q4s … q6k) tiles of 8 tokens, one after the other; the last holds m = tokens % 8 if that is not 0. A tile of
//         m tokens is columns/32 blocks, each
//             i8  codes[m][32]          symmetric, round to nearest even, scale = absmax / 127
//             f32 scale[m]
//             i32 zero_low[m]           -8 * sum(codes[0..<16])
//             i32 zero_high[m]          -8 * sum(codes[16..<32])
//             f32 scaled_sum[m]         scale * sum(codes)
//         so a tile of m tokens takes m * columns/32 * 48 bytes. Padded columns are zero.
//   q16   (q4s … q6k, the accurate kernels) the same tiles with 15-bit codes in two parts; a block is
//             i8  high[m][32], low[m][32]   code = 128 * high + low, low in [-64, 63], scale = absmax / 16319
//             f32 scale[m], i32 zero_low[m], i32 zero_high[m], f32 scaled_sum[m]   as above, of the whole codes
//   bf16  (bf16, and f8 where a table has a kernel for it) the same tiles; a tile of m tokens is u16 [columns/2][m][2].
//   f32   (f16, f32, f8) row-major float [tokens][columns].
// With 8 bits per group SmolLM2 keeps 96 % of its greedy choices, with 15 bits 99.9 %: small models need the latter.
typedef enum ck_activation { CK_ACT_Q8, CK_ACT_Q16, CK_ACT_BF16, CK_ACT_F32 } ck_activation;

// A matrix product: output[t][r] = sum over k of activation[t][k] * weight[r][k] (+ bias[r]) (+ output[t][r]).
typedef struct ck_linear {
    const void *weights;      // panel 0
    const void *activations;  // token 0
    const float *bias;        // [rows], or NULL
    float *output;            // [tokens][output_stride]
    int64_t columns;          // padded
    int64_t rows;             // valid rows; those beyond are not written
    int64_t tokens;
    int64_t output_stride;  // in floats
    int64_t accumulate;     // not 0: add to what output holds (the residual stream)
} ck_linear;

// The KV cache of one (layer, KV head): pages of 64 rows (positions), each one sequential stream in the order in which
// attention reads it. Elements that a dot product takes together lie together: `depth` is 1 (f16, f32), 2 (bf16) or
// 4 (int8). A page is
//   K  [4][k_dims/depth][16][depth]   16 positions across lanes; k_dims = head_dim rounded up to depth
//      f32 key_scales[64], value_scales[64]    (only int8)
//   V  [64/depth][v_stride][depth]    v_stride = head_dim rounded up to 16; depth consecutive positions together
// int8 holds codes with one scale per row: value = scale * (code - 128) for K (unsigned, as VNNI wants one operand) and
// scale * code for V (signed), |code| <= 127, scale = absmax / 127. Padding is zero (K: 128). Of a row that isn't finite
// the scales are NaN.
typedef enum ck_kv_type { CK_KV_F16, CK_KV_F32, CK_KV_BF16, CK_KV_INT8, CK_KV_TYPE_COUNT } ck_kv_type;

enum { CK_MAX_HEAD_DIM = 1024 };  // larger than any model's; it bounds scratch memory and integer sums

// Bytes of a page, rounded up to a multiple of 64.
int64_t ck_kv_page_bytes(ck_kv_type type, int64_t head_dim);

// Attention of a block of query tokens, all heads of one KV head, over one chunk of their context.
//
// Query (t, g) stands at position first_query + t and sees the positions p of the chunk with p <= first_query + t and,
// if window > 0, p > first_query + t - window. A query that sees nothing of the chunk gets maximum -inf, sum 0, zeros.
typedef struct ck_attention {
    const float *queries;      // query (t, g) at queries + t * query_stride + g * head_dim
    int64_t query_stride;      // floats
    int64_t query_tokens;
    int64_t group;             // query heads per KV head
    int64_t head_dim;          // any multiple of 2 up to CK_MAX_HEAD_DIM
    int64_t first_query;       // position of query token 0
    const void *const *pages;  // page i holds the positions first_position + 64 i …
    int64_t page_count;
    int64_t first_position;  // a multiple of 64
    int64_t window;          // 0: none
    float scale;             // of the scores, positive
    // Written: for query (t, g) at partials + (t * group + g) * (16 + v_stride):
    //   [0] maximum of the scaled scores, [1] sum of exp(score - maximum), [16…] sum of exp(score - maximum) * V
    float *partials;
} ck_attention;

// Attention of a run of query tokens of one query head over plain rows of K and V: what the optimization ladder starts from
// (docs/LADDER.md). Row p of K and V belongs to position p and has v_stride elements (as above), zeros behind head_dim.
typedef struct ck_row_attention {
    const float *queries;  // query t at queries + t * query_stride
    int64_t query_stride;
    int64_t query_tokens;
    int64_t head_dim;
    int64_t first_query;  // position of query token 0
    const void *keys;
    const void *values;
    int64_t begin, end;    // positions to attend to; `plain_attention` wants begin = 0
    int64_t window;        // 0: none
    float scale;
    float *states;         // written, for query t at states + t * (16 + v_stride), as the partials of ck_attention
    float *scores;         // only for `plain_attention`: [query_tokens][score_stride]
    int64_t score_stride;  // a multiple of 16, at least `end`
} ck_row_attention;

// x times the probability that a normal variable is below x (Hendrycks and Gimpel, 2016), and what models take for it.
typedef enum ck_gelu {
    CK_GELU_ERF,    // x (1 + erf(x / sqrt 2)) / 2
    CK_GELU_TANH,   // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
    CK_GELU_QUICK,  // x / (1 + e^(-1.702 x))
    CK_GELU_COUNT
} ck_gelu;

// MARK: - The table

typedef struct ck_kernels {
    const char *name;  // "avx512", "avx2", "neon", "portable"

    // Panels panel_begin ..< panel_end of the product.
    void (*linear[CK_LAYOUT_COUNT])(const ck_linear *job, int64_t panel_begin, int64_t panel_end);

    // The same for q16 activations; quantized layouts only.
    void (*linear_q16[CK_LAYOUT_COUNT])(const ck_linear *job, int64_t panel_begin, int64_t panel_end);

    // The same of f8 for bf16 activations; NULL where that would be no faster. `columns` of the job need no padding, those
    // of the activations are padded to 32.
    void (*linear_f8_bf16)(const ck_linear *job, int64_t panel_begin, int64_t panel_end);

    // One row of activations into its place `index` in a tile of `tile_tokens`; columns is the row's true width, the
    // rest up to padded_columns is written as zero.
    void (*quantize_q8)(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                        int64_t index);
    void (*quantize_q16)(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                         int64_t index);
    void (*convert_bf16)(const float *row, int64_t columns, int64_t padded_columns, void *tile, int64_t tile_tokens,
                         int64_t index);

    // out = row / sqrt(mean(row^2) + epsilon) * weight. In place is allowed.
    void (*rms_norm)(const float *row, const float *weight, float epsilon, int64_t columns, float *out);
    // out = (row - mean) / sqrt(variance + epsilon) * weight + bias. In place is allowed.
    void (*layer_norm)(const float *row, const float *weight, const float *bias, float epsilon, int64_t columns,
                       float *out);
    // Rotate pairs (i, i + rotary/2) of each head by the angle i: x' = x cos - y sin, y' = y cos + x sin.
    // cos and sin are [rotary/2]; head dims beyond `rotary` stay.
    void (*rope)(float *heads, int64_t head_count, int64_t head_dim, int64_t rotary, const float *cos,
                 const float *sin);
    void (*add)(const float *a, const float *b, int64_t count, float *out);
    void (*multiply)(const float *a, const float *b, int64_t count, float *out);
    void (*silu)(const float *x, int64_t count, float *out);
    // GELU and its usual approximations, by `ck_gelu`.
    void (*gelu[CK_GELU_COUNT])(const float *x, int64_t count, float *out);
    // out = silu(gate) * up, the same arithmetic as `silu` then `multiply`.
    void (*silu_multiply)(const float *gate, const float *up, int64_t count, float *out);
    // out = the nearest 8-bit floats (e4m3) to row / scale, times scale = largest magnitude / 448. In place is allowed. A value
    // that isn't finite stays what it is, and makes NaN or zeros of the others.
    void (*round_to_f8)(const float *row, int64_t columns, float *out);

    // One row (the K and V vectors of one position and KV head) into slot 0 ..< 64 of a page.
    void (*kv_store[CK_KV_TYPE_COUNT])(const float *key, const float *value, int64_t head_dim, void *page, int64_t slot);
    // Slot `from` of one page copied into slot `to` of another (gathering scattered rows into a kernel-ready page).
    void (*kv_copy[CK_KV_TYPE_COUNT])(const void *source, int64_t from, void *destination, int64_t to,
                                      int64_t head_dim);
    void (*attention[CK_KV_TYPE_COUNT])(const ck_attention *job);
    // The methods that the ladder compares, over plain rows; f16 and f32 only. `row_store` writes one row.
    void (*row_store[CK_KV_TYPE_COUNT])(const float *row, int64_t head_dim, void *out);
    void (*plain_attention[CK_KV_TYPE_COUNT])(const ck_row_attention *job);
    void (*tiled_attention[CK_KV_TYPE_COUNT])(const ck_row_attention *job);
    // Folds one chunk's partial result into a running one of the same shape ([16 + v_stride]); chunks come in order.
    //   M = max(m, m'), sum = sum e^(m-M) + sum' e^(m'-M), the same for the vector. A state with maximum -inf is empty:
    //   merging into it copies the partial.
    void (*attention_merge)(float *state, const float *partial, int64_t v_stride);
    // out[0 ..< head_dim] = vector / sum (zeros if the sum is 0).
    void (*attention_finish)(const float *state, int64_t head_dim, float *out);
} ck_kernels;

// The best table that this CPU can run, or the named one ("avx512", "avx2", "neon", "portable"); NULL if the CPU can't run
// it or the name is unknown. `name` NULL means the best.
const ck_kernels *ck_select(const char *name);

// Swift sees an array of functions as a tuple; these index it.
static inline void ck_run_linear(const ck_kernels *kernels, ck_layout layout, ck_activation activation,
                                 const ck_linear *job, int64_t panel_begin, int64_t panel_end) {
    if (activation == CK_ACT_Q16)
        kernels->linear_q16[layout](job, panel_begin, panel_end);
    else if (layout == CK_F8 && activation == CK_ACT_BF16)
        kernels->linear_f8_bf16(job, panel_begin, panel_end);
    else
        kernels->linear[layout](job, panel_begin, panel_end);
}
static inline void ck_run_gelu(const ck_kernels *kernels, ck_gelu kind, const float *x, int64_t count, float *out) {
    kernels->gelu[kind](x, count, out);
}
static inline void ck_run_kv_store(const ck_kernels *kernels, ck_kv_type type, const float *key, const float *value,
                                   int64_t head_dim, void *page, int64_t slot) {
    kernels->kv_store[type](key, value, head_dim, page, slot);
}
static inline void ck_run_kv_copy(const ck_kernels *kernels, ck_kv_type type, const void *source, int64_t from,
                                  void *destination, int64_t to, int64_t head_dim) {
    kernels->kv_copy[type](source, from, destination, to, head_dim);
}
static inline void ck_run_attention(const ck_kernels *kernels, ck_kv_type type, const ck_attention *job) {
    kernels->attention[type](job);
}
static inline void ck_run_row_store(const ck_kernels *kernels, ck_kv_type type, const float *row, int64_t head_dim,
                                    void *out) {
    kernels->row_store[type](row, head_dim, out);
}
static inline void ck_run_plain_attention(const ck_kernels *kernels, ck_kv_type type, const ck_row_attention *job) {
    kernels->plain_attention[type](job);
}
static inline void ck_run_tiled_attention(const ck_kernels *kernels, ck_kv_type type, const ck_row_attention *job) {
    kernels->tiled_attention[type](job);
}

// MARK: - Packing (portable, at load time)

// Activation format that a layout's kernel reads (`linear`; for `linear_q16` it is q16).
ck_activation ck_layout_activation(ck_layout layout);
// Columns as the layout pads them; bytes of one panel; bytes of the activations of `tokens` tokens.
int64_t ck_padded_columns(ck_layout layout, int64_t columns);
int64_t ck_panel_bytes(ck_layout layout, int64_t columns);
int64_t ck_activation_bytes(ck_activation format, int64_t padded_columns, int64_t tokens);

// Up to 16 rows of codes with their scales, in f32 that is rounded to f16 (q4w, q8w and f8: not rounded). A *group* is 32
// columns, 16 for q6k, 128 for f8. The last one may have fewer.
typedef struct ck_affine_rows {
    const uint8_t *codes;    // [rows][columns]
    const float *scales;     // [rows][columns / group, rounded up]; q4k, q5k, q6k: [rows][columns / 256, rounded up]
    const float *offsets;    // as scales; not read by the symmetric layouts
    const uint8_t *scale_factors;   // [rows][columns / group]: q4k, q5k, q6k (signed) only
    const uint8_t *offset_factors;  // the same: q4k and q5k only
    int64_t rows, columns;
    int32_t zero_point;  // the code that means 0: for a symmetric layout the codes are shifted to its own (8, 32, 128)
} ck_affine_rows;

// One panel from up to 16 rows; those beyond `rows` are padded. Codes fit the layout's bits.
void ck_pack_affine(ck_layout layout, const ck_affine_rows *source, void *panel);
// One panel from up to 16 rows of f32 values [16][columns] (bf16, f16: rounded to nearest even; f32).
void ck_pack_float(ck_layout layout, const float *values, int64_t rows, int64_t columns, void *panel);
// One row of a packed matrix as f32 (embedding lookup). `panels` is panel 0.
void ck_unpack_row(ck_layout layout, const void *panels, int64_t row, int64_t columns, float *out);

// MARK: - Threads

static inline void ck_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}
// Sleeps while *address == expected (may wake early); wakes up to `count` sleepers.
void ck_futex_wait(const void *address, uint32_t expected);
void ck_futex_wake(const void *address, int32_t count);
// The processors that the calling thread may run on, up to `capacity` of them; 0 where the system doesn't say.
int32_t ck_usable_processors(int32_t *processors, int32_t capacity);
// Keeps the calling thread on one of them. A refusal changes nothing.
void ck_pin_thread(int32_t processor);
