/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * base.h: the few macros every file uses. Nothing here allocates, locks or calls the system. */
#ifndef SENNIT_BASE_BASE_H
#define SENNIT_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define BASE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BASE_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define BASE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BASE_ASAN 1
#endif
#endif
/* Freed memory may be kept for the next one who wants some; not where its use is to be seen. */
#ifdef BASE_ASAN
#define BASE_KEEPS false
#else
#define BASE_KEEPS true
#endif

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* Before what is not on the way of a call: compiled for size, and branches to it are unlikely. */
#define BASE_COLD                  __attribute__((cold))
#define countof(a)                 (sizeof(a) / sizeof((a)[0]))
#define container_of(p, T, member) ((T *)((char *)(p)-offsetof(T, member)))

/* Our own mistake, never the peer's bytes: stays in release builds. */
void base_assert_failed(const char *expr, const char *file, int line)
    __attribute__((noreturn, cold));
#define sn_assert(e) (likely(e) ? (void)0 : base_assert_failed(#e, __FILE__, __LINE__))

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* Zeroes n octets, a constant, in stores of sixteen: for a few hundred, compilers choose a rep
 * stos, which starts slowly. */
__attribute__((always_inline)) static inline void zero_words(void *p, size_t n)
{
#ifdef __SANITIZE_ADDRESS__ /* gcc thinks that the stores it instrumented are out of bounds */
    memset(p, 0, n);
#else
    char *to = p;
    size_t i = 0;
#pragma GCC unroll 64
    for (; i + 16 <= n; i += 16)
        memset(to + i, 0, 16);
    memset(to + i, 0, n - i);
#endif
}

/* memcpy for what has nearly always sixteen to thirty-two octets: a small message with its prefix.
 */
static inline void copy_small(void *to, const void *from, size_t n)
{
    if (likely(n - 16 <= 16)) {
        char first[16], last[16];
        memcpy(first, from, 16);
        memcpy(last, (const char *)from + n - 16, 16);
        memcpy(to, first, 16);
        memcpy((char *)to + n - 16, last, 16);
    } else {
        memcpy(to, from, n);
    }
}

/* Big-endian words of frames and message prefixes. */
static inline uint64_t load_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}
static inline uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint32_t load_be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}
static inline uint16_t load_be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline void store_be64(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof v);
}
static inline void store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8),
    p[3] = (uint8_t)v;
}
static inline void store_be24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16), p[1] = (uint8_t)(v >> 8), p[2] = (uint8_t)v;
}
static inline void store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v;
}

#endif
