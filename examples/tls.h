/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * tls.h: the -tls flags of grpc-go's examples. Where Sennit was built without its TLS library
 * SENNIT_TLS is not defined, and the flag is refused. */
#ifndef EXAMPLES_TLS_H
#define EXAMPLES_TLS_H

#include "flags.h"
#include "sennit.h"

#define TLS_TEXT "Connection uses TLS if true, else plain TCP"

/* To be freed with sennit_creds_free. tls: the flag's value. */
static inline sennit_creds *tls_or_plain(const char *tls, const sennit_tls_options *o)
{
    if (!flag_is_true(tls))
        return (sennit_creds *)sennit_insecure();
#ifdef SENNIT_TLS
    return sennit_tls_new(o);
#else
    (void)o;
    log_fatal("built without TLS");
#endif
}

/* A flag that was not given is "". */
static inline const char *tls_file(const char *flag) { return *flag ? flag : NULL; }

#endif
