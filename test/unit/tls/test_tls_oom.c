/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_tls_oom.c: a call over TLS while a system call or an allocation fails, OpenSSL's included:
 * an answer or a clean error, and nothing left behind. What OpenSSL makes once
 * is made before, and the certificates too, so that what fails is never the test's own. */
#include "world.h"

static struct world texts;

/* One handshake in memory, so that what OpenSSL keeps for good is there before anything fails. */
static void warm_up(void)
{
    struct raw a, b;
    BIO *left = NULL, *right = NULL;
    int done = 0;
    raw_open(&a, -1, NULL, "\2h2");
    raw_open(&b, -1, &texts.server, "\2h2");
    check(BIO_new_bio_pair(&left, 65536, &right, 65536));
    SSL_set_bio(a.ssl, left, left);
    SSL_set_bio(b.ssl, right, right);
    for (int i = 0; i < 4; i++)
        done = (SSL_do_handshake(a.ssl) == 1) + (SSL_do_handshake(b.ssl) == 1);
    check(done == 2);
    raw_close(&a);
    raw_close(&b);
}

__attribute__((constructor)) static void oom_init(void)
{
    pki_counts = false;
    world_pki(&texts);
    warm_up();
    pki_counts = true;
    pki_every = 16; /* all of them are 11,000 faults: minutes; runs with other seeds see the rest */
}

struct oom {
    sennit_server *server;
    sennit_wait_group done;
};

static void oom_serve(void *arg)
{
    struct oom *o = arg;
    sennit_err err = sennit_serve(o->server);
    check(!err || test_under_fault());
    sennit_wait_group_done(&o->done);
}

TEST_FAULTS(call_over_tls_ends_in_an_answer_or_an_error)
{
    struct oom o;
    char address[128];
    memset(&o, 0, sizeof o);
    sennit_creds *creds = sennit_tls_new(&(sennit_tls_options){
        .cert_pem = pki_cert(&texts.server), .key_pem = pki_key(&texts.server) });
    o.server = sennit_server_new(&(sennit_server_options){ .creds = creds });
    sennit_creds_free(creds);
    bool fine = !sennit_register(o.server, &echo_service_desc, &plain, NULL);
    fine = !sennit_listen(o.server, "127.0.0.1:0") && fine;
    snprintf(address, sizeof address, "%s", sennit_bound_address(o.server, 0));
    sennit_wait_group_add(&o.done, 1);
    if (fine && sennit_go(oom_serve, &o))
        fine = false;
    creds = sennit_tls_new(&(sennit_tls_options){ .ca_pem = pki_cert(&texts.ca) });
    sennit_conn *c = sennit_dial(address, &(sennit_conn_options){ .creds = creds });
    sennit_creds_free(creds);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 300 * SENNIT_MILLISECOND);
    struct echo_msg reply;
    sennit_err err = fine ? echo_call(c, ctx, "hello", &reply) : sennit_no_memory;
    check(!err || test_under_fault());
    if (!err)
        check_str(reply.text.data, "hello");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    sennit_server_stop(o.server, 0);
    if (fine)
        sennit_wait_group_wait(&o.done, NULL);
    sennit_server_free(o.server);
}
