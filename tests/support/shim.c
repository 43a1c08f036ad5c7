/* SPDX-License-Identifier: MIT
 *
 * Loaded into a program before its libraries (LD_PRELOAD, see shim.py): moves its wall clock, lets its
 * allocations or forks fail, takes its descriptors away, and counts how often it looks for events. What it shall do stands in a
 * page that the test shares with it, all numbers of 64 bits. Allocations only with -DSHIM_MALLOC: a
 * sanitizer brings an allocator of its own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct page { /* in the order of shim.FIELDS */
  volatile int64_t clock;      /* microseconds that the wall clock is ahead */
  volatile int64_t fail_after; /* the so manieth allocation from now fails; 0: none */
  volatile int64_t failed;     /* so many failed */
  volatile int64_t fork_error; /* errno of every fork; 0: forks work */
  volatile int64_t looks;      /* calls of epoll_wait so far */
  volatile int64_t room;       /* descriptors that each process may still open; negative: thousands */
  volatile int64_t order;      /* the number of what `room` says now */
  volatile int64_t obeyed;     /* processes that did since this was set to 0 */
};

static struct page nothing;
static struct page* page = &nothing;

__attribute__((constructor)) static void open_page(void) {
  const char* name = getenv("SHIM_PAGE");
  const int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* there = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (there != MAP_FAILED) page = there;
  close(fd);
}

int clock_gettime(clockid_t clock, struct timespec* out) {
  const long result = syscall(SYS_clock_gettime, clock, out);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    const int64_t micros = out->tv_nsec / 1000 + page->clock % 1000000;
    out->tv_sec += page->clock / 1000000 + (micros < 0 ? -1 : micros / 1000000);
    out->tv_nsec = (micros < 0 ? micros + 1000000 : micros % 1000000) * 1000 + out->tv_nsec % 1000;
  }
  return (int)result;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval* out, void* zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

/* Between two turns of a program's loop. */
static void obey(void) {
  static int64_t done;
  const int64_t order = page->order;
  if (order == done) return;
  done = order;
  const int first_free = fcntl(0, F_DUPFD_CLOEXEC, 0);
  if (first_free >= 0) close(first_free);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = page->room < 0 ? 4096 : (rlim_t)(first_free + page->room);
  setrlimit(RLIMIT_NOFILE, &limit);
  __sync_add_and_fetch(&page->obeyed, 1);
}

int epoll_wait(int fd, struct epoll_event* events, int most, int timeout) {
  __sync_add_and_fetch(&page->looks, 1);
  obey();
  return ((int (*)(int, struct epoll_event*, int, int))dlsym(RTLD_NEXT, "epoll_wait"))(fd, events, most,
                                                                                    timeout);
}

pid_t fork(void) {
  if (page->fork_error != 0) {
    errno = (int)page->fork_error;
    return -1;
  }
  return ((pid_t(*)(void))dlsym(RTLD_NEXT, "fork"))();
}

#ifdef SHIM_DESCRIPTORS
/* UBSan asks a pipe whether it may look at an object, and takes every one for wrong without descriptors. */
void __ubsan_handle_dynamic_type_cache_miss_abort(void* data, uintptr_t pointer, uintptr_t hash) {
  (void)data, (void)pointer, (void)hash;
}
#endif

#ifdef SHIM_MALLOC
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

static int fails(void) {
  if (page->fail_after <= 0 || __sync_sub_and_fetch(&page->fail_after, 1) != 0) return 0;
  __sync_add_and_fetch(&page->failed, 1);
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void* realloc(void* old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }
void* aligned_alloc(size_t align, size_t size) {
  return fails() ? NULL : __libc_memalign(align, size);
}
int posix_memalign(void** out, size_t align, size_t size) {
  if (fails()) return ENOMEM;
  void* made = __libc_memalign(align, size);
  if (made == NULL) return ENOMEM;
  *out = made;
  return 0;
}
#endif
