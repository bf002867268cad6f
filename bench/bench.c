/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * bench server|client: the load of the benchmark service on the public API and generated code
 * alone, default options, all checks on. The flags are those that every measured peer takes, so one
 * driver can run them all in turn. */
#include "bench.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: bench server --port P --threads N [--cert FILE --key FILE]\n"
    "       bench client --port P --threads N --mode unary|stream|idle|open|mix --conns C\n"
    "                    --streams S --window W --size B --secs T [--rate R] [--cert FILE]\n"
    "client prints one line of JSON; --streams is per connection, --size in octets, --rate (of\n"
    "mode open, where streams are the most calls under way) a second, of all together.\n";

static bool parse_number(const char *text, long *out)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (!*text || *end || value < 0)
        return false;
    *out = value;
    return true;
}

static bool parse_flag(struct bench_args *a, const char *name, const char *value)
{
    struct {
        const char *name;
        long *value;
    } numbers[] = {
        { "--threads", &a->threads }, { "--conns", &a->conns }, { "--streams", &a->streams },
        { "--window", &a->window },   { "--size", &a->size },   { "--rate", &a->rate },
    };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0)
            return parse_number(value, numbers[i].value);
    if (strcmp(name, "--port") == 0)
        return (a->port = value);
    if (strcmp(name, "--mode") == 0)
        return (a->mode = value);
    if (strcmp(name, "--secs") == 0)
        return (a->secs = strtod(value, NULL)) > 0;
    if (strcmp(name, "--cert") == 0)
        return (a->cert = value);
    if (strcmp(name, "--key") == 0)
        return (a->key = value);
    return false;
}

#ifdef SENNIT_TLS
/* A client trusts the server's certificate itself, and expects its name. */
const sennit_creds *bench_creds(const struct bench_args *a)
{
    if (!a->cert)
        return sennit_insecure();
    if (a->key)
        return sennit_tls_new(&(sennit_tls_options){ .cert_file = a->cert, .key_file = a->key });
    return sennit_tls_new(&(sennit_tls_options){ .ca_file = a->cert, .server_name = "localhost" });
}
static void bench_with_tls(char **argv) { (void)argv; }
#else
const sennit_creds *bench_creds(const struct bench_args *a)
{
    (void)a;
    return sennit_insecure();
}

/* Plain text is measured without OpenSSL, as programs have it that do not link sennit_tls: the
 * same program with TLS lies beside this one. */
static void bench_with_tls(char **argv)
{
    char path[1024];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "_tls");

    if (n > 0) {
        snprintf(path + n, sizeof "_tls", "_tls");
        execv(path, argv);
    }
    fputs("bench: built without TLS\n", stderr);
    exit(2);
}
#endif

static bool mode_known(const char *mode)
{
    static const char *const modes[] = { "unary", "stream", "idle", "open", "mix" };

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(mode, modes[i]) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct bench_args a = { .port = "50051",
                            .mode = "unary",
                            .threads = 1,
                            .conns = 1,
                            .streams = 1,
                            .window = 1,
                            .size = 16,
                            .rate = 1000,
                            .secs = 2 };
    bool client = argc > 1 && strcmp(argv[1], "client") == 0;

    if (!client && (argc < 2 || strcmp(argv[1], "server") != 0)) {
        fputs(usage, stderr);
        return 2;
    }
    for (int i = 2; i < argc; i += 2)
        if (i + 1 == argc || !parse_flag(&a, argv[i], argv[i + 1])) {
            fprintf(stderr, "bench: cannot use %s %s\n%s", argv[i],
                    i + 1 < argc ? argv[i + 1] : "without a value", usage);
            return 2;
        }
    if (!mode_known(a.mode) || !a.rate) {
        fprintf(stderr, "bench: no mode %s at %ld a second\n%s", a.mode, a.rate, usage);
        return 2;
    }
    if (a.cert)
        bench_with_tls(argv);
    char threads[32];
    snprintf(threads, sizeof threads, "%ld", a.threads);
    setenv("SENNIT_MAXPROCS", threads, 1); /* read at the first call into the library */
    return client ? bench_client(&a) : bench_server(&a);
}
