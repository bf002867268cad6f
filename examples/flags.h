/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * flags.h: command lines and log lines as Go programs have them, so that the examples take the
 * flags of grpc-go's and print what they print. Nothing here is part of Sennit. main's thread
 * parses; any goroutine or thread may log. */
#ifndef EXAMPLES_FLAGS_H
#define EXAMPLES_FLAGS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct flag {
    const char *name;
    const char **value; /* the default, then what was given */
    const char *help;
    enum { FLAG_STRING, FLAG_INT, FLAG_BOOL } kind; /* "-x" of a FLAG_BOOL is "-x=true" */
};

static inline bool flag_is_true(const char *value) { return strcmp(value, "true") == 0; }

static inline void flags_usage(const char *program, const struct flag *flags)
{
    fprintf(stderr, "Usage of %s:\n", program);
    for (const struct flag *f = flags; f->name; f++) {
        const char *kind = f->kind == FLAG_BOOL ? "" : f->kind == FLAG_INT ? " int" : " string";
        fprintf(stderr, "  -%s%s\n    \t%s", f->name, kind, f->help);
        if (f->kind == FLAG_BOOL || !**f->value)
            fputc('\n', stderr);
        else
            fprintf(stderr, f->kind == FLAG_INT ? " (default %s)\n" : " (default \"%s\")\n",
                    *f->value);
    }
}

__attribute__((noreturn, format(printf, 3, 4))) static inline void
flags_refuse(const char *program, const struct flag *flags, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    flags_usage(program, flags);
    exit(2);
}

static inline bool flags_is_number(const char *text)
{
    char *end;

    strtol(text, &end, 0);
    return *text && !*end;
}

/* "-name value", "-name=value" and the same with two dashes; flags end with a NULL name. What is
 * written to stdout goes out line by line, as Go's does, also into a pipe. */
static inline void flags_parse(int argc, char **argv, const struct flag *flags)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        const char *given = argv[i] + 1 + (argv[i][1] == '-');
        size_t len = strcspn(given, "=");
        const struct flag *f = flags;

        if (!*given)
            return; /* "--" */
        if (strcmp(given, "h") == 0 || strcmp(given, "help") == 0) {
            flags_usage(argv[0], flags);
            exit(0);
        }
        while (f->name && (strlen(f->name) != len || memcmp(f->name, given, len) != 0))
            f++;
        if (!f->name)
            flags_refuse(argv[0], flags, "flag provided but not defined: -%.*s", (int)len, given);
        if (f->kind == FLAG_BOOL && !given[len]) {
            *f->value = "true";
            continue;
        }
        if (!given[len] && i + 1 == argc)
            flags_refuse(argv[0], flags, "flag needs an argument: -%s", f->name);
        *f->value = given[len] ? given + len + 1 : argv[++i];
        if (f->kind == FLAG_INT && !flags_is_number(*f->value))
            flags_refuse(argv[0], flags, "invalid value \"%s\" for flag -%s: parse error",
                         *f->value, f->name);
    }
}

/* A server's one flag, -port, as the address of all interfaces. */
static inline const char *flags_address(int argc, char **argv, const char *help)
{
    static char address[32];
    const char *port = "50051";

    flags_parse(argc, argv, (struct flag[]){ { "port", &port, help, FLAG_INT }, { 0 } });
    snprintf(address, sizeof address, ":%s", port);
    return address;
}

/* "2026/11/23 21:39:29 text" on stderr in one write. */
__attribute__((format(printf, 1, 2))) static inline void log_line(const char *fmt, ...)
{
    time_t now = time(NULL);
    struct tm tm;
    char with_time[256];
    va_list args;

    localtime_r(&now, &tm);
    size_t n = strftime(with_time, sizeof with_time, "%Y/%m/%d %H:%M:%S ", &tm);
    snprintf(with_time + n, sizeof with_time - n, "%s\n", fmt);
    va_start(args, fmt);
    vfprintf(stderr, with_time, args);
    va_end(args);
}
#define log_fatal(...) (log_line(__VA_ARGS__), exit(1))

#endif
