/* SPDX-License-Identifier: MIT */
/* Gives every file of a corpus to a fuzz target, once: what a fuzzer found before stays found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    size_t cap = 1 << 20;
    uint8_t *data = malloc(cap);
    *size = data ? fread(data, 1, cap, f) : 0;
    fclose(f);
    return data;
}

int main(int argc, char **argv) {
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    int count = 0;
    if (!dir) {
        fprintf(stderr, "usage: replay CORPUS\n");
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        size_t size;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        uint8_t *data = read_file(path, &size);
        if (!data) return 1;
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        count++;
    }
    closedir(dir);
    printf("replayed %d inputs of %s\n", count, argv[1]);
    return count ? 0 : 1;
}
