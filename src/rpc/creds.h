/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * creds.h: what credentials are inside. TLS will be a second kind, in a library of its own. */
#ifndef SENNIT_RPC_CREDS_H
#define SENNIT_RPC_CREDS_H

#include "sennit.h"

struct sennit_creds {
    const char *scheme;    /* of :scheme */
    const char *auth_type; /* of sennit_peer */
};

#endif
