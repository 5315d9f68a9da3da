// The ladder's first attention methods in portable C.
#include "tables.h"
#include "vector_portable.h"

#include "attention_baseline.h"

void ck_fill_attention_baseline_portable(ck_kernels *table) { fill_attention_baseline(table); }
