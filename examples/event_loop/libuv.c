/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Goroutines, a server and a client in libuv's loop: no thread is made. */
#include "host.h"
#include <uv.h>

/* While work is left the descriptor stays readable, so libuv comes back by itself. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct host *host = poll->data;
    (void)status, (void)events;
    sennit_loop_run(SENNIT_MILLISECOND);
    if (host->done)
        uv_stop(poll->loop);
}

int main(void)
{
    struct host host = { .done = false };
    uv_loop_t loop;
    uv_poll_t poll = { .data = &host };
    host_start(&host);
    uv_loop_init(&loop);
    uv_poll_init(&loop, &poll, sennit_loop_fd());
    uv_poll_start(&poll, UV_READABLE, on_readable);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&poll, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return host_end(&host);
}
