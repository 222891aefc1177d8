// A disk that does not answer: while the file STUCK is there, nothing that is written below the folder SLOW reaches
// the disk, so that who syncs it waits. For LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void wait_for_disk(int fd) {
    const char *folder = getenv("SLOW"), *stuck = getenv("STUCK");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!folder || !stuck || length < 0) return;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder)) != 0) return;
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
