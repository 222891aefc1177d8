// What a program meets on a file system without locks or shared memory, below the folder LOCKLESS:
// locks fail with the error number LOCKLESS_ERRNO (ENOSYS on Lustre without -o flock, ENOLCK on NFS
// without a lock daemon; 0: they work), and a shared mapping cannot be written to. For LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "below.h"

static int here(int fd) {
    return below(fd, "LOCKLESS");
}

static int error_number(void) {
    const char *how = getenv("LOCKLESS_ERRNO");
    return how ? atoi(how) : ENOSYS;
}

static int refuses(int fd) {
    if (error_number() == 0 || !here(fd)) return 0;
    errno = error_number();
    return 1;
}

static int locks(int command) {
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK ||
           command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_OFD_GETLK;
}

#define FCNTL(name)                                                        \
    int name(int fd, int command, ...) {                                   \
        static int (*real)(int, int, void *);                              \
        if (!real) real = (int (*)(int, int, void *))dlsym(RTLD_NEXT, #name); \
        va_list rest;                                                      \
        va_start(rest, command);                                           \
        void *argument = va_arg(rest, void *);                             \
        va_end(rest);                                                      \
        return locks(command) && refuses(fd) ? -1 : real(fd, command, argument); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int flock(int fd, int operation) {
    static int (*real)(int, int);
    if (!real) real = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    return refuses(fd) ? -1 : real(fd, operation);
}

#define MMAP(name, offset_t)                                               \
    void *name(void *at, size_t length, int protection, int flags, int fd, offset_t offset) { \
        static void *(*real)(void *, size_t, int, int, int, offset_t);     \
        if (!real) real = (void *(*)(void *, size_t, int, int, int, offset_t))dlsym(RTLD_NEXT, #name); \
        if ((flags & MAP_SHARED) && (protection & PROT_WRITE) && fd >= 0 && here(fd)) { \
            errno = ENODEV;                                                \
            return MAP_FAILED;                                             \
        }                                                                  \
        return real(at, length, protection, flags, fd, offset);            \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)
