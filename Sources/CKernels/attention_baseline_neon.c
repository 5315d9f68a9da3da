// The ladder's first attention methods with NEON.
#include "tables.h"

#if defined(__aarch64__)
#include "vector_neon.h"

#include "attention_baseline.h"

void ck_fill_attention_baseline_neon(ck_kernels *table) { fill_attention_baseline(table); }
#endif
