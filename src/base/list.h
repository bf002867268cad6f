/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * list.h: intrusive doubly linked ring. The head is a node that is no element. Never allocates; the
 * owner of the head guards it. */
#ifndef SENNIT_BASE_LIST_H
#define SENNIT_BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_insert(struct list *before, struct list *n)
{
    n->next = before, n->prev = before->prev;
    before->prev->next = n, before->prev = n;
}
static inline void list_push_back(struct list *head, struct list *n) { list_insert(head, n); }
static inline void list_push_front(struct list *head, struct list *n)
{
    list_insert(head->next, n);
}
/* Leaves n as an empty ring, so that removing twice is harmless. */
static inline void list_remove(struct list *n)
{
    n->next->prev = n->prev, n->prev->next = n->next;
    list_init(n);
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *n = head->next;
    if (n == head)
        return NULL;
    list_remove(n);
    return n;
}

#define list_each(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
#define list_each_safe(pos, tmp, head)                                                             \
    for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head);                         \
         pos = tmp, tmp = pos->next)

#endif
