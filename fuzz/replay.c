/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * replay.c: runs a target over the files of its corpus, without libFuzzer: `make test` does so with
 * any compiler. Arguments are files and directories. Each input is also cut to its half, so that a
 * short corpus sees ends in the middle of things. */
#include "fuzz.h"
#include <dirent.h>
#include <sys/stat.h>

static unsigned long inputs;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    demand(f && fseek(f, 0, SEEK_END) == 0);
    long n = ftell(f);
    demand(n >= 0 && fseek(f, 0, SEEK_SET) == 0);
    for (size_t len = (size_t)n;; len /= 2) {
        uint8_t *p = malloc(len ? len : 1); /* of exactly that size: reading on is seen */
        demand(p && fseek(f, 0, SEEK_SET) == 0 && fread(p, 1, len, f) == len);
        LLVMFuzzerTestOneInput(p, len);
        free(p);
        inputs++;
        if (len < (size_t)n || len < 2)
            break;
    }
    fclose(f);
}

static void run_directory(const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    demand(n >= 0);
    for (int i = 0; i < n; i++) {
        char full[4096];
        snprintf(full, sizeof full, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            run_file(full);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat st;
        demand(stat(argv[i], &st) == 0);
        if (S_ISDIR(st.st_mode))
            run_directory(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%lu inputs\n", inputs);
    return inputs ? 0 : 1;
}
