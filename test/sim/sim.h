/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sim.h: the whole library, client and server, in one thread under one seed. All that could
 * differ between two runs is replaced through the sys table: the clock, chance, memory,
 * descriptors, epoll and the network beneath it (sim_net.c, sim_mem.c). What the seed decides goes
 * through sim_random, and each decision and each answer of the system into a hash: same seed, same
 * hash. */
#ifndef SENNIT_SIM_H
#define SENNIT_SIM_H

#include "base/sys.h"
#include "sennit.h"
#include <stdio.h>

/* Chances are of 10,000, times in nanoseconds. Zero while faults are off. */
struct sim_options {
    uint32_t latency, jitter, split, short_io, again, interrupt, reset, half_close, stall, refuse;
    uint32_t no_memory, no_descriptor, no_thread;
    uint32_t threads; /* workers; 0: SENNIT_THREADS_NONE */
    uint32_t preempt; /* another thread goes on at a system call */
    uint32_t points;  /* about so many uses of atomics between two changes of threads; 0: none */
    uint32_t focus;   /* 1 more than sim_focus; 0: none */
    uint32_t weak;    /* a weak compare-and-exchange fails for nothing */
    uint32_t foreign; /* clients that are plain threads */
    uint32_t unfair;  /* the queue is picked from anywhere, the hand-off slot passed by */
    uint32_t window;  /* octets that a connection holds in each direction */
    uint32_t tick;    /* the clock goes on by up to so much at each look */
};

struct sim {
    uint64_t seed, state, hash;
    int64_t now, steps;
    bool trace, faults; /* faults: of the network and the machine may happen now */
    struct sim_options o;
};
extern struct sim sim;

uint32_t sim_random(uint32_t n);    /* 0 to n - 1 */
bool sim_chance(uint32_t of_10000); /* false, without a draw, while faults are off */
bool sim_order(uint32_t of_10000);  /* the same for choices that are no faults */
void sim_hang(const char *how) __attribute__((noreturn)); /* lists the goroutines */
void sim_note(const char *what, int64_t a, int64_t b);    /* into the hash; printed with --trace */
void sim_fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* -- sim_net.c ------------------------------------------------------------------------------- */
void sim_net_install(void);
int64_t sim_net_next(void); /* when the next thing happens by itself; INT64_MAX: never */
void sim_net_go_to(int64_t time);
bool sim_net_readable(int fd); /* as poll would say */
void sim_net_heal(void);       /* what stalled for ever is cut, what stalled for long arrives */
int sim_net_open(void);        /* descriptors that are open */

/* -- sim_thread.c ---------------------------------------------------------------------------- */
void sim_thread_install(void);
void sim_preempt(uint32_t of_10000); /* perhaps another thread goes on */
extern int sim_points_left;          /* these four are sim_points.h's */
extern unsigned sim_focus;
void sim_point_hit(bool focus);
int sim_weakly(void);
void sim_relax(void);
/* Until ready(arg), or a time; other threads go on meanwhile. */
void sim_wait(bool (*ready)(void *arg), void *arg, int64_t until);
void sim_thread_start(void *(*fn)(void *arg), void *arg); /* one that is not the library's */
/* Runs fn on a stack whose address is the same each time: timers are spread by address. */
void sim_thread_run(void *(*fn)(void *arg), void *arg);
void sim_thread_list(void);
void sim_thread_wait_foreign(void); /* until those have ended */

/* -- sim_mem.c ------------------------------------------------------------------------------- */
void sim_mem_install(void);
int64_t sim_mem_live(void); /* blocks */
void sim_mem_list(void);

/* -- sim_scene.c ----------------------------------------------------------------------------- */
void scene_run(void *done); /* in a goroutine; *(bool *)done at the end */
const char *scene_doing(void);

#endif
