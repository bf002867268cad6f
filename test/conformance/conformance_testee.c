/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * conformance_testee.c: the program that protobuf's conformance runner talks to by its standard
 * input and output: a length of four octets, little-endian, then a message, either way. It stands
 * on sennit.h and generated code alone, as a user's program does. That code is made of
 * suite.request by suite_code.c. */
#include "conformance/conformance.sennit.h"
#include "google/protobuf/test_messages_edition2023.sennit.h"
#include "google/protobuf/test_messages_proto2.sennit.h"
#include "google/protobuf/test_messages_proto2_editions.sennit.h"
#include "google/protobuf/test_messages_proto3.sennit.h"
#include "google/protobuf/test_messages_proto3_editions.sennit.h"

#include <stdio.h>
#include <stdlib.h>

typedef conformance_ConformanceRequest request_t;
typedef conformance_ConformanceResponse response_t;

static const sennit_file_desc *const files[] = {
    &sennit_file__google_protobuf_test_messages_proto2_proto,
    &sennit_file__google_protobuf_test_messages_proto3_proto,
    &sennit_file__google_protobuf_test_messages_edition2023_proto,
    &sennit_file__google_protobuf_test_messages_proto2_editions_proto,
    &sennit_file__google_protobuf_test_messages_proto3_editions_proto,
};

static const sennit_msg_desc *type_named(const char *name)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        for (size_t k = 0; k < files[i]->n_messages; k++)
            if (!strcmp(files[i]->messages[k]->name, name))
                return files[i]->messages[k];
    return NULL;
}

static sennit_err parse(sennit_arena *a, const sennit_msg_desc *d, const request_t *q, void *msg)
{
    sennit_format_options o = { .files = files, .n_files = sizeof files / sizeof files[0] };
    o.ignore_unknown =
        q->test_category == conformance_TestCategory_JSON_IGNORE_UNKNOWN_PARSING_TEST;
    switch (q->which_payload) {
    case conformance_ConformanceRequest_payload_json_payload:
        return sennit_json_decode_sized(a, d, q->json_payload, &o, sizeof o, msg);
    case conformance_ConformanceRequest_payload_text_payload:
        return sennit_text_decode_sized(a, d, q->text_payload, &o, sizeof o, msg);
    default:
        return sennit_msg_decode(a, d, q->protobuf_payload, msg);
    }
}

static sennit_err print(sennit_arena *a, const sennit_msg_desc *d, const request_t *q,
                        const void *msg, response_t *r)
{
    sennit_format_options o = { .files = files, .n_files = sizeof files / sizeof files[0] };
    o.unknown_fields = q->print_unknown_fields;
    switch (q->requested_output_format) {
    case conformance_WireFormat_JSON:
        r->which_result = conformance_ConformanceResponse_result_json_payload;
        return sennit_json_encode_sized(a, d, msg, &o, sizeof o, &r->json_payload);
    case conformance_WireFormat_TEXT_FORMAT:
        r->which_result = conformance_ConformanceResponse_result_text_payload;
        return sennit_text_encode_sized(a, d, msg, &o, sizeof o, &r->text_payload);
    default:
        r->which_result = conformance_ConformanceResponse_result_protobuf_payload;
        r->protobuf_payload = sennit_msg_encode(a, d, msg);
        return r->protobuf_payload.data
                   ? NULL
                   : sennit_errorf(SENNIT_INVALID_ARGUMENT, "%s cannot be encoded", d->name);
    }
}

static response_t answer(sennit_arena *a, const request_t *q)
{
    response_t r = { 0 };
    if (!strcmp(q->message_type.data, "conformance.FailureSet")) {
        r.which_result = conformance_ConformanceResponse_result_protobuf_payload;
        r.protobuf_payload = sennit_s("");
        return r;
    }
    const sennit_msg_desc *d = type_named(q->message_type.data);
    void *msg = d ? sennit_alloc(a, d->size) : NULL;
    if (!msg || q->which_payload == conformance_ConformanceRequest_payload_jspb_payload ||
        q->requested_output_format == conformance_WireFormat_JSPB) {
        r.which_result = conformance_ConformanceResponse_result_skipped;
        r.skipped = sennit_s(msg ? "no JSPB" : "no such message");
        return r;
    }
    sennit_err err = parse(a, d, q, msg);
    if (err) {
        r.which_result = conformance_ConformanceResponse_result_parse_error;
        r.parse_error = sennit_s(err->message);
        return r;
    }
    err = print(a, d, q, msg, &r);
    if (err) {
        r = (response_t){ .which_result = conformance_ConformanceResponse_result_serialize_error };
        r.serialize_error = sennit_s(err->message);
    }
    return r;
}

/* One request; false: there are no more. */
static bool serve(sennit_arena *a)
{
    uint8_t head[4];
    if (fread(head, 1, 4, stdin) != 4)
        return false;
    size_t n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    char *octets = sennit_alloc(a, n + 1);
    request_t q;
    if (!octets || fread(octets, 1, n, stdin) != n ||
        conformance_ConformanceRequest_decode(a, (sennit_str){ octets, n }, &q))
        return false;
    response_t r = answer(a, &q);
    sennit_str out = conformance_ConformanceResponse_encode(a, &r);
    for (int i = 0; i < 4; i++)
        head[i] = (uint8_t)(out.len >> 8 * i);
    return out.data && fwrite(head, 1, 4, stdout) == 4 &&
           fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
}

int main(void)
{
    for (bool more = true; more;) {
        sennit_arena *a = sennit_arena_new();
        more = a && serve(a);
        sennit_arena_free(a);
    }
    return 0;
}
