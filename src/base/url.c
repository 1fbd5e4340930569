/* SPDX-License-Identifier: MIT */
#include "base/url.h"

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool take_scheme(struct slice *rest, struct slice *scheme) {
    size_t n = 0;
    while (n < rest->n && (is_letter(rest->p[n]) || (n && strchr("+-.0123456789", rest->p[n]))))
        n++;
    *scheme = slice_upto(*rest, n);
    *rest = slice_from(*rest, n);
    if (!n || !slice_starts(*rest, SLICE("://"))) return false;
    *rest = slice_from(*rest, 3);
    return true;
}

/* Up to the first of these characters, or all. */
static struct slice take_until(struct slice *rest, const char *ends) {
    size_t n = 0;
    while (n < rest->n && !strchr(ends, rest->p[n])) n++;
    struct slice part = slice_upto(*rest, n);
    *rest = slice_from(*rest, n);
    return part;
}

static void split_userinfo(struct slice authority, struct url *u) {
    size_t at = authority.n;
    for (size_t i = 0; i < authority.n; i++)
        if (authority.p[i] == '@') at = i;
    u->hosts = at < authority.n ? slice_from(authority, at + 1) : authority;
    if (at == authority.n) return;
    struct slice info = slice_upto(authority, at);
    size_t colon = slice_find(info, ':');
    u->user = slice_upto(info, colon);
    if (colon < info.n) u->password = slice_from(info, colon + 1);
}

bool url_parse(struct slice text, struct url *u) {
    memset(u, 0, sizeof *u);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~' || strchr("\"<>\\^`{|}", text.p[i])) return false;
    if (!take_scheme(&text, &u->scheme)) return false;
    split_userinfo(take_until(&text, "/?#"), u);
    u->path = take_until(&text, "?#");
    if (text.n && text.p[0] == '#') return false; /* a server has no fragments */
    if (text.n) u->query = slice_from(text, 1);
    return slice_find(u->query, '#') == u->query.n;
}

/* "[::1]" or a name; what is behind it stays in *text. */
static bool take_name(struct slice *text, struct slice *host) {
    if (text->n && text->p[0] == '[') {
        size_t end = slice_find(*text, ']');
        if (end == text->n) return false;
        *host = slice_make(text->p + 1, end - 1);
        *text = slice_from(*text, end + 1);
    } else {
        *host = take_until(text, ":");
    }
    return host->n > 0 && host->n <= 253;
}

bool url_next_host(struct slice *hosts, struct slice *host, unsigned standard, unsigned *port) {
    struct slice one;
    uint64_t number = standard;
    if (!hosts->n || !slice_next(hosts, ',', &one) || !take_name(&one, host)) return false;
    if (one.n && (one.p[0] != ':' || !slice_u64(slice_from(one, 1), &number))) return false;
    *port = (unsigned)number;
    return number > 0 && number <= 65535;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool url_decode(struct text *out, struct slice s, bool plus) {
    char *to = text_reserve(out, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (s.n - i < 3) return false;
            int high = hex_digit(s.p[i + 1]), low = hex_digit(s.p[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        to[n++] = c;
    }
    text_commit(out, n);
    return true;
}
