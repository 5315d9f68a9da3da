// Who fills which part of a table of kernels: one function per op family and instruction set.
#pragma once
#include "CKernels.h"

void ck_fill_linear_portable(ck_kernels *table);
void ck_fill_linear_avx2(ck_kernels *table);
void ck_fill_linear_avx512(ck_kernels *table);
void ck_fill_linear_neon(ck_kernels *table);
void ck_fill_linear_neondot(ck_kernels *table);  // the part of the NEON table that needs FEAT_DotProd besides

void ck_fill_attention_portable(ck_kernels *table);
void ck_fill_attention_avx2(ck_kernels *table);
void ck_fill_attention_avx512(ck_kernels *table);
void ck_fill_attention_avx512vnni(ck_kernels *table);
void ck_fill_attention_avx512bf16(ck_kernels *table);  // the part of the AVX-512 table that needs AVX512_BF16 besides
void ck_fill_attention_neon(ck_kernels *table);

void ck_fill_attention_baseline_portable(ck_kernels *table);
void ck_fill_attention_baseline_avx2(ck_kernels *table);
void ck_fill_attention_baseline_avx512(ck_kernels *table);
void ck_fill_attention_baseline_neon(ck_kernels *table);

void ck_fill_elementwise_portable(ck_kernels *table);
void ck_fill_elementwise_avx2(ck_kernels *table);
void ck_fill_elementwise_avx512(ck_kernels *table);
void ck_fill_elementwise_neon(ck_kernels *table);
