// Sleeping and waking on a 32-bit word: futex(2). `syscall` is variadic, so Swift can't call it.
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE  // syscall, under -std=c17
#endif
#include "CKernels.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void ck_futex_wait(const void *address, uint32_t expected) {
    syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, expected, (void *)0);
}

void ck_futex_wake(const void *address, int32_t count) { syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, count); }
#else
#include <sched.h>

// Waiting may end early, so giving up the time slice is a correct, if restless, sleep.
void ck_futex_wait(const void *address, uint32_t expected) {
    if (__atomic_load_n((const uint32_t *)address, __ATOMIC_ACQUIRE) == expected) sched_yield();
}

void ck_futex_wake(const void *address, int32_t count) {
    (void)address;
    (void)count;
}
#endif
