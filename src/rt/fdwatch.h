/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fdwatch.h: tells, from a task, that an fd of our own has become readable. For select's fd cases
 * and for signals; connections have tasks of their own. */
#ifndef SENNIT_RT_FDWATCH_H
#define SENNIT_RT_FDWATCH_H

#include "rt/rt.h"

struct fdwatch;
/* Owns fd from now on, also when it fails (0 or -errno). For each edge, and once at the start,
 * ready is asked, with no lock held, and may still be asked for a moment after fdwatch_free; if it
 * says true then fn(arg) runs, under a lock of rank LOCK_PRIM, and not after fdwatch_free. */
int fdwatch_new(int fd, bool (*ready)(int fd), void (*fn)(void *arg), void *arg,
                struct fdwatch **out);
void fdwatch_free(struct fdwatch *w); /* never parks; the fd is closed soon after */

#endif
