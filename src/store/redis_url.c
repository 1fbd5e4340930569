/* SPDX-License-Identifier: MIT */
#include "store/redis_url.h"

#include "base/mem.h"

static bool decode(struct slice s, char **out) {
    if (!s.n) return true;
    struct text t = {0};
    bool good = url_decode(&t, s, false) && !memchr(text_slice(&t).p, 0, t.n);
    if (good) *out = slice_cstr(text_slice(&t));
    text_fini(&t);
    return good;
}

static bool read_db(struct slice text, unsigned *db) {
    uint64_t n = 0;
    if (text.n && (!slice_u64(text, &n) || n > 100000)) return false;
    *db = (unsigned)n;
    return true;
}

static bool read_tcp(struct redis_url *u, struct url *parts) {
    struct slice host;
    if (!url_next_host(&parts->hosts, &host, 6379, &u->port) || parts->hosts.n) return false;
    u->host = slice_cstr(host);
    return !parts->query.n && read_db(slice_from(parts->path, 1), &u->db);
}

static bool read_unix(struct redis_url *u, const struct url *parts) {
    if (parts->hosts.n || parts->path.n < 2 || !decode(parts->path, &u->path)) return false;
    if (!parts->query.n) return true;
    return slice_starts(parts->query, SLICE("db=")) && read_db(slice_from(parts->query, 3), &u->db);
}

static bool read_sentinels(struct redis_url *u, struct url *parts) {
    struct slice host, path = slice_from(parts->path, 1);
    size_t slash = slice_find(path, '/');
    unsigned port;
    while (parts->hosts.p) {
        if (!url_next_host(&parts->hosts, &host, 26379, &port)) return false;
        u->sentinels = mem_grow(u->sentinels, (u->sentinel_count + 1) * sizeof *u->sentinels);
        u->sentinels[u->sentinel_count++] = (struct redis_sentinel_url){slice_cstr(host), port};
    }
    if (!u->sentinel_count || !slash || parts->query.n) return false;
    return decode(slice_upto(path, slash), &u->master) &&
           read_db(slice_from(path, slash + 1), &u->db);
}

bool redis_url_parse(struct redis_url *u, struct slice text) {
    struct url parts;
    memset(u, 0, sizeof *u);
    if (!url_parse(text, &parts)) return false;
    if (!decode(parts.user, &u->user) || !decode(parts.password, &u->password)) return false;
    u->tls = slice_starts(parts.scheme, SLICE("rediss"));
    if (slice_is(parts.scheme, "unix")) return read_unix(u, &parts);
    if (slice_ends(parts.scheme, SLICE("+sentinel"))) return read_sentinels(u, &parts);
    return read_tcp(u, &parts);
}

void redis_url_fini(struct redis_url *u) {
    mem_free(u->host);
    mem_free(u->path);
    mem_free(u->user);
    mem_free(u->password);
    mem_free(u->master);
    for (size_t i = 0; i < u->sentinel_count; i++) mem_free(u->sentinels[i].host);
    mem_free(u->sentinels);
    memset(u, 0, sizeof *u);
}
