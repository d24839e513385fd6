/* Kills its process at one chosen call among those that change files under one folder.
 *
 * Preloaded (LD_PRELOAD) it only passes calls on, until kill_shim_arm() says what to do. Built by tests/kills.py.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BEFORE, TORN, AFTER };

static char folder[4096];
static long deadly;
static int moment;
static int log_file = -1;
static atomic_long calls;

/* From now on calls on paths below `below` are counted from 0; call number `at` kills (none if negative): before it is
 * made, torn in its middle, or after it. With a descriptor `log` every counted call is written there, "name path\n". */
void kill_shim_arm(const char *below, long at, int when, int log)
{
    deadly = at;
    moment = when;
    log_file = log;
    atomic_store(&calls, 0);
    snprintf(folder, sizeof folder, "%s/", below);
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Counts a call on `path`; gives whether it is the deadly one. */
static int is_deadly(const char *name, const char *path)
{
    if (folder[0] == '\0' || strncmp(path, folder, strlen(folder) - 1) != 0)
        return 0;
    if (path[strlen(folder) - 1] != '\0' && path[strlen(folder) - 1] != '/')
        return 0;
    if (log_file >= 0) {
        char line[4400];
        int length = snprintf(line, sizeof line, "%s %s\n", name, path);
        syscall(SYS_write, log_file, line, (size_t)length);
    }
    return atomic_fetch_add(&calls, 1) == deadly;
}

static int is_deadly_for(const char *name, int file)
{
    char link[64], path[4096];
    ssize_t length;

    if (folder[0] == '\0')
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return is_deadly(name, path);
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

/* Makes `whole`, or dies before, after, or when only `half` is made. */
#define MAKE(deadly_now, half, whole)   \
    do {                                \
        int now = (deadly_now);         \
        if (now && moment == TORN)      \
            (void)!(half);              \
        if (now && moment != AFTER)     \
            die();                      \
        __typeof__(whole) done = whole; \
        if (now)                        \
            die();                      \
        return done;                    \
    } while (0)

#define ON_FILE(kind, name, declared, half, whole)     \
    kind name declared                                 \
    {                                                  \
        MAKE(is_deadly_for(#name, file), half, whole); \
    }

#define ON_PATH(name, declared, whole)          \
    int name declared                           \
    {                                           \
        MAKE(is_deadly(#name, path), 0, whole); \
    }

/* Opening changes a folder only where it may make or empty a file. */
#define OPENING(name, declared, arguments)                                          \
    int name declared                                                               \
    {                                                                               \
        va_list rest;                                                               \
        mode_t mode = 0;                                                            \
        va_start(rest, flags);                                                      \
        if (flags & (O_CREAT | __O_TMPFILE))                                        \
            mode = va_arg(rest, mode_t);                                            \
        va_end(rest);                                                               \
        MAKE(flags & (O_CREAT | O_TRUNC) && is_deadly(#name, path), 0, NEXT(name) arguments); \
    }

OPENING(open, (const char *path, int flags, ...), (path, flags, mode))
OPENING(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENING(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENING(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))
ON_PATH(creat, (const char *path, mode_t mode), NEXT(creat)(path, mode))
ON_PATH(creat64, (const char *path, mode_t mode), NEXT(creat64)(path, mode))

ON_FILE(ssize_t, write, (int file, const void *data, size_t length), NEXT(write)(file, data, length / 2),
        NEXT(write)(file, data, length))
ON_FILE(ssize_t, pwrite, (int file, const void *data, size_t length, off_t offset),
        NEXT(pwrite)(file, data, length / 2, offset), NEXT(pwrite)(file, data, length, offset))
ON_FILE(ssize_t, pwrite64, (int file, const void *data, size_t length, off64_t offset),
        NEXT(pwrite64)(file, data, length / 2, offset), NEXT(pwrite64)(file, data, length, offset))
ON_FILE(ssize_t, writev, (int file, const struct iovec *parts, int count), NEXT(writev)(file, parts, count / 2),
        NEXT(writev)(file, parts, count))
ON_FILE(ssize_t, pwritev, (int file, const struct iovec *parts, int count, off_t offset),
        NEXT(pwritev)(file, parts, count / 2, offset), NEXT(pwritev)(file, parts, count, offset))
ON_FILE(ssize_t, pwritev64, (int file, const struct iovec *parts, int count, off64_t offset),
        NEXT(pwritev64)(file, parts, count / 2, offset), NEXT(pwritev64)(file, parts, count, offset))
ON_FILE(ssize_t, copy_file_range, (int from, off64_t *start, int file, off64_t *offset, size_t length, unsigned int flags),
        NEXT(copy_file_range)(from, start, file, offset, length / 2, flags),
        NEXT(copy_file_range)(from, start, file, offset, length, flags))
ON_FILE(int, fallocate, (int file, int mode, off_t offset, off_t length),
        NEXT(fallocate)(file, mode, offset, (length + 1) / 2), NEXT(fallocate)(file, mode, offset, length))
ON_FILE(int, fallocate64, (int file, int mode, off64_t offset, off64_t length),
        NEXT(fallocate64)(file, mode, offset, (length + 1) / 2), NEXT(fallocate64)(file, mode, offset, length))
ON_FILE(int, posix_fallocate, (int file, off_t offset, off_t length), NEXT(posix_fallocate)(file, offset, (length + 1) / 2),
        NEXT(posix_fallocate)(file, offset, length))
ON_FILE(int, posix_fallocate64, (int file, off64_t offset, off64_t length),
        NEXT(posix_fallocate64)(file, offset, (length + 1) / 2), NEXT(posix_fallocate64)(file, offset, length))
ON_FILE(int, ftruncate, (int file, off_t length), 0, NEXT(ftruncate)(file, length))
ON_FILE(int, ftruncate64, (int file, off64_t length), 0, NEXT(ftruncate64)(file, length))
ON_FILE(int, fsync, (int file), 0, NEXT(fsync)(file))
ON_FILE(int, fdatasync, (int file), 0, NEXT(fdatasync)(file))

ON_PATH(truncate, (const char *path, off_t length), NEXT(truncate)(path, length))
ON_PATH(truncate64, (const char *path, off64_t length), NEXT(truncate64)(path, length))
ON_PATH(rename, (const char *from, const char *path), NEXT(rename)(from, path))
ON_PATH(renameat, (int at, const char *from, int to, const char *path), NEXT(renameat)(at, from, to, path))
ON_PATH(renameat2, (int at, const char *from, int to, const char *path, unsigned int flags),
        NEXT(renameat2)(at, from, to, path, flags))
ON_PATH(link, (const char *from, const char *path), NEXT(link)(from, path))
ON_PATH(unlink, (const char *path), NEXT(unlink)(path))
ON_PATH(unlinkat, (int at, const char *path, int flags), NEXT(unlinkat)(at, path, flags))
ON_PATH(mkdir, (const char *path, mode_t mode), NEXT(mkdir)(path, mode))
ON_PATH(rmdir, (const char *path), NEXT(rmdir)(path))
