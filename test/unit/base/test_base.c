/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_base.c: arenas, lists, locks with their order, chance, octets. */
#include "base/arena.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/quote.h"
#include "base/random.h"
#include "base/sys.h"
#include "harness.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- arena ------------------------------------------------------------------------------------ */

TEST(arena_hands_out_aligned_memory_that_does_not_overlap)
{
    struct sennit_arena a;
    char *p[200];
    arena_init(&a, NULL, 0);
    for (size_t i = 0; i < 200; i++) {
        p[i] = arena_alloc(&a, i);
        check(p[i] && (uintptr_t)p[i] % 8 == 0);
        memset(p[i], (int)i, i);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i; k++)
            check_int((uint8_t)p[i][k], i);
    arena_fini(&a);
}

TEST(arena_uses_the_handed_in_block_first_whatever_its_alignment)
{
    char block[264];
    for (size_t skip = 0; skip < 8; skip++) {
        struct sennit_arena a;
        arena_init(&a, block + skip, 256);
        int64_t before = sys_counts().allocations;
        for (int i = 0; i < 31; i++) {
            char *p = arena_alloc(&a, 8);
            check(p >= block && p + 8 <= block + sizeof block && (uintptr_t)p % 8 == 0);
        }
        check_int(sys_counts().allocations, before);
        char *p = arena_alloc(&a, 100);
        check(p && (p < block || p >= block + sizeof block));
        arena_fini(&a);
    }
}

TEST(arena_reset_keeps_one_block_and_forgets_the_rest)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    for (int i = 0; i < 10000; i++)
        check(arena_alloc(&a, 40));
    check(arena_alloc(&a, 1000000));
    arena_reset(&a);
    check(a.used <= 65536);
    int64_t before = sys_counts().allocations;
    check(arena_alloc(&a, 100));
    check_int(sys_counts().allocations, before);
    arena_fini(&a);
    arena_fini(&a); /* again is harmless */
}

TEST(arena_drop_gives_back_what_has_a_block_of_its_own)
{
    struct sennit_arena a;
    char first[256];
    arena_init(&a, first, sizeof first);
    char *small = arena_alloc(&a, 100), *early = arena_alloc(&a, 5000);
    char *shared = arena_alloc(&a, 200), *late = arena_alloc(&a, 6001);
    check(small && early && shared && late);
    size_t used = a.used;
    arena_drop(&a, small, 100);
    arena_drop(&a, shared, 200);
    arena_drop(&a, late, 5000); /* that is not its size */
    check_int(a.used, used);
    arena_drop(&a, late, 6001);
    arena_drop(&a, early, 5000);
    check(a.used <= used - 11000);
    memset(small, 's', 100), memset(shared, 's', 200);
    char *next = arena_alloc(&a, 300);
    check(next && next != shared && next != small);
    memset(next, 'n', 300);
    check(small[99] == 's' && shared[199] == 's');
    arena_fini(&a);
}

TEST(arena_reset_keeps_one_block_that_is_smaller_than_the_handed_in_one)
{
    static char block[8192];
    struct sennit_arena a;
    arena_init(&a, block, sizeof block);
    for (int round = 0; round < 3; round++) {
        check(arena_alloc(&a, sizeof block - 16)); /* the handed-in block is full: two more */
        for (int i = 0; i < 6; i++)
            check(arena_alloc(&a, 400));
        check(a.used > 1024);
        arena_reset(&a);
        check(a.at == block && a.used <= 4096);
    }
    arena_fini(&a); /* what was freed is not freed again */
}

TEST(arena_refuses_what_is_over_its_cap_and_goes_on)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    a.cap = 10000;
    check(!arena_alloc(&a, 10001));
    check(a.failed);
    check(arena_alloc(&a, 500));
    check(!arena_alloc(&a, SIZE_MAX));
    check(!arena_alloc(&a, SIZE_MAX - 7));
    check(!arena_str(&a, "", SIZE_MAX).data);
    check(arena_alloc(&a, 0));
    arena_fini(&a);
}

TEST(arena_text_ends_in_nul)
{
    sennit_arena *a = sennit_arena_new();
    sennit_str s = arena_str(a, "abc\0d", 5);
    check_int(s.len, 5);
    check(memcmp(s.data, "abc\0d", 6) == 0);
    s = arena_printf(a, "%s %d", "n", 42);
    check_str(s.data, "n 42");
    check_int(s.len, 4);
    s = arena_str(a, NULL, 0);
    check_str(s.data, "");
    check(sennit_alloc(a, 10) && !sennit_alloc(NULL, 10));
    sennit_arena_free(a);
    sennit_arena_free(NULL);
}

TEST_FAULTS(arena_without_memory_says_so)
{
    sennit_arena *a = sennit_arena_new();
    if (a) {
        int had = 0;
        for (int i = 0; i < 50; i++)
            had += sennit_alloc(a, 300) != NULL;
        check(had >= 40);
        check(sennit_alloc(a, 300)); /* the fault is past */
    }
    check(a || test_under_fault());
    sennit_arena_free(a);
}

struct filling {
    struct sennit_arena *arena;
    uint8_t mark;
};
static void *fill(void *arg)
{
    struct filling *f = arg;
    uint8_t *p[1000];
    for (int i = 0; i < 1000; i++) {
        p[i] = sennit_alloc(f->arena, 24);
        check(p[i]);
        memset(p[i], f->mark, 24);
    }
    for (int i = 0; i < 1000; i++)
        for (int k = 0; k < 24; k++)
            check_int(p[i][k], f->mark);
    return NULL;
}
TEST(shared_arena_serves_threads_at_once)
{
    struct sennit_arena a;
    struct filling f[4];
    pthread_t t[4];
    arena_init(&a, NULL, 0);
    a.shared = true;
    for (int i = 0; i < 4; i++) {
        f[i] = (struct filling){ &a, (uint8_t)(i + 1) };
        check(pthread_create(&t[i], NULL, fill, &f[i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    arena_fini(&a);
}

/* -- list ------------------------------------------------------------------------------------- */

struct item {
    int value;
    struct list node;
};
static int list_value(struct list *n) { return container_of(n, struct item, node)->value; }

TEST(list_keeps_order_and_bears_removal_on_the_way)
{
    struct item items[6];
    struct list head;
    int sum = 0, last = 0;
    list_init(&head);
    check(list_empty(&head) && !list_pop_front(&head));
    for (int i = 0; i < 6; i++) {
        items[i].value = i;
        i % 2 ? list_push_back(&head, &items[i].node) : list_push_front(&head, &items[i].node);
    }
    list_each(n, &head) sum = sum * 10 + list_value(n);
    check_int(sum, 420135);
    list_each_safe(n, next, &head) if (list_value(n) % 2) list_remove(n);
    list_each(n, &head) last = last * 10 + list_value(n);
    check_int(last, 420);
    list_remove(&items[1].node); /* twice is harmless */
    check_int(list_value(list_pop_front(&head)), 4);
    check_int(list_value(list_pop_front(&head)), 2);
    check_int(list_value(list_pop_front(&head)), 0);
    check(list_empty(&head));
}

/* -- lock ------------------------------------------------------------------------------------- */

struct counting {
    struct lock lock;
    long n;
};
static void *count_up(void *arg)
{
    struct counting *c = arg;
    for (int i = 0; i < 20000; i++) {
        lock_take(&c->lock, LOCK_PRIM);
        c->n++;
        lock_drop(&c->lock, LOCK_PRIM);
    }
    return NULL;
}
TEST(lock_excludes)
{
    struct counting c = { .n = 0 };
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        check(pthread_create(&t[i], NULL, count_up, &c) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    check_int(c.n, 80000);
    check_int(atomic_load(&c.lock.state), 0);
}

static void *take_and_count(void *arg)
{
    struct counting *c = arg;
    lock_take(&c->lock, LOCK_PRIM);
    c->n++;
    lock_drop(&c->lock, LOCK_PRIM);
    return NULL;
}
TEST(lock_that_is_held_long_puts_others_to_sleep_and_wakes_them)
{
    struct counting c = { .n = 0 };
    pthread_t t[3];
    lock_take(&c.lock, LOCK_PRIM);
    for (int i = 0; i < 3; i++)
        check(pthread_create(&t[i], NULL, take_and_count, &c) == 0);
    while (atomic_load(&lock_sleepers) == 0)
        usleep(100);
    check_int(c.n, 0);
    lock_drop(&c.lock, LOCK_PRIM);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    check_int(c.n, 3);
}

static void take_in_order(int first, int second)
{
    static struct lock a, b;
    lock_take(&a, first);
    lock_take(&b, second);
    lock_drop(&b, second);
    lock_drop(&a, first);
}
/* How a child ends that takes two locks: 0, or the number of its signal. */
static int order_result(int first, int second)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(9);
        signal(SIGABRT, SIG_DFL);
        take_in_order(first, second);
        _exit(0);
    }
    check(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}
TEST(locks_taken_against_their_order_end_the_process_in_checked_builds)
{
    check_int(order_result(LOCK_CONN, LOCK_WRITE), 0);
    check_int(order_result(LOCK_UNRANKED, LOCK_UNRANKED), 0);
#ifdef SENNIT_CHECKS
    check(order_result(LOCK_WRITE, LOCK_CONN) != 0);
    check(order_result(LOCK_WRITE, LOCK_WRITE) != 0);
#else
    check_int(order_result(LOCK_WRITE, LOCK_CONN), 0);
#endif
}

/* -- chance and octets ------------------------------------------------------------------------ */

TEST(random_numbers_differ_and_use_all_bits)
{
    uint32_t ones = 0, zeros = 0, same = 0, last = random_u32();
    for (int i = 0; i < 1000; i++) {
        uint32_t r = random_u32();
        ones |= r, zeros |= ~r;
        same += r == last;
        last = r;
    }
    check_int(ones, UINT32_MAX);
    check_int(zeros, UINT32_MAX);
    check(same < 5);
}

static ssize_t no_random(void *p, size_t n)
{
    (void)p, (void)n;
    return -38; /* ENOSYS: an old kernel */
}
TEST(random_numbers_come_without_the_systems_help)
{
    sys.getrandom = no_random;
    uint32_t a = random_u32(), b = random_u32();
    check(a != b);
}

TEST(big_endian_words_are_read_and_written)
{
    uint8_t p[4];
    store_be32(p, 0x81828384u);
    check(load_be32(p) == 0x81828384u && load_be24(p) == 0x818283u && load_be16(p) == 0x8182u);
    store_be24(p, 0xa1a2a3u);
    check_int(load_be24(p), 0xa1a2a3);
    store_be16(p, 0xb1b2u);
    check_int(load_be32(p), 0xb1b2a384u);
}

TEST(a_peers_first_line_is_quoted_escaped_and_cut)
{
    static const struct {
        const char *from, *quoted;
    } rows[] = {
        { "", "" },
        { "one", "one" },
        { "one\r\ntwo", "one" },
        { "\r\n\nfirst\nsecond", "first" },
        { "a \"b\" \\c", "a \\x22b\\x22 \\x5cc" },
        { "\x1b[2J\xc3\xa4", "\\x1b[2J\\xc3\\xa4" },
        { "0123456789012345678901234567", "0123456789012345678901234567" },
        { "01234567890123456789012345678", "0123456789012345678901234567..." },
        { "012345678901234567890123456\x01", "012345678901234567890123456..." },
    };
    char line[32], small[8];
    for (size_t i = 0; i < countof(rows); i++)
        check_str(quote_line(line, sizeof line, rows[i].from, strlen(rows[i].from)),
                  rows[i].quoted);
    check_str(quote_line(line, sizeof line, "a\0b", 3), "a\\x00b");
    check_str(quote_line(small, sizeof small, "\1\2", 2), "\\x01...");
}
