// Whether an open file is below the folder that an environment variable names.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int below(int fd, const char *variable) {
    const char *folder = getenv(variable);
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!folder || length < 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}
