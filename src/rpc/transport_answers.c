/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_answers.c: client: answers that came whole and say no more than a message and a code,
 * as nearly all do (see h2_in_answer; which header blocks may be in them, headers_read_response
 * told it). An answer enters here from the reader's batch and leaves to the goroutine that parks
 * on the stream's note. It comes to the same as its three frames would one by one. */
#include "rpc/transport_private.h"

/* Not the usual case of a message: step by step. */
BASE_COLD static void answers_unusual(struct rpc_stream *s, const struct h2_answer *a)
{
    if (s->failed_in)
        messages_page(s, a->data, a->len);
    else
        messages_data(s, a->data, a->len);
    messages_tell(s);
    s->remote_ended = true;
    if ((s->part || s->prefix_have) && !s->failed_in)
        stream_finish(s, WHY(FRAMING),
                      sennit_s("unexpected EOF: the stream ended inside a message"));
    stream_finish(s, a->tail, sennit_s(""));
    messages_drop(s);
}

size_t answers_take(struct transport *t, const uint8_t *p, size_t n)
{
    struct h2_answer a;
    size_t used, at = 0;
    while ((used = h2_in_answer(t->in, p + at, n - at, &a)) != 0) {
        struct rpc_stream *s = a.user;
        at += used;
        t->turn->n_heads++;
        headers_began(s);
        if (unlikely(!messages_answer(s, a.data, a.len, a.tail)))
            answers_unusual(s, &a);
        s->next_gone = t->turn->gone;
        t->turn->gone = s;
    }
    return at;
}
