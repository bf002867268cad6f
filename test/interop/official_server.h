/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * official_server.h: a server with the official interop flags, health and reflection, up to its end
 * by a signal: what interop_server and hello_server are besides their services. */
#ifndef OFFICIAL_SERVER_H
#define OFFICIAL_SERVER_H

#include "flags.h"
#include "sennit.h"
#include "stop.h"

/* add registers the services and sets their health; o's credentials come from the flags. What main
 * returns. */
static inline int official_serve(int argc, char **argv, sennit_server_options o,
                                 void (*add)(sennit_server *server))
{
    const char *port = "10000", *use_tls = "false", *cert = "", *key = "";
    char address[32];
    flags_parse(argc, argv,
                (struct flag[]){ { "port", &port, "The server port", FLAG_INT },
                                 { "use_tls", &use_tls, "Connection uses TLS", FLAG_BOOL },
                                 { "tls_cert_file", &cert, "The TLS cert file", FLAG_STRING },
                                 { "tls_key_file", &key, "The TLS key file", FLAG_STRING },
                                 { 0 } });
    snprintf(address, sizeof address, ":%s", port);
    sennit_auto(sennit_creds) *tls = NULL;
#ifdef SENNIT_TLS
    if (flag_is_true(use_tls))
        tls = sennit_tls_new(&(sennit_tls_options){ .cert_file = cert, .key_file = key });
#endif
    if (flag_is_true(use_tls) && !tls)
        log_fatal("this program was built without TLS");
    o.creds = tls ? tls : sennit_insecure();
    sennit_auto(sennit_server) *server = sennit_server_new(&o);
    sennit_err err = sennit_listen(server, address);
    if (err)
        log_fatal("failed to listen: %s", err->message);
    sennit_health_register(server);
    sennit_reflection_register(server);
    add(server);
    sennit_go(stop_on_signal, server);
    log_line("server listening at %s", sennit_bound_address(server, 0));
    err = sennit_serve(server);
    if (err)
        log_fatal("failed to serve: %s", err->message);
    return 0;
}

#endif
