/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * chan_private.h: a channel's halves, between chan.c and select.c. All of it under the channel's
 * lock. A waiter stays queued until who claims its once takes it off, or its owner does. */
#ifndef SENNIT_RT_CHAN_PRIVATE_H
#define SENNIT_RT_CHAN_PRIVATE_H

#include "rt/prim.h"

struct sennit_chan {
    struct lock lock; /* guards all below but the sizes */
    bool closed, lame;
    size_t elem_size, capacity;
    size_t head, len; /* of the ring in buf */
    struct list senders, receivers;
    struct rt_note *leaver; /* who frees and waits until both are empty */
    char buf[];
};

struct chan_waiter {
    struct list node;
    struct prim_once *once; /* NULL: parked under the lock, waits for this channel alone */
    int index;              /* what prim_done is told */
    bool ok;                /* without once */
    struct rt_g *g;         /* without once */
    union {
        const void *from; /* sender */
        void *to;         /* receiver; NULL: throw away */
    } elem;
};

/* True: done at once; *ok false: the channel is closed. */
bool chan_try_send(struct sennit_chan *c, const void *from, bool *ok);
bool chan_try_recv(struct sennit_chan *c, void *to, bool *ok);
void chan_dequeue(struct sennit_chan *c, struct chan_waiter *w);

#endif
