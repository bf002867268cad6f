/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_svc.c: health and reflection, asked by their own generated clients. */
#include "svc/health.sennit.h"
#include "svc/reflection_v1.sennit.h"
#include "talk.h"

static const struct echo_service echoes = { .unary = echo_back };

static void svc_start(struct talk *t)
{
    memset(t, 0, sizeof *t);
    t->e.server = sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
    check(!sennit_register(t->e.server, &echo_service_desc, &echoes, NULL));
    check(!sennit_health_register(t->e.server));
    check(!sennit_reflection_register(t->e.server));
    check(!sennit_listen(t->e.server, "127.0.0.1:0"));
    snprintf(t->e.address, sizeof t->e.address, "%s", sennit_bound_address(t->e.server, 0));
    sennit_wait_group_add(&t->e.done, 1);
    check(!sennit_go(echo_serve, &t->e));
    t->conn = echo_dial(t->e.address);
    t->ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
}

static int health_now(struct talk *t, const char *service)
{
    hv_HealthCheckResponse reply;
    hv_HealthClient c = { t->conn };
    sennit_err err = hv_Health_Check(
        c, t->ctx, &(hv_HealthCheckRequest){ .service = sennit_s(service) }, &reply);
    return err ? -(int)err->code : reply.status;
}

enum { SERVING = 1, NOT_SERVING, SERVICE_UNKNOWN };

TEST(health_is_checked_listed_set_and_drained)
{
    struct talk t;
    svc_start(&t);
    check_int(health_now(&t, ""), SERVING);
    check_int(health_now(&t, "test.Echo"), -SENNIT_NOT_FOUND);
    check(!sennit_health_set(t.e.server, "test.Echo", false));
    check_int(health_now(&t, "test.Echo"), NOT_SERVING);
    check(!sennit_health_set(t.e.server, "test.Echo", true));
    check_int(health_now(&t, "test.Echo"), SERVING);
    check(!sennit_health_drain(t.e.server, true));
    check(!sennit_health_set(t.e.server, "test.Echo", true));
    check_int(health_now(&t, "test.Echo"), NOT_SERVING);
    check_int(health_now(&t, ""), NOT_SERVING);
    check(!sennit_health_drain(t.e.server, false));
    hv_HealthClient c = { t.conn };
    hv_HealthListResponse all;
    check(
        !hv_Health_List(c, t.ctx, &(hv_HealthListRequest){ .unknown_fields = { NULL, 0 } }, &all));
    check_int(all.statuses.len, 2);
    for (size_t i = 0; i < all.statuses.len; i++)
        check_int(all.statuses.data[i].value->status, SERVING);
    talk_stop(&t);
}

TEST(watch_tells_each_change_and_ends_when_the_server_stops)
{
    struct talk t;
    svc_start(&t);
    hv_HealthClient c = { t.conn };
    hv_Health_WatchClient w =
        hv_Health_Watch(c, t.ctx, &(hv_HealthCheckRequest){ .service = sennit_s("test.Echo") });
    const hv_HealthCheckResponse *m = hv_Health_WatchClient_recv(w);
    check(m && m->status == SERVICE_UNKNOWN);
    check(!sennit_health_set(t.e.server, "test.Echo", true));
    m = hv_Health_WatchClient_recv(w);
    check(m && m->status == SERVING);
    check(!sennit_health_set(t.e.server, "test.Echo", true)); /* no change, no message */
    t.e.stopping = true;
    sennit_server_stop(t.e.server, -1); /* waits for all streams: this one does not hold it up */
    m = hv_Health_WatchClient_recv(w);
    check(m && m->status == NOT_SERVING);
    check(!hv_Health_WatchClient_recv(w));
    check_int(code_of(hv_Health_WatchClient_finish(w)), SENNIT_UNAVAILABLE);
    talk_stop(&t);
}

static const rv_ServerReflectionResponse *ask(rv_ServerReflection_ServerReflectionInfoClient s,
                                              rv_ServerReflectionRequest q)
{
    check(!rv_ServerReflection_ServerReflectionInfoClient_send(s, &q));
    const rv_ServerReflectionResponse *m = rv_ServerReflection_ServerReflectionInfoClient_recv(s);
    check(m != NULL);
    return m;
}

TEST(reflection_lists_services_and_finds_files_by_every_key)
{
    struct talk t;
    svc_start(&t);
    rv_ServerReflectionClient c = { t.conn };
    rv_ServerReflection_ServerReflectionInfoClient s =
        rv_ServerReflection_ServerReflectionInfo(c, t.ctx);
    const rv_ServerReflectionResponse *m = ask(
        s, (rv_ServerReflectionRequest){ .which_message_request = 7, .list_services = { "", 0 } });
    check_int(m->which_message_response, 6);
    check_int(m->list_services_response->service.len, 4);
    check_str(m->list_services_response->service.data[0].name.data, "test.Echo");
    check_str(m->list_services_response->service.data[3].name.data,
              "grpc.reflection.v1alpha.ServerReflection");
    static const struct {
        uint32_t by;
        const char *key;
        bool found;
    } rows[] = {
        { 3, "health.proto", true },
        { 3, "nothing.proto", false },
        { 4, "grpc.health.v1.Health", true },
        { 4, "grpc.health.v1.Health.Watch", true },
        { 4, "grpc.health.v1.HealthCheckResponse", true },
        { 4, "grpc.health.v1.HealthCheckResponse.status", true },
        { 4, "grpc.health.v1.HealthCheckResponse.ServingStatus", true },
        { 4, "grpc.reflection.v1.ErrorResponse", true },
        { 4, "grpc.health.v1.Healthy", false },
        { 4, "test.Echo", false }, /* written by hand: it has no file */
        { 6, "grpc.health.v1.Nothing", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rv_ServerReflectionRequest q = { .which_message_request = rows[i].by };
        q.file_by_filename = sennit_s(rows[i].key); /* the strings lie in one place */
        m = ask(s, q);
        check_int(m->which_message_response, rows[i].found ? 4 : 7);
        if (rows[i].found)
            check_int(m->file_descriptor_response->file_descriptor_proto.len, 1);
        else
            check_int(m->error_response->error_code, SENNIT_NOT_FOUND);
    }
    rv_ServerReflection_ServerReflectionInfoClient_close_send(s);
    check(!rv_ServerReflection_ServerReflectionInfoClient_recv(s));
    check(!rv_ServerReflection_ServerReflectionInfoClient_finish(s));
    talk_stop(&t);
}

/* By its octets: what grpcurl of some years ago sends. */
TEST(reflection_v1alpha_answers_as_v1_does)
{
    static const struct {
        const char *path, *question, *answer;
        size_t size;
    } rows[] = {
        { "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x00",
          "grpc.reflection.v1alpha.ServerReflection", 2 },
        { "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "\x3a\x00",
          "grpc.reflection.v1alpha.ServerReflection", 2 },
        { "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
          "\x22\x15grpc.health.v1.Health", "health.proto", 23 },
        { "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x1a\x02no",
          "not found", 4 },
    };
    struct talk t;
    svc_start(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const sennit_method m = { SENNIT_TABLES,    3,   rows[i].path, &sennit_raw_desc,
                                  &sennit_raw_desc, NULL };
        sennit_stream *s = sennit_start(t.conn, t.ctx, &m, NULL, NULL, 0);
        check(!sennit_send(s, &(sennit_raw){ { rows[i].question, rows[i].size } }));
        const sennit_raw *r = sennit_recv(s);
        check(r && memmem(r->octets.data, r->octets.len, rows[i].answer, strlen(rows[i].answer)));
        check(!sennit_finish(s, NULL));
    }
    talk_stop(&t);
}

TEST(a_drain_is_told_to_all_who_watch)
{
    struct talk t;
    svc_start(&t);
    hv_HealthClient c = { t.conn };
    hv_Health_WatchClient w[2];
    static const char *const services[] = { "", "test.Echo" };
    check(!sennit_health_set(t.e.server, "test.Echo", true));
    for (int i = 0; i < 2; i++)
        w[i] =
            hv_Health_Watch(c, t.ctx, &(hv_HealthCheckRequest){ .service = sennit_s(services[i]) });
    for (int i = 0; i < 2; i++)
        check_int(hv_Health_WatchClient_recv(w[i])->status, SERVING);
    for (int on = 1; on >= 0; on--) {
        check(!sennit_health_drain(t.e.server, on));
        for (int i = 0; i < 2; i++)
            check_int(hv_Health_WatchClient_recv(w[i])->status, on ? NOT_SERVING : SERVING);
    }
    talk_stop(&t);
}

TEST(setting_health_without_the_service_is_told)
{
    sennit_server *s = sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
    check_int(code_of(sennit_health_set(s, "", true)), SENNIT_FAILED_PRECONDITION);
    check_int(code_of(sennit_health_drain(s, true)), SENNIT_FAILED_PRECONDITION);
    sennit_server_free(s);
}
