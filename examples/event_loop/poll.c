/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Goroutines, a server and a client in a loop of bare poll: no thread is made. */
#include "host.h"
#include <poll.h>

int main(void)
{
    struct host host = { .done = false };
    host_start(&host);
    struct pollfd fds[] = { { .fd = sennit_loop_fd(), .events = POLLIN } /* and your own */ };
    for (bool more = true; !host.done;) {
        poll(fds, 1, more ? 0 : -1);
        more = sennit_loop_run(SENNIT_MILLISECOND);
    }
    return host_end(&host);
}
