/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_tls_reload.c: files that change, the key log, and memory or system calls that fail. */
#include "world.h"
#include <sys/stat.h>

struct files {
    char dir[32], ca[64], cert[64], key[64], log[64];
};

static void files_put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    check(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void files_start(struct files *f)
{
    snprintf(f->dir, sizeof f->dir, "/tmp/sennit-tls-XXXXXX");
    check(mkdtemp(f->dir));
    snprintf(f->ca, sizeof f->ca, "%s/ca.pem", f->dir);
    snprintf(f->cert, sizeof f->cert, "%s/cert.pem", f->dir);
    snprintf(f->key, sizeof f->key, "%s/key.pem", f->dir);
    snprintf(f->log, sizeof f->log, "%s/keys.log", f->dir);
}

static void files_use(struct files *f, const struct pki *p)
{
    files_put(f->cert, p->cert_pem);
    files_put(f->key, p->key_pem);
}

static void files_stop(struct files *f)
{
    unlink(f->ca), unlink(f->cert), unlink(f->key), unlink(f->log);
    check(rmdir(f->dir) == 0);
}

/* The subject that a new connection meets. */
static void check_subject(struct world *w, const char *subject)
{
    sennit_conn *c = world_dial(w, (sennit_tls_options){ 0 });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg q = echo_empty, reply;
    const sennit_peer *peer = NULL;
    sennit_call_options o = { .peer = &peer };
    sennit_err err = sennit_call(c, ctx, &echo_methods[0], &q, &reply, &o, sizeof o);
    check_str(err ? err->message : peer->subject, subject);
    sennit_conn_free(c);
    sennit_ctx_free(ctx);
}

TEST(reload_is_for_new_connections_and_a_bad_one_changes_nothing)
{
    struct files f;
    struct world w;
    struct pki next;
    world_pki(&w);
    pki_make(&next, &w.ca, "next", "IP:127.0.0.1", 30);
    files_start(&f);
    files_use(&f, &w.server);
    world_start(&w, (sennit_tls_options){ .cert_file = f.cert, .key_file = f.key }, &plain);
    sennit_conn *old = world_dial(&w, (sennit_tls_options){ 0 });
    check_str(world_call(old), "fine");
    check_subject(&w, "CN=server");
    files_use(&f, &next);
    check_subject(&w, "CN=server"); /* nobody has asked */
    check(!sennit_tls_reload(w.server_creds));
    check_subject(&w, "CN=next");
    check_str(world_call(old), "fine");
    files_put(f.cert, w.server.cert_pem); /* with the other's key */
    sennit_err err = sennit_tls_reload(w.server_creds);
    check(err && strstr(err->message, "key values mismatch"));
    files_put(f.cert, "-----BEGIN CERTIFICATE-----\nMIIB");
    check(sennit_tls_reload(w.server_creds));
    check_subject(&w, "CN=next");
    unlink(f.cert);
    check(sennit_tls_reload(w.server_creds));
    check_subject(&w, "CN=next");
    check(sennit_tls_reload((sennit_creds *)(uintptr_t)sennit_insecure()));
    sennit_conn_free(old);
    world_stop(&w);
    files_stop(&f);
    pki_free(&next);
}

TEST(files_are_looked_at_again_by_themselves)
{
    struct files f;
    struct world w;
    struct pki next;
    world_pki(&w);
    pki_make(&next, &w.ca, "next", "IP:127.0.0.1", 30);
    files_start(&f);
    files_use(&f, &w.server);
    world_start(
        &w, (sennit_tls_options){ .cert_file = f.cert, .key_file = f.key, .reload_interval = 1 },
        &plain);
    check_subject(&w, "CN=server");
    files_use(&f, &next);
    check_subject(&w, "CN=next");
    world_stop(&w);
    files_stop(&f);
    pki_free(&next);
}

struct reloader {
    struct files *f;
    struct world *w;
    struct pki next;
    _Atomic bool over;
    sennit_wait_group done;
};

static void reload_on(void *arg)
{
    struct reloader *r = arg;
    for (int i = 0; !r->over; i++) {
        files_use(r->f, i % 2 ? &r->next : &r->w->server);
        check(!sennit_tls_reload(r->w->server_creds));
        sennit_yield();
    }
    sennit_wait_group_done(&r->done);
}

TEST(reload_while_connections_are_made)
{
    struct files f;
    struct world w;
    struct reloader r = { .f = &f, .w = &w };
    world_pki(&w);
    pki_make(&r.next, &w.ca, "next", "IP:127.0.0.1", 30);
    files_start(&f);
    files_use(&f, &w.server);
    world_start(&w, (sennit_tls_options){ .cert_file = f.cert, .key_file = f.key }, &plain);
    sennit_wait_group_add(&r.done, 1);
    check(!sennit_go(reload_on, &r));
    for (int i = 0; i < 100; i++) {
        sennit_conn *c = world_dial(&w, (sennit_tls_options){ 0 });
        check_str(world_call(c), "fine");
        sennit_conn_free(c);
    }
    r.over = true;
    sennit_wait_group_wait(&r.done, NULL);
    world_stop(&w);
    files_stop(&f);
    pki_free(&r.next);
}

TEST(key_log_is_written_where_it_was_asked_for)
{
    struct files f;
    struct world w;
    char text[4096] = "";
    world_pki(&w);
    files_start(&f);
    files_put(f.ca, w.ca.cert_pem);
    world_start(&w, (sennit_tls_options){ 0 }, &plain);
    sennit_creds *creds =
        sennit_tls_new(&(sennit_tls_options){ .ca_file = f.ca, .key_log_file = f.log });
    sennit_conn *c = sennit_dial(w.e.address, &(sennit_conn_options){ .creds = creds });
    sennit_creds_free(creds);
    check_str(world_call(c), "fine");
    FILE *log = fopen(f.log, "r");
    check(log && fread(text, 1, sizeof text - 1, log) > 0 && fclose(log) == 0);
    check(strncmp(text, "SERVER_HANDSHAKE_TRAFFIC_SECRET ", 32) == 0);
    check(strstr(text, "\nCLIENT_TRAFFIC_SECRET_0 "));
    sennit_conn_free(c);
    world_stop(&w);
    files_stop(&f);
}
