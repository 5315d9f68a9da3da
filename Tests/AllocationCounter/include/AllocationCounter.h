// Counts this thread's heap allocations. Linking this target replaces malloc and its kin for the whole test process by
// functions that count and call glibc's own.
#pragma once
#include <stdint.h>

// Allocations that the calling thread has made so far.
int64_t allocation_count(void);
