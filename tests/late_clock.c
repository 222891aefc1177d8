// A host whose clock is wrong: the wall clock is CLOCK_SHIFT seconds ahead. For LD_PRELOAD.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    const char *shift = getenv("CLOCK_SHIFT");
    if (!failed && shift && clock == CLOCK_REALTIME) time->tv_sec += atol(shift);
    return failed;
}
