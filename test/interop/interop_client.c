/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * interop_client: the official interop cases with the official flags, against a server of any
 * language. Prints "CASE done" and ends with 0, or says what was wrong and ends with 1. */
#include "interop_client.h"

sennit_conn *interop_dial(const struct interop *in)
{
    return sennit_dial(in->target,
                       &(sennit_conn_options){ .creds = in->creds,
                                               .service_config_json = in->service_config,
                                               .stats = &compressed_stats });
}

/* "key:value;key:value", onto each call of ctx. */
static sennit_err add_metadata(const char *list, sennit_ctx *ctx)
{
    sennit_err err = NULL;
    while (*list && !err) {
        size_t n = strcspn(list, ";");
        const char *colon = memchr(list, ':', n);
        if (!colon)
            return interop_wrong("--additional_metadata: no colon in \"%.*s\"", (int)n, list);
        sennit_str key = sennit_printf(ctx, "%.*s", (int)(colon - list), list);
        err = sennit_md_add(sennit_md_out(ctx), key.data,
                            (sennit_str){ colon + 1, (size_t)(list + n - colon - 1) });
        list += n + (list[n] == ';');
    }
    return err;
}

static interop_test find_test(const char *name)
{
    const struct interop_case *const tables[] = { interop_cases, interop_more, interop_negative };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct interop_case *c = tables[i]; c->name; c++)
            if (strcmp(c->name, name) == 0)
                return c->run;
    log_fatal("unsupported test case: \"%s\"", name);
}

static sennit_creds *tls_creds(const char *test_ca, const char *ca_file, const char *override)
{
#ifdef SENNIT_TLS
    if (flag_is_true(test_ca) && !*ca_file)
        log_fatal("--use_test_ca needs --ca_file: no certificates are built in");
    return sennit_tls_new(&(sennit_tls_options){ .ca_file = *ca_file ? ca_file : NULL,
                                                 .server_name = *override ? override : NULL });
#else
    (void)test_ca, (void)ca_file, (void) override;
    log_fatal("this program was built without TLS");
#endif
}

int main(int argc, char **argv)
{
    const char *host = "localhost", *port = "10000", *name = "large_unary", *use_tls = "false";
    const char *ca_file = "", *override = "", *test_ca = "false", *unused = "", *none = "false";
    const char *service_config = "";
    char target[300];
    struct interop in = {
        .additional_metadata = "",
        .soak = { "10", "0", "1000", "10", "0", "271828", "314159", "1" },
    };
    flags_parse(
        argc, argv,
        (struct flag[]){
            { "server_host", &host, "The server host name", FLAG_STRING },
            { "server_port", &port, "The server port", FLAG_INT },
            { "server_host_override", &override, "The name in its certificate", FLAG_STRING },
            { "test_case", &name, "What to run", FLAG_STRING },
            { "use_tls", &use_tls, "Connection uses TLS", FLAG_BOOL },
            { "use_test_ca", &test_ca, "Trust only ca_file", FLAG_BOOL },
            { "ca_file", &ca_file, "The file containing the CA root cert", FLAG_STRING },
            { "service_config_json", &service_config, "Default service config", FLAG_STRING },
            { "additional_metadata", &in.additional_metadata, "key:value;...", FLAG_STRING },
            { "soak_iterations", &in.soak.iterations, "Calls of a soak test", FLAG_INT },
            { "soak_max_failures", &in.soak.max_failures, "That may fail", FLAG_INT },
            { "soak_per_iteration_max_acceptable_latency_ms", &in.soak.latency_ms,
              "A call that takes longer has failed", FLAG_INT },
            { "soak_overall_timeout_seconds", &in.soak.overall_seconds, "For all", FLAG_INT },
            { "soak_min_time_ms_between_rpcs", &in.soak.pause_ms, "Least interval", FLAG_INT },
            { "soak_request_size", &in.soak.request_size, "Octets", FLAG_INT },
            { "soak_response_size", &in.soak.response_size, "Octets", FLAG_INT },
            { "soak_num_threads", &in.soak.threads, "Goroutines", FLAG_INT },
            { "default_service_account", &unused, "Not supported", FLAG_STRING },
            { "oauth_scope", &unused, "Not supported", FLAG_STRING },
            { "service_account_key_file", &unused, "Not supported", FLAG_STRING },
            { "custom_credentials_type", &unused, "Not supported", FLAG_STRING },
            { "use_alts", &none, "Not supported", FLAG_BOOL },
            { 0 } });
    if (*unused || flag_is_true(none))
        log_fatal("cloud credentials and ALTS are not supported");
    snprintf(target, sizeof target, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    in.target = target;
    in.service_config = *service_config ? service_config : NULL;
    interop_test test = find_test(name);
    sennit_auto(sennit_creds) *tls =
        flag_is_true(use_tls) ? tls_creds(test_ca, ca_file, override) : NULL;
    in.creds = tls ? tls : sennit_insecure();
    sennit_auto(sennit_conn) *conn = interop_dial(&in);
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 120 * SENNIT_SECOND);
    sennit_err err = add_metadata(in.additional_metadata, ctx);
    if (!err)
        err = test(&in, (gt_TestServiceClient){ conn }, ctx);
    if (err)
        log_fatal("%s failed: %s", name, sennit_err_text(err));
    log_line("%s done", name);
    return 0;
}
