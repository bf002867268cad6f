/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * stop.h: a server's end on Ctrl-C or SIGTERM: no new RPCs, those that run get ten seconds. Runs in
 * a goroutine of its own, which sennit_server_free outlives. */
#ifndef EXAMPLES_STOP_H
#define EXAMPLES_STOP_H

#include "sennit.h"
#include <signal.h>

static inline void stop_on_signal(void *server)
{
    if (sennit_signal_wait(NULL, (const int[]){ SIGINT, SIGTERM, 0 }))
        sennit_server_stop(server, 10 * SENNIT_SECOND);
}

#endif
