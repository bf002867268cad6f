/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * none.c: what the modelled files call where no scene leads; and the few values they name. */
#include <stdlib.h>

#define NONE(name)                                                                                 \
    void name(void);                                                                               \
    void name(void) { abort(); }

NONE(fdwatch_free)
NONE(fdwatch_new)
NONE(h2_in_config)
NONE(h2_out_begin)
NONE(h2_out_grow)
NONE(h2_out_grow_size)
NONE(h2_out_grow_table)
NONE(h2_out_pump)
NONE(h2_out_room)
NONE(h2_out_wants)
NONE(headers_run_unref)
NONE(pool_take)
NONE(rt_describe)
NONE(rt_fork_watch)
NONE(rt_g_free_slow)
NONE(rt_g_next_chunk)
NONE(rt_local_worker)
NONE(rt_locals_end)
NONE(rt_loop_start)
NONE(rt_loop_wanted)
NONE(rt_overflow_install)
NONE(rt_overflow_remove)
NONE(rt_overflow_thread)
NONE(rt_overflow_thread_end)
NONE(rt_shadowed)
NONE(rt_stack_check)
NONE(rt_stack_frame)
NONE(rt_stack_get_slow)
NONE(rt_stack_put_slow)
NONE(rt_stack_refill_slow)
NONE(rt_stack_start)
NONE(rt_stack_trim_pool)
NONE(rt_sysmon_main)
NONE(h2_out_goaway)

void (*rt_errors_free)(void *errors);
static const char none_error[64]; /* never looked into */
const char *sennit_closed = none_error, *sennit_no_memory = none_error + 1;
const char err_ctx_cancelled[64], err_ctx_expired[64];
