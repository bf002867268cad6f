/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Goroutines, a server and a client in GLib's main loop: no thread is made. */
#include "host.h"
#include <glib-unix.h>

struct glib_host {
    struct host host;
    GMainLoop *loop;
};

/* While work is left the descriptor stays readable, so GLib comes back by itself. */
static gboolean on_readable(gint fd, GIOCondition condition, gpointer arg)
{
    struct glib_host *g = arg;
    (void)fd, (void)condition;
    sennit_loop_run(SENNIT_MILLISECOND);
    if (g->host.done)
        g_main_loop_quit(g->loop);
    return G_SOURCE_CONTINUE;
}

int main(void)
{
    struct glib_host g = { .loop = g_main_loop_new(NULL, FALSE) };
    host_start(&g.host);
    guint source = g_unix_fd_add(sennit_loop_fd(), G_IO_IN, on_readable, &g);
    g_main_loop_run(g.loop);
    g_source_remove(source);
    g_main_loop_unref(g.loop);
    return host_end(&g.host);
}
