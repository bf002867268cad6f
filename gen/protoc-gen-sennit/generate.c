/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * generate.c: from the octets of a CodeGeneratorRequest to those of a CodeGeneratorResponse,
 * without standard input and output, so that tests feed it bad requests by the thousand. Whatever
 * is wrong becomes the response's error, in UTF-8, or protoc could not show it. */
#include "gen.h"

#include "pb/pb.h"

#define FEATURE_PROTO3_OPTIONAL   1
#define FEATURE_SUPPORTS_EDITIONS 2

static bool option_is_plain(const char *s) { return !*s || name_is_ident(sennit_s(s)); }

/* prefix=P or prefix=PACKAGE:P */
static void parse_option(struct gen *g, char *option)
{
    static const char key[] = "prefix=";
    if (strncmp(option, key, sizeof key - 1) != 0) {
        g->error =
            gen_printf(g, "unknown option %s: prefix=P and prefix=PACKAGE:P are known", option);
        return;
    }
    char *value = option + sizeof key - 1, *colon = strrchr(value, ':');
    struct prefix p = { .package = colon ? value : NULL, .prefix = colon ? colon + 1 : value };
    if (colon)
        *colon = 0;
    if (!option_is_plain(p.prefix))
        g->error = gen_printf(g, "prefix=%s is not the start of a C name", p.prefix);
    else if (g->n_prefixes == GEN_MAX_PREFIXES)
        g->error = gen_printf(g, "there are more than %u options", GEN_MAX_PREFIXES);
    else
        g->prefixes[g->n_prefixes++] = p;
}

static void parse_options(struct gen *g)
{
    char *s = (char *)(uintptr_t)gen_printf(g, "%s", g->request.parameter.data);
    while (*s && !g->error) {
        size_t n = strcspn(s, ",");
        bool last = !s[n];
        s[n] = 0;
        if (n)
            parse_option(g, s);
        s += n + !last;
    }
}

static sennit_plugin_Response_Output output_of(struct gen *g, const struct file *file,
                                               const char *ending, const struct text *t)
{
    return (sennit_plugin_Response_Output){
        .name = sennit_s(gen_printf(g, "%s.sennit.%s", file->base, ending)),
        .content = { t->data, t->len },
    };
}

static void generate_file(struct gen *g, struct file *file, sennit_plugin_Response_Output out[2])
{
    struct text header = { .a = g->a }, source = { .a = g->a };
    if (model_resolve(g, file))
        names_check(g, file);
    if (!g->error)
        emit_header(g, file, &header);
    if (!g->error)
        emit_source(g, file, &source);
    if (header.failed || source.failed)
        gen_fail(g, file, (gen_path){ "", 0 }, "out of memory");
    if (g->error)
        return;
    out[0] = output_of(g, file, "h", &header);
    out[1] = output_of(g, file, "c", &source);
}

static void generate(struct gen *g, char *in, size_t n_in, sennit_plugin_Response *response)
{
    enum pb_result r =
        in ? pb_decode_msg(&sennit__sennit_plugin_Request, &g->request, in, n_in, g->a, 0)
           : PB_TOO_LARGE;
    if (r != PB_OK) {
        g->error = gen_printf(g, "the request of protoc cannot be read: %s", pb_result_text(r));
        return;
    }
    size_t n = g->request.file_to_generate.len;
    sennit_plugin_Response_Output *out = arena_zalloc(g->a, (2 * n + 1) * sizeof *out);
    if (!out)
        gen_fail(g, NULL, (gen_path){ "", 0 }, "out of memory");
    if (!g->error)
        parse_options(g);
    if (g->error || !model_load(g))
        return;
    for (size_t i = 0; i < n && !g->error; i++) {
        const void *file = map_get(&g->file_names, g->request.file_to_generate.data[i]);
        generate_file(g, (struct file *)(uintptr_t)file, out + 2 * i);
    }
    response->file.data = out;
    response->file.len = g->error ? 0 : 2 * n;
}

/* protoc refuses an answer that is not UTF-8, and names in errors may have been cut. */
static sennit_str error_text(struct gen *g)
{
    if (pb_utf8_valid(g->error, strlen(g->error)))
        return sennit_s(g->error);
    char *s = (char *)(uintptr_t)gen_printf(g, "%s", g->error);
    for (char *p = s; *p; p++)
        if ((uint8_t)*p > 127)
            *p = '?';
    return sennit_s(s);
}

enum pb_result gen_answer(struct sennit_arena *a, char *in, size_t n, sennit_str *out)
{
    struct gen g = { .a = a };
    sennit_plugin_Response response = {
        .supported_features = FEATURE_PROTO3_OPTIONAL | FEATURE_SUPPORTS_EDITIONS,
        .minimum_edition = GEN_EDITION_PROTO2,
        .maximum_edition = GEN_EDITION_2024,
    };
    generate(&g, in, n, &response);
    if (g.error) {
        response.has_error = 1;
        response.error = error_text(&g);
    }
    return pb_encode_msg(&sennit__sennit_plugin_Response, &response, a, 0, out);
}
