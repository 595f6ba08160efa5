// Preloaded into a process: what it writes to the files of one folder, in order, with every flush. See power.py.
// cc -shared -fPIC -o recorder.so recorder.c -ldl; POWER_FOLDER=/data POWER_LOG=log LD_PRELOAD=./recorder.so program
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *folder(void) { return getenv("POWER_FOLDER"); }

// One record: operation, length of the name, of the data, offset, then name and data; appended in one call.
static void record(char operation, const char *name, uint64_t offset, const void *data, uint32_t size) {
    static int log = -1;
    if (log < 0) log = open(getenv("POWER_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    uint16_t length = strlen(name);
    char head[15];
    memcpy(head, &operation, 1), memcpy(head + 1, &length, 2), memcpy(head + 3, &size, 4), memcpy(head + 7, &offset, 8);
    struct iovec parts[] = {{head, 15}, {(void *)name, length}, {(void *)data, size}};
    if (writev(log, parts, 3) < 0) abort();
}

// The name below the folder, "" for the folder itself, NULL for anything else.
static const char *below(const char *path) {
    size_t length = folder() ? strlen(folder()) : 0;
    if (!length || strncmp(path, folder(), length) || (path[length] && path[length] != '/')) return NULL;
    return path[length] ? path + length + 1 : "";
}

static const char *named(int file, char *path) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    return below(path);
}

static void seen(char operation, int file, uint64_t offset, const void *data, uint32_t size) {
    char path[PATH_MAX];
    const char *name = named(file, path);
    if (name) record(operation, name, offset, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    ssize_t done = REAL(pwrite)(file, data, size, offset);
    if (done > 0) seen('W', file, offset, data, done);
    return done;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    ssize_t done = REAL(pwrite64)(file, data, size, offset);
    if (done > 0) seen('W', file, offset, data, done);
    return done;
}

ssize_t write(int file, const void *data, size_t size) {
    off_t offset = lseek(file, 0, SEEK_CUR);
    ssize_t done = REAL(write)(file, data, size);
    if (done > 0 && offset >= 0) seen('W', file, offset, data, done);
    return done;
}

int ftruncate(int file, off_t size) {
    int failed = REAL(ftruncate)(file, size);
    if (!failed) seen('T', file, size, "", 0);
    return failed;
}

int ftruncate64(int file, off64_t size) {
    int failed = REAL(ftruncate64)(file, size);
    if (!failed) seen('T', file, size, "", 0);
    return failed;
}

// Flushes are written down and not done: the disk is simulated, and waiting for a real one would only take time.
int fsync(int file) {
    seen('S', file, 0, "", 0);
    return 0;
}

int fdatasync(int file) {
    seen('S', file, 0, "", 0);
    return 0;
}

int unlink(const char *path) {
    int failed = REAL(unlink)(path);
    const char *name = below(path);
    if (!failed && name) record('U', name, 0, "", 0);
    return failed;
}

int rename(const char *from, const char *to) {
    int failed = REAL(rename)(from, to);
    const char *old = below(from), *new = below(to);
    if (!failed && old && new) record('R', old, 0, new, strlen(new));
    return failed;
}
