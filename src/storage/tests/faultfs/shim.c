// A library for LD_PRELOAD that watches, and fails, what a process does to the files below one directory.
//
//   SKERRY_SHIM_ROOT   the directory (absolute, without symbolic links); nothing else is touched
//   SKERRY_SHIM_TRACE  a file that gets a record of every change, with its data, in the order in which they were made
//   SKERRY_SHIM_COUNT  a file of 8 bytes that holds how many calls were counted
//   SKERRY_SHIM_FAIL   "N:E" or "N-M:E": calls N to M fail with errno E; E = -1 makes a write half as long as asked
//   SKERRY_SHIM_SYNCS_ALONE  set: nothing but fsync and fdatasync is counted, and so fails
//   SKERRY_SHIM_NO_SYNC  set: fsync and fdatasync do nothing, as in a store that forgot them
//
// A call is counted when it opens for writing, reads, writes, truncates, syncs, renames, links, unlinks, or makes or removes a
// directory below the root. The trace is read by faultfs/disk_model.h, which also says what its records mean.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kCreate = 1, kWrite, kTruncate, kSync, kSyncDirectory, kRename, kUnlink, kMakeDirectory, kRemoveDirectory, kLink, kMark, kSyncFailed };

struct Record {
  uint32_t kind;
  uint32_t first_bytes;   // a path below the root, or a mark's text
  uint32_t second_bytes;  // data, or a second path
  uint32_t unused;
  uint64_t inode;
  uint64_t offset;
};

enum { kMostFiles = 65536 };
static struct {
  uint64_t inode;  // 0: not below the root
  int directory;
  int appends;
  char* path;  // of a directory
} files[kMostFiles];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_bytes;
static int trace = -1;
static uint64_t* counted;
static uint64_t fail_from, fail_to;
static int fail_errno;
static int no_sync;
static int syncs_alone;

static int (*real_open)(const char*, int, ...);
static int (*real_openat)(int, const char*, int, ...);
static int (*real_close)(int);
static ssize_t (*real_read)(int, void*, size_t);
static ssize_t (*real_pread)(int, void*, size_t, off_t);
static ssize_t (*real_write)(int, const void*, size_t);
static ssize_t (*real_pwrite)(int, const void*, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_posix_fallocate)(int, off_t, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_rename)(const char*, const char*);
static int (*real_link)(const char*, const char*);
static int (*real_unlink)(const char*);
static int (*real_remove)(const char*);
static int (*real_mkdir)(const char*, mode_t);
static int (*real_rmdir)(const char*);

static void* Find(const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

static void* MapCounter(const char* path) {
  const int fd = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || real_ftruncate(fd, sizeof *counted) != 0) abort();
  void* at = mmap(NULL, sizeof *counted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  real_close(fd);
  if (at == MAP_FAILED) abort();
  return at;
}

__attribute__((constructor)) static void Start(void) {
  real_open = Find("open64");
  real_openat = Find("openat64");
  real_close = Find("close");
  real_read = Find("read");
  real_pread = Find("pread64");
  real_write = Find("write");
  real_pwrite = Find("pwrite64");
  real_fsync = Find("fsync");
  real_fdatasync = Find("fdatasync");
  real_ftruncate = Find("ftruncate64");
  real_posix_fallocate = Find("posix_fallocate64");
  real_fallocate = Find("fallocate64");
  real_rename = Find("rename");
  real_link = Find("link");
  real_unlink = Find("unlink");
  real_remove = Find("remove");
  real_mkdir = Find("mkdir");
  real_rmdir = Find("rmdir");
  const char* value = getenv("SKERRY_SHIM_ROOT");
  if (value == NULL || strlen(value) + 2 > sizeof root) return;
  strcpy(root, value);
  if ((value = getenv("SKERRY_SHIM_TRACE")) != NULL) {
    trace = real_open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) abort();
  }
  if ((value = getenv("SKERRY_SHIM_COUNT")) != NULL) counted = MapCounter(value);
  if ((value = getenv("SKERRY_SHIM_FAIL")) != NULL) {
    char* end;
    fail_from = fail_to = strtoull(value, &end, 10);
    if (*end == '-') fail_to = strtoull(end + 1, &end, 10);
    if (*end != ':') abort();
    fail_errno = atoi(end + 1);
  }
  no_sync = getenv("SKERRY_SHIM_NO_SYNC") != NULL;
  syncs_alone = getenv("SKERRY_SHIM_SYNCS_ALONE") != NULL;
  root_bytes = strlen(root);  // from here on
}

// The part of the path below the root, NULL for another place; `buffer` takes one that is made.
static const char* Below(int at, const char* path, char* buffer) {
  if (root_bytes == 0 || path == NULL) return NULL;
  if (path[0] != '/') {
    const char* parent = NULL;
    if (at >= 0 && at < kMostFiles && files[at].directory) parent = files[at].path;
    if (parent == NULL) return NULL;
    if (snprintf(buffer, PATH_MAX, "%s%s%s", parent, parent[0] != 0 ? "/" : "", path) >= PATH_MAX) return NULL;
    return buffer;
  }
  if (strncmp(path, root, root_bytes) != 0) return NULL;
  if (path[root_bytes] == 0) return path + root_bytes;
  if (path[root_bytes] != '/') return NULL;
  path += root_bytes;
  while (*path == '/') ++path;
  return path;
}

static int Known(int fd) { return fd >= 0 && fd < kMostFiles && files[fd].inode != 0; }

enum CallKind { kOther, kMayBeShort, kIsSync };

// Whether this call is to fail; sets errno. The mutex is held.
static int Fails(enum CallKind kind) {
  if (syncs_alone && kind != kIsSync) return 0;
  if (counted == NULL && fail_from == 0) return 0;
  static uint64_t own;
  uint64_t* count = counted != NULL ? counted : &own;
  const uint64_t number = ++*count;
  if (fail_from == 0 || number < fail_from || number > fail_to) return 0;
  if (fail_errno == -1) return kind == kMayBeShort ? -1 : 0;
  errno = fail_errno;
  return 1;
}

static void Put(const void* bytes, size_t size) {
  const char* at = bytes;
  while (size > 0) {
    const ssize_t put = real_write(trace, at, size);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) abort();
    at += put;
    size -= (size_t)put;
  }
}

static void Note(uint32_t kind, const char* first, uint32_t first_bytes, const void* second, uint32_t second_bytes, uint64_t inode,
                 uint64_t offset) {
  if (trace < 0) return;
  const int before = errno;
  const struct Record record = {kind, first_bytes, second_bytes, 0, inode, offset};
  Put(&record, sizeof record);
  Put(first, first_bytes);
  Put(second, second_bytes);
  errno = before;
}

// Something that a test wants to see in the order of the changes.
__attribute__((visibility("default"))) void skerry_shim_mark(const char* text, size_t bytes) {
  pthread_mutex_lock(&mutex);
  Note(kMark, text, (uint32_t)bytes, NULL, 0, 0, 0);
  pthread_mutex_unlock(&mutex);
}

static int Opened(int fd, const char* below, int flags, int was_there) {
  struct stat facts;
  if (fd < 0 || fd >= kMostFiles || fstat(fd, &facts) != 0) return fd;
  free(files[fd].path);
  files[fd].path = NULL;
  files[fd].inode = facts.st_ino;
  files[fd].directory = S_ISDIR(facts.st_mode);
  files[fd].appends = (flags & O_APPEND) != 0;
  if (files[fd].directory) {
    files[fd].path = strdup(below);
    return fd;
  }
  if (!was_there) Note(kCreate, below, (uint32_t)strlen(below), NULL, 0, facts.st_ino, 0);
  if (was_there && (flags & O_TRUNC) != 0) Note(kTruncate, NULL, 0, NULL, 0, facts.st_ino, 0);
  return fd;
}

static int OpenAt(int at, const char* path, int flags, mode_t mode) {
  char buffer[PATH_MAX];
  const char* below = Below(at, path, buffer);
  if (below == NULL) return real_openat(at, path, flags, mode);
  pthread_mutex_lock(&mutex);
  int fd = -1;
  const int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0;
  if (!writes || !Fails(kOther)) {
    struct stat facts;
    const int was_there = fstatat(at, path, &facts, 0) == 0;
    fd = Opened(real_openat(at, path, flags, mode), below, flags, was_there || !(flags & O_CREAT));
  }
  pthread_mutex_unlock(&mutex);
  return fd;
}

#define MODE_OF(flags)                             \
  mode_t mode = 0;                                 \
  if (((flags) & (O_CREAT | __O_TMPFILE)) != 0) {  \
    va_list more;                                  \
    va_start(more, flags);                         \
    mode = (mode_t)va_arg(more, int);              \
    va_end(more);                                  \
  }

int open64(const char* path, int flags, ...) {
  MODE_OF(flags)
  return OpenAt(AT_FDCWD, path, flags, mode);
}
int open(const char* path, int flags, ...) {
  MODE_OF(flags)
  return OpenAt(AT_FDCWD, path, flags, mode);
}
int openat64(int at, const char* path, int flags, ...) {
  MODE_OF(flags)
  return OpenAt(at, path, flags, mode);
}
int openat(int at, const char* path, int flags, ...) {
  MODE_OF(flags)
  return OpenAt(at, path, flags, mode);
}

int close(int fd) {
  if (Known(fd)) {
    pthread_mutex_lock(&mutex);
    files[fd].inode = 0;
    files[fd].directory = 0;
    pthread_mutex_unlock(&mutex);
  }
  return real_close(fd);
}

ssize_t pread64(int fd, void* to, size_t bytes, off_t offset) {
  if (!Known(fd)) return real_pread(fd, to, bytes, offset);
  pthread_mutex_lock(&mutex);
  const int fails = Fails(kOther);
  pthread_mutex_unlock(&mutex);
  return fails ? -1 : real_pread(fd, to, bytes, offset);
}
ssize_t pread(int fd, void* to, size_t bytes, off_t offset) { return pread64(fd, to, bytes, offset); }

ssize_t read(int fd, void* to, size_t bytes) {
  if (!Known(fd)) return real_read(fd, to, bytes);
  pthread_mutex_lock(&mutex);
  const int fails = Fails(kOther);
  pthread_mutex_unlock(&mutex);
  return fails ? -1 : real_read(fd, to, bytes);
}

// The mutex is held. offset < 0: where the file stands.
static ssize_t WriteAt(int fd, const void* from, size_t bytes, off_t offset) {
  const int fails = Fails(kMayBeShort);
  if (fails > 0) return -1;
  if (fails < 0 && bytes > 1) bytes /= 2;
  off_t at = offset;
  if (offset < 0) {
    struct stat facts;
    at = files[fd].appends && fstat(fd, &facts) == 0 ? facts.st_size : lseek(fd, 0, SEEK_CUR);
  }
  const ssize_t put = offset < 0 ? real_write(fd, from, bytes) : real_pwrite(fd, from, bytes, offset);
  if (put > 0) Note(kWrite, NULL, 0, from, (uint32_t)put, files[fd].inode, (uint64_t)at);
  return put;
}

ssize_t pwrite64(int fd, const void* from, size_t bytes, off_t offset) {
  if (!Known(fd)) return real_pwrite(fd, from, bytes, offset);
  pthread_mutex_lock(&mutex);
  const ssize_t put = WriteAt(fd, from, bytes, offset);
  pthread_mutex_unlock(&mutex);
  return put;
}
ssize_t pwrite(int fd, const void* from, size_t bytes, off_t offset) { return pwrite64(fd, from, bytes, offset); }

ssize_t write(int fd, const void* from, size_t bytes) {
  if (!Known(fd)) return real_write(fd, from, bytes);
  pthread_mutex_lock(&mutex);
  const ssize_t put = WriteAt(fd, from, bytes, -1);
  pthread_mutex_unlock(&mutex);
  return put;
}

static int Sync(int fd, int (*real)(int)) {
  if (!Known(fd)) return real(fd);
  pthread_mutex_lock(&mutex);
  int result = 0;  // nothing has to reach this machine's disk: the model is what counts
  const uint32_t path_bytes = files[fd].directory ? (uint32_t)strlen(files[fd].path) : 0;
  if (Fails(kIsSync)) {
    result = -1;
    if (!files[fd].directory) Note(kSyncFailed, NULL, 0, NULL, 0, files[fd].inode, 0);
  } else if (!no_sync) {
    Note(files[fd].directory ? kSyncDirectory : kSync, files[fd].path, path_bytes, NULL, 0,
         files[fd].directory ? 0 : files[fd].inode, 0);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}
int fsync(int fd) { return Sync(fd, real_fsync); }
int fdatasync(int fd) { return Sync(fd, real_fdatasync); }

int ftruncate64(int fd, off_t size) {
  if (!Known(fd)) return real_ftruncate(fd, size);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (!Fails(kOther)) {
    result = real_ftruncate(fd, size);
    if (result == 0) Note(kTruncate, NULL, 0, NULL, 0, files[fd].inode, (uint64_t)size);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

// The mutex is held.
static void NoteGrowth(int fd) {
  struct stat facts;
  if (fstat(fd, &facts) == 0) Note(kTruncate, NULL, 0, NULL, 0, files[fd].inode, (uint64_t)facts.st_size);
}

int posix_fallocate64(int fd, off_t offset, off_t bytes) {
  if (!Known(fd)) return real_posix_fallocate(fd, offset, bytes);
  pthread_mutex_lock(&mutex);
  int result = Fails(kOther) ? errno : real_posix_fallocate(fd, offset, bytes);
  if (result == 0) NoteGrowth(fd);
  pthread_mutex_unlock(&mutex);
  return result;
}
int posix_fallocate(int fd, off_t offset, off_t bytes) { return posix_fallocate64(fd, offset, bytes); }

int fallocate64(int fd, int mode, off_t offset, off_t bytes) {
  if (!Known(fd)) return real_fallocate(fd, mode, offset, bytes);
  pthread_mutex_lock(&mutex);
  int result = Fails(kOther) ? -1 : real_fallocate(fd, mode, offset, bytes);
  if (result == 0) NoteGrowth(fd);
  pthread_mutex_unlock(&mutex);
  return result;
}
int fallocate(int fd, int mode, off_t offset, off_t bytes) { return fallocate64(fd, mode, offset, bytes); }

static int TwoPaths(const char* from, const char* to, int (*real)(const char*, const char*), uint32_t kind) {
  char buffers[2][PATH_MAX];
  const char* below_from = Below(AT_FDCWD, from, buffers[0]);
  const char* below_to = Below(AT_FDCWD, to, buffers[1]);
  if (below_from == NULL && below_to == NULL) return real(from, to);
  if (below_from == NULL || below_to == NULL) abort();  // across the root: the model would not know the file
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (!Fails(kOther)) {
    result = real(from, to);
    if (result == 0)
      Note(kind, below_from, (uint32_t)strlen(below_from), below_to, (uint32_t)strlen(below_to), 0, 0);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}
int rename(const char* from, const char* to) { return TwoPaths(from, to, real_rename, kRename); }
int link(const char* from, const char* to) { return TwoPaths(from, to, real_link, kLink); }

static int OnePath(const char* path, int (*real)(const char*), uint32_t kind) {
  char buffer[PATH_MAX];
  const char* below = Below(AT_FDCWD, path, buffer);
  if (below == NULL) return real(path);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (!Fails(kOther)) {
    struct stat facts;
    const int directory = stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
    result = real(path);
    if (result == 0) Note(directory ? kRemoveDirectory : kind, below, (uint32_t)strlen(below), NULL, 0, 0, 0);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}
int unlink(const char* path) { return OnePath(path, real_unlink, kUnlink); }
int remove(const char* path) { return OnePath(path, real_remove, kUnlink); }
int rmdir(const char* path) { return OnePath(path, real_rmdir, kRemoveDirectory); }

int mkdir(const char* path, mode_t mode) {
  char buffer[PATH_MAX];
  const char* below = Below(AT_FDCWD, path, buffer);
  if (below == NULL) return real_mkdir(path, mode);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (!Fails(kOther)) {
    result = real_mkdir(path, mode);
    if (result == 0) Note(kMakeDirectory, below, (uint32_t)strlen(below), NULL, 0, 0, 0);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}
