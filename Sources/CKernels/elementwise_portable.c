// Norms, rotary embedding and activations in portable C.
#include "tables.h"
#include "vector_portable.h"

#include "elementwise_kernel.h"

void ck_fill_elementwise_portable(ck_kernels *table) { fill_elementwise(table); }
