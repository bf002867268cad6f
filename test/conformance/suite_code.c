/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * suite_code REQUEST OUT: the generated code of the conformance suite's types, without protoc: of a
 * CodeGeneratorRequest in a file. The files go below OUT's folder, and OUT includes their sources.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "gen.h"
#include "plugin.sennit.h"

sennit_err sennit_not_implemented(const sennit_method *m)
{
    (void)m;
    return NULL;
}

static struct sennit_arena arena;

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static sennit_str read_file(const char *path)
{
    static char octets[1 << 20];
    FILE *file = fopen(path, "rb");
    must(file, path);
    size_t n = fread(octets, 1, sizeof octets - 1, file);
    must(n < sizeof octets - 1 && !fclose(file), path);
    return (sennit_str){ octets, n };
}

static void write_file(const char *path, sennit_str content)
{
    FILE *file = fopen(path, "wb");
    must(file, path);
    must(fwrite(content.data, 1, content.len, file) == content.len && !fclose(file), path);
}

/* folder/name, whose own folders are made. */
static void write_below(const char *folder, const sennit_plugin_Response_Output *file)
{
    sennit_str path = arena_printf(&arena, "%s/%s", folder, file->name.data);
    must(path.data, "memory");
    for (char *at = (char *)(uintptr_t)path.data + strlen(folder); (at = strchr(at + 1, '/'));) {
        *at = 0;
        must(!mkdir(path.data, 0777) || errno == EEXIST, path.data);
        *at = '/';
    }
    write_file(path.data, file->content);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    arena_init(&arena, NULL, 0);
    sennit_str request = read_file(argv[1]), out, all[2] = { { "", 0 }, { "", 0 } };
    sennit_plugin_Response r;
    must(gen_answer(&arena, (char *)(uintptr_t)request.data, request.len, &out) == PB_OK, "plugin");
    must(pb_decode_msg(&sennit__sennit_plugin_Response, &r, (char *)(uintptr_t)out.data, out.len,
                       &arena, 0) == PB_OK,
         "answer");
    if (r.error.len) {
        fprintf(stderr, "%s\n", r.error.data);
        return 1;
    }
    sennit_str folder = arena_str(&arena, argv[2], strlen(argv[2]));
    char *slash = strrchr(folder.data, '/');
    must(slash, argv[2]);
    *slash = 0;
    for (size_t i = 0; i < r.file.len; i++) {
        const sennit_plugin_Response_Output *file = &r.file.data[i];
        write_below(folder.data, file);
        sennit_str *to = &all[file->name.data[file->name.len - 1] == 'h'];
        *to = arena_printf(&arena, "%s#include \"%s\"\n", to->data, file->name.data);
        must(to->data, "memory");
    }
    write_file(argv[2], all[0]);
    write_file(argv[3], all[1]);
    arena_fini(&arena);
    return 0;
}
