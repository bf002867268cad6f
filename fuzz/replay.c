/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * replay.c: feeds files, or all files of folders, to a target: the corpus as a test, with any
 * compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *octets = malloc(1 << 20);
    if (!file || !octets)
        return 1;
    LLVMFuzzerTestOneInput(octets, fread(octets, 1, 1 << 20, file));
    fclose(file);
    free(octets);
    return 0;
}

int main(int argc, char **argv)
{
    int n = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        struct dirent *e;
        if (!folder)
            failed += replay(argv[i]), n++;
        while (folder && (e = readdir(folder))) {
            static char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.')
                failed += replay(path), n++;
        }
        if (folder)
            closedir(folder);
    }
    printf("%d inputs replayed, %d could not be read\n", n, failed);
    return failed || !n;
}
