/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * prim.h: what mutexes, channels, select and the like share: a first-come queue of waiters, and the
 * "once", a wait that any number of sources may end and exactly one does. All live on the waiter's
 * stack; who ends a wait does so under the lock that the waiter takes before it leaves its frame.
 */
#ifndef SENNIT_RT_PRIM_H
#define SENNIT_RT_PRIM_H

#include "rt/ctx.h"
#include "rt/rt.h"

/* -- a queue whose head is one pointer, so that {0} is an empty one -------------------------- */

struct prim_waiter {
    struct prim_waiter *next, *prev; /* a ring; next NULL: in no queue */
    struct rt_note note;
    struct rt_g *g; /* parked under the guard, no note: a wait without context */
    int64_t since;  /* mutex: when it was first woken in vain */
    bool lost;      /* mutex: it was */
    bool granted;   /* mutex: owns it now */
};

static inline void prim_push_back(struct prim_waiter **head, struct prim_waiter *w)
{
    if (!*head) {
        w->next = w->prev = w;
        *head = w;
    } else {
        w->next = *head, w->prev = (*head)->prev;
        w->prev->next = w, w->next->prev = w;
    }
}
static inline void prim_push_front(struct prim_waiter **head, struct prim_waiter *w)
{
    prim_push_back(head, w);
    *head = w;
}
static inline void prim_remove(struct prim_waiter **head, struct prim_waiter *w)
{
    if (*head == w)
        *head = w->next == w ? NULL : w->next;
    w->next->prev = w->prev, w->prev->next = w->next;
    w->next = w->prev = NULL;
}
static inline struct prim_waiter *prim_pop(struct prim_waiter **head)
{
    struct prim_waiter *w = *head;
    if (w)
        prim_remove(head, w);
    return w;
}

/* The caller's mistake, which cannot go on: says what and who, and aborts. */
void prim_misuse(const char *what) __attribute__((noreturn, cold));

/* -- once ------------------------------------------------------------------------------------ */

enum { PRIM_CTX = -1 }; /* which: the context has ended */

struct prim_once {
    _Atomic uint32_t claimed;
    int which;
    bool ok;
    sennit_err err; /* of PRIM_CTX; asked for while ctx cannot be freed yet */
    struct rt_note note;
    struct ctx_watch watch;
};

/* The one that gets true must call prim_done. */
static inline bool prim_claim(struct prim_once *o)
{
    uint32_t zero = 0;
    /* What the sources know of o comes by their locks, what they say goes by the note. */
    return atomic_compare_exchange_strong_explicit(&o->claimed, &zero, 1, memory_order_relaxed,
                                                   memory_order_relaxed);
}
static inline bool prim_claimed(struct prim_once *o)
{
    return atomic_load_explicit(&o->claimed, memory_order_relaxed) != 0;
}
static inline void prim_done(struct prim_once *o, int which, bool ok)
{
    o->which = which, o->ok = ok;
    rt_note_set(&o->note);
}
/* Parks until a source has called prim_done, or ctx has ended (PRIM_CTX). Returns which. */
int prim_wait(struct prim_once *o, sennit_ctx *ctx, const char *reason);

#endif
