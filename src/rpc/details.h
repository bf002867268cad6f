/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * details.h: grpc-status-details-bin: a google.rpc.Status with the error's details. */
#ifndef SENNIT_RPC_DETAILS_H
#define SENNIT_RPC_DETAILS_H

#include "base/arena.h"
#include "sennit.h"

/* The octets for err, in a; empty: it has no details (or no memory for them). */
sennit_str details_encode(struct sennit_arena *a, sennit_err err);
/* Adds the details found in octets (malformed: none) to err, an error of the caller. */
sennit_err details_attach(struct sennit_arena *a, sennit_err err, sennit_str octets);

#endif
