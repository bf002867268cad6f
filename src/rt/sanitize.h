/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sanitize.h: what AddressSanitizer and ThreadSanitizer must be told about goroutines; empty in
 * other builds.
 *
 * ThreadSanitizer: a goroutine is a fiber of its own, also one that runs as a plain call. All fiber
 * switches are "no sync", or every switch would order two goroutines and hide their races; what
 * really orders them (spawn, unpark) is said by san_release in the waker and san_acquire in the
 * woken. For the same reason the files of the scheduler proper are compiled without TSan (RT_TSAN
 * is then set by the build): their queues would order unrelated goroutines, and one thread under
 * many fibers would look like many threads without locks. What TSan intercepts even there (memset,
 * calloc, free) stands between san_ignore_begin and _end, and so does all that runs between two
 * goroutines, on the stack of the one that comes. A stack is mapped anew for each goroutine: that
 * alone makes TSan forget what its predecessor, who is ordered before nobody, wrote there. */
#ifndef SENNIT_RT_SANITIZE_H
#define SENNIT_RT_SANITIZE_H

#include "base/base.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(RT_ASAN)
#define RT_ASAN 1
#endif
#if defined(BASE_TSAN) && !defined(RT_TSAN)
#define RT_TSAN 1
#endif

#ifdef RT_ASAN
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old,
                                     size_t *size_old);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
#define san_start_switch(save, lo, size) __sanitizer_start_switch_fiber(save, lo, size)
#define san_finish_switch(fake)          __sanitizer_finish_switch_fiber(fake, NULL, NULL)
#define san_unpoison(p, n)               __asan_unpoison_memory_region(p, n)
#else
#define san_start_switch(save, lo, size) ((void)(save), (void)(lo), (void)(size))
#define san_finish_switch(fake)          ((void)(fake))
#define san_unpoison(p, n)               ((void)(p), (void)(n))
#endif

#ifdef RT_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
void AnnotateIgnoreWritesBegin(const char *file, int line); /* and reads */
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *p, size_t n,
                             const char *why);
#define san_fiber_current() __tsan_get_current_fiber()
#define san_fiber_new()     __tsan_create_fiber(0)
#define san_fiber_free(f)   __tsan_destroy_fiber(f)
#define san_fiber_switch(f) __tsan_switch_to_fiber(f, 1)
#define san_acquire(p)      __tsan_acquire(p)
#define san_release(p)      __tsan_release(p)
#define san_ignore_begin()  AnnotateIgnoreWritesBegin(__FILE__, __LINE__)
#define san_ignore_end()    AnnotateIgnoreWritesEnd(__FILE__, __LINE__)
#define san_thread_owns(p)  AnnotateBenignRaceSized(__FILE__, __LINE__, p, sizeof *(p), "thread's")
enum { SAN_FRESH_STACKS = 1 };
#else
#define san_fiber_current() NULL
#define san_fiber_new()     NULL
#define san_fiber_free(f)   ((void)(f))
#define san_fiber_switch(f) ((void)(f))
#define san_acquire(p)      ((void)(p))
#define san_release(p)      ((void)(p))
#define san_ignore_begin()  ((void)0)
#define san_ignore_end()    ((void)0)
#define san_thread_owns(p)  ((void)0)
enum { SAN_FRESH_STACKS = 0 };
#endif

#endif
