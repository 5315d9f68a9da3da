// What threads need of the system and Swift can't call: futex(2), as `syscall` is variadic, and CPU sets, which are macros.
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE  // syscall and CPU sets, under -std=c17
#endif
#include "CKernels.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

void ck_futex_wait(const void *address, uint32_t expected) {
    syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, expected, (void *)0);
}

void ck_futex_wake(const void *address, int32_t count) { syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, count); }
int32_t ck_usable_processors(int32_t *processors, int32_t capacity) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
    int32_t count = 0;
    for (int32_t i = 0; i < CPU_SETSIZE && count < capacity; i++) {
        if (CPU_ISSET(i, &allowed)) processors[count++] = i;
    }
    return count;
}

void ck_pin_thread(int32_t processor) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}
#else
#include <sched.h>

int32_t ck_usable_processors(int32_t *processors, int32_t capacity) {
    (void)processors;
    (void)capacity;
    return 0;
}

void ck_pin_thread(int32_t processor) { (void)processor; }

// Waiting may end early, so giving up the time slice is a correct, if restless, sleep.
void ck_futex_wait(const void *address, uint32_t expected) {
    if (__atomic_load_n((const uint32_t *)address, __ATOMIC_ACQUIRE) == expected) sched_yield();
}

void ck_futex_wake(const void *address, int32_t count) {
    (void)address;
    (void)count;
}
#endif
