/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * interop_client.h: what the files of the interop client share. */
#ifndef INTEROP_CLIENT_H
#define INTEROP_CLIENT_H

#include "flags.h"
#include "grpc_testing.sennit.h"
#include "interop_compressed.h"

struct interop {
    const char *target, *service_config, *additional_metadata;
    const sennit_creds *creds;
    struct soak {
        const char *iterations, *max_failures, *latency_ms, *overall_seconds, *pause_ms,
            *request_size, *response_size, *threads;
    } soak;
};

/* Each test returns NULL when all was as the case demands; its calls live in ctx. */
typedef sennit_err (*interop_test)(const struct interop *, gt_TestServiceClient, sennit_ctx *ctx);
struct interop_case {
    const char *name;
    interop_test run;
};
extern const struct interop_case interop_cases[], interop_more[], interop_negative[];

sennit_conn *interop_dial(const struct interop *in);
/* n zeros in ctx's arena. */
const gt_Payload *interop_zeros(sennit_ctx *ctx, int32_t n);
/* A large unary call of these sizes under o (may be NULL); checks the answer. */
sennit_err interop_large(gt_TestServiceClient c, sennit_ctx *ctx, const sennit_call_options *o,
                         int32_t request, int32_t response);
/* NULL if err has this code and, unless text is NULL, this message. */
sennit_err interop_expect(sennit_err err, sennit_code code, const char *text);
#define interop_wrong(...) sennit_errorf(SENNIT_DATA_LOSS, __VA_ARGS__)

#endif
