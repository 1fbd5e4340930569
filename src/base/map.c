/* SPDX-License-Identifier: MIT */
/* Chained hash table with power-of-two slots, grown at load 1, never shrunk below what the map
 * once held (site and channel tables breathe with their traffic). The hash is SipHash-2-4 as in
 * Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). */
#include "base/map.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

/* Written once, before the first hash, and constant from then on. */
static uint64_t sip_key[2];
static pthread_once_t sip_once = PTHREAD_ONCE_INIT;

static void sip_seed(void) {
    if (getrandom(sip_key, sizeof sip_key, 0) != (ssize_t)sizeof sip_key) abort();
}

static uint64_t rotl(uint64_t x, int b) { return (x << b) | (x >> (64 - b)); }

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t map_hash(struct slice s) {
    pthread_once(&sip_once, sip_seed);
    uint64_t v[4] = {sip_key[0] ^ 0x736f6d6570736575u, sip_key[1] ^ 0x646f72616e646f6du,
                     sip_key[0] ^ 0x6c7967656e657261u, sip_key[1] ^ 0x7465646279746573u};
    size_t at = 0;
    for (; s.n - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, s.p + at, 8);
        sip_word(v, word);
    }
    uint64_t last = (uint64_t)s.n << 56;
    for (size_t i = 0; at + i < s.n; i++) last |= (uint64_t)(unsigned char)s.p[at + i] << (8 * i);
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_fini(struct map *m) {
    mem_free(m->slots);
    *m = (struct map){0};
}

struct map_link *map_find(const struct map *m, struct slice key) {
    if (!m->count) return NULL;
    uint64_t hash = map_hash(key);
    for (struct map_link *l = m->slots[hash & m->mask]; l; l = l->next)
        if (l->hash == hash && slice_eq(l->key, key)) return l;
    return NULL;
}

static void grow(struct map *m) {
    size_t slots = m->slots ? (m->mask + 1) * 2 : 8;
    struct map_link **to = mem_new(slots * sizeof(struct map_link *));
    for (size_t i = 0; m->slots && i <= m->mask; i++) {
        for (struct map_link *l = m->slots[i], *next; l; l = next) {
            next = l->next;
            l->next = to[l->hash & (slots - 1)];
            to[l->hash & (slots - 1)] = l;
        }
    }
    mem_free(m->slots);
    m->slots = to;
    m->mask = slots - 1;
}

void map_add(struct map *m, struct map_link *link, struct slice key) {
    if (!m->slots || m->count > m->mask) grow(m);
    link->key = key;
    link->hash = map_hash(key);
    link->next = m->slots[link->hash & m->mask];
    m->slots[link->hash & m->mask] = link;
    m->count++;
}

void map_remove(struct map *m, struct map_link *link) {
    struct map_link **at = &m->slots[link->hash & m->mask];
    while (*at && *at != link) at = &(*at)->next;
    assert(*at == link);
    *at = link->next;
    link->next = NULL;
    m->count--;
}

struct map_link *map_next(const struct map *m, const struct map_link *link) {
    if (link && link->next) return link->next;
    if (!m->count) return NULL;
    for (size_t i = link ? (link->hash & m->mask) + 1 : 0; i <= m->mask; i++)
        if (m->slots[i]) return m->slots[i];
    return NULL;
}
