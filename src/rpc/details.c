/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * details.c: google.rpc.Status by two small tables, written by hand because the library's own code
 * must not depend on the plugin. */
#include "rpc/details.h"
#include "pb/pb.h"

struct details_any {
    sennit_str type_url, value, unknown;
};
struct details_status {
    int32_t code;
    sennit_str message;
    struct {
        const struct details_any *data;
        size_t len;
    } details;
    sennit_str unknown;
};

static const struct details_any details_any_empty = { { "", 0 }, { "", 0 }, { "", 0 } };
static const struct details_status details_status_empty = { .message = { "", 0 },
                                                            .unknown = { "", 0 } };
static const sennit_field details_any_fields[] = {
    { .number = 1,
      .offset = offsetof(struct details_any, type_url),
      .kind = SENNIT_KIND_STRING,
      .name = "type_url" },
    { .number = 2,
      .offset = offsetof(struct details_any, value),
      .kind = SENNIT_KIND_BYTES,
      .name = "value" },
};
static const sennit_msg_desc details_any_desc = {
    SENNIT_TABLES,
    sizeof(struct details_any),
    2,
    2,
    offsetof(struct details_any, unknown),
    0,
    details_any_fields,
    "google.protobuf.Any",
    &details_any_empty,
    NULL,
};
static const sennit_field details_status_fields[] = {
    { .number = 1,
      .offset = offsetof(struct details_status, code),
      .kind = SENNIT_KIND_INT32,
      .name = "code" },
    { .number = 2,
      .offset = offsetof(struct details_status, message),
      .kind = SENNIT_KIND_STRING,
      .name = "message" },
    { .number = 3,
      .offset = offsetof(struct details_status, details),
      .kind = SENNIT_KIND_MESSAGE,
      .flags = SENNIT_FIELD_REPEATED,
      .type = &details_any_desc,
      .name = "details" },
};
static const sennit_msg_desc details_status_desc = {
    SENNIT_TABLES,
    sizeof(struct details_status),
    3,
    3,
    offsetof(struct details_status, unknown),
    0,
    details_status_fields,
    "google.rpc.Status",
    &details_status_empty,
    NULL,
};

sennit_str details_encode(struct sennit_arena *a, sennit_err err)
{
    sennit_str out = { "", 0 };
    if (!err->n_details)
        return out;
    struct details_any *any = arena_alloc(a, err->n_details * sizeof *any);
    if (!any)
        return out;
    for (uint32_t i = 0; i < err->n_details; i++)
        any[i] = (struct details_any){ .type_url = sennit_s(err->details[i].type_url),
                                       .value = err->details[i].value };
    struct details_status status = { .code = (int32_t)err->code,
                                     .message = sennit_s(err->message) };
    status.details.data = any, status.details.len = err->n_details;
    if (pb_encode_msg(&details_status_desc, &status, a, 0, &out) != PB_OK)
        out = (sennit_str){ "", 0 };
    return out;
}

sennit_err details_attach(struct sennit_arena *a, sennit_err err, sennit_str octets)
{
    struct details_status status;
    sennit_str own = arena_str(a, octets.data, octets.len);
    if (!own.data || pb_decode_msg(&details_status_desc, &status, (char *)(uintptr_t)own.data,
                                   own.len, a, 0) != PB_OK)
        return err;
    if (status.code != (int32_t)err->code)
        return err; /* grpc-status is the one that counts */
    for (size_t i = 0; i < status.details.len; i++) {
        const struct details_any *any = &status.details.data[i];
        err = sennit_err_detail(err, any->type_url.data, any->value);
    }
    return err;
}
