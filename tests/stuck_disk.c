// A disk that does not answer: while the file STUCK is there, nothing that is written below the folder SLOW reaches
// the disk, so that who syncs it waits. For LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "below.h"

static void wait_for_disk(int fd) {
    const char *stuck = getenv("STUCK");
    if (!stuck || !below(fd, "SLOW")) return;
    while (access(stuck, F_OK) == 0) usleep(10000);
}

#define SYNC(name)                                            \
    int name(int fd) {                                        \
        static int (*real)(int);                              \
        if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name); \
        wait_for_disk(fd);                                    \
        return real(fd);                                      \
    }
SYNC(fsync)
SYNC(fdatasync)
