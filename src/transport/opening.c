/* SPDX-License-Identifier: MIT */
#include "transport/opening.h"

/* Headers that only concern the connection: of no use to a script, and a page of memory in sum. */
static bool is_kept(struct slice name, enum handshake_part part) {
    static const char *const dropped[] = {"host",
                                          "connection",
                                          "upgrade",
                                          "sec-websocket-key",
                                          "content-length",
                                          "transfer-encoding",
                                          "accept",
                                          "accept-encoding",
                                          "cache-control",
                                          "pragma",
                                          "content-type",
                                          "sec-websocket-version",
                                          "te",
                                          "keep-alive",
                                          "sec-websocket-extensions"};
    if (part == HANDSHAKE_ALL) return true;
    if (part == HANDSHAKE_NO_COOKIE && slice_ieq(name, SLICE("cookie"))) return false;
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (slice_ieq(name, slice_of(dropped[i]))) return false;
    return true;
}

static void add_lower(struct text *t, struct slice name, struct slice value) {
    char *at = text_reserve(t, name.n);
    for (size_t i = 0; i < name.n; i++)
        at[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i];
    text_commit(t, name.n);
    handshake_add(t, (struct slice){NULL, 0}, value);
}

static bool is_trusted(const struct net *net, const struct ip *ip) {
    for (size_t i = 0; i < net->trusted_count; i++)
        if (cidr_has(&net->trusted[i], ip)) return true;
    return false;
}

static bool is_chain(const struct http_header *h) {
    return slice_ieq(h->name, SLICE("x-forwarded-for"));
}

/* Walks back along a chain of hops, while *ip is a proxy of ours. What stands before the first that
 * is not was written by that one, and proves nothing: false. */
static bool walk_back(const struct net *net, struct slice chain, struct ip *ip) {
    while (chain.n && is_trusted(net, ip)) {
        size_t comma = chain.n;
        while (comma && chain.p[comma - 1] != ',') comma--;
        struct ip hop;
        if (!ip_parse(slice_trim(slice_from(chain, comma)), &hop)) return false;
        *ip = hop;
        chain = slice_upto(chain, comma ? comma - 1 : 0);
    }
    return is_trusted(net, ip);
}

/* Some proxies add a line of their own instead of going on with the one that came: the last counts.
 */
struct ip opening_ip(const struct request *r) {
    const struct net *net = r->conn->net;
    struct ip ip = r->conn->peer;
    for (size_t i = net->trusted_count ? r->header_count : 0; i-- > 0;)
        if (is_chain(&r->headers[i]) && !walk_back(net, r->headers[i].value, &ip)) break;
    return ip;
}

/* All hops, of all lines, in order. */
static void add_chain(struct text *t, const struct request *r) {
    struct text all = {0};
    for (size_t i = 0; i < r->header_count; i++) {
        if (!is_chain(&r->headers[i]) || !r->headers[i].value.n) continue;
        if (all.n) text_char(&all, ',');
        text_add(&all, r->headers[i].value);
    }
    if (all.n) handshake_add(t, SLICE(":ips"), text_slice(&all));
    text_fini(&all);
}

static struct slice method_name(enum http_method method) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    return slice_of(names[method]);
}

/* "https://a.example:8443/x" -> "https://a.example:8443" */
struct slice origin_of_url(struct slice url) {
    size_t slashes = slice_find(url, '/');
    if (slashes + 1 >= url.n || !slashes || url.p[slashes - 1] != ':' || url.p[slashes + 1] != '/')
        return (struct slice){NULL, 0};
    struct slice host = slice_from(url, slashes + 2);
    return slice_upto(url, slashes + 2 + slice_find(host, '/'));
}

static bool is_own(const struct request *r, struct slice origin) {
    size_t slashes = slice_find(origin, '/');
    struct slice host = http_header(r, "host");
    return host.n && slashes + 2 <= origin.n && slice_ieq(slice_from(origin, slashes + 2), host);
}

/* Browsers name the origin of every request that brings cookies to another site, but for those of
 * script elements; there, and where pages ask their own host, only the Referer tells. */
static void add_origin(struct text *t, const struct request *r, bool script) {
    struct slice named = http_header(r, "origin"), origin = named;
    if (!named.n) origin = origin_of_url(http_header(r, "referer"));
    if (!origin.n && script) origin = SLICE("none");
    if (!origin.n) return;
    if (is_own(r, origin)) handshake_add(t, SLICE(":own"), SLICE("1"));
    else if (!named.n) handshake_add(t, SLICE(":origin"), origin);
}

struct handshake *opening_handshake(const struct request *r, enum handshake_part part) {
    struct text t = {0};
    struct ip ip = opening_ip(r);
    handshake_add(&t, SLICE(":path"), r->path);
    handshake_add(&t, SLICE(":host"), r->host);
    if (r->query.n) handshake_add(&t, SLICE(":query"), r->query);
    if (part == HANDSHAKE_ALL || r->method != HTTP_GET)
        handshake_add(&t, SLICE(":method"), method_name(r->method));
    if (is_trusted(r->conn->net, &r->conn->peer)) add_chain(&t, r);
    if (part >= HANDSHAKE_JUDGED) add_origin(&t, r, part == HANDSHAKE_SCRIPT);
    if (part == HANDSHAKE_ALL && r->body.n && !memchr(r->body.p, 0, r->body.n))
        handshake_add(&t, SLICE(":body"), r->body);
    for (size_t i = 0; i < r->header_count; i++)
        if (is_kept(r->headers[i].name, part))
            add_lower(&t, r->headers[i].name, r->headers[i].value);
    return handshake_new(&t, &ip);
}

bool origin_listed(const struct site *site, const struct request *r, struct slice origin) {
    return site_lists_origin(site, origin) || is_own(r, origin);
}

/* Whether cookies may log in there: push.auth_url hears of none. */
static bool takes_cookies(const struct endpoint *ep) {
    return ep->conf->auth == AUTH_REQUEST && !ep->site->conf->push.auth_url;
}

bool opening_picks(const struct endpoint *ep) {
    return takes_cookies(ep) || site_names_origins(ep->site);
}

bool opening_origin(const struct endpoint *ep, const struct request *r) {
    const struct site *site = ep->site;
    if (!opening_picks(ep)) return true;
    struct slice origin = http_header(r, "origin");
    if (!origin.p || origin_listed(site, r, origin)) return true;
    site_refuses_origin(site, origin, NULL);
    return false;
}

bool opening_script(const struct endpoint *ep, const struct request *r) {
    if (!takes_cookies(ep) || http_header(r, "origin").n) return true;
    struct slice origin = origin_of_url(http_header(r, "referer"));
    if (origin.p && origin_listed(ep->site, r, origin)) return true;
    site_refuses_origin(ep->site, origin, NULL);
    return false;
}
