/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * creds.c: plain text, which must be named to be used. */
#include "rpc/creds.h"
#include "base/base.h"

const sennit_creds *sennit_insecure(void)
{
    static const struct sennit_creds plain = { .scheme = "http", .auth_type = "insecure" };
    return &plain;
}
