/* SPDX-License-Identifier: MIT */
#include "base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ip_is_v4(const struct ip *ip) { return memcmp(ip->b, mapped, sizeof mapped) == 0; }

struct ip ip_of_sockaddr(const struct sockaddr *sa) {
    struct ip ip = {{0}};
    if (sa->sa_family == AF_INET) {
        memcpy(ip.b, mapped, sizeof mapped);
        memcpy(ip.b + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        memcpy(ip.b, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    }
    return ip;
}

bool ip_parse(struct slice s, struct ip *out) {
    char text[IP_TEXT_MAX];
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') s = slice_make(s.p + 1, s.n - 2);
    if (!s.n || s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (strlen(text) != s.n) return false;
    if (inet_pton(AF_INET6, text, out->b) == 1) return true;
    memcpy(out->b, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out->b + 12) == 1;
}

bool cidr_parse(struct slice s, struct cidr *out) {
    size_t slash = slice_find(s, '/');
    if (!ip_parse(slice_upto(s, slash), &out->ip)) return false;
    out->bits = 128;
    if (slash == s.n) return true;
    bool v4 = ip_is_v4(&out->ip) && slice_find(s, ':') == s.n;
    uint64_t bits;
    if (!slice_u64(slice_from(s, slash + 1), &bits) || bits > (v4 ? 32 : 128)) return false;
    out->bits = (unsigned)bits + (v4 ? 96 : 0);
    return true;
}

bool cidr_has(const struct cidr *block, const struct ip *ip) {
    unsigned whole = block->bits / 8, rest = block->bits % 8;
    if (memcmp(block->ip.b, ip->b, whole)) return false;
    return !rest || ((block->ip.b[whole] ^ ip->b[whole]) >> (8 - rest)) == 0;
}

const char *ip_format(const struct ip *ip, char out[IP_TEXT_MAX]) {
    out[0] = 0;
    if (ip_is_v4(ip)) inet_ntop(AF_INET, ip->b + 12, out, IP_TEXT_MAX);
    else inet_ntop(AF_INET6, ip->b, out, IP_TEXT_MAX);
    return out;
}

bool ip_is_none(const struct ip *ip) {
    static const struct ip none;
    return memcmp(ip, &none, sizeof none) == 0;
}

bool ip_is_private(const struct ip *ip) {
    static const char *const blocks[] = {"127.0.0.0/8",    "10.0.0.0/8",     "172.16.0.0/12",
                                         "192.168.0.0/16", "169.254.0.0/16", "::/127",
                                         "fc00::/7",       "fe80::/10"};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        struct cidr block;
        if (cidr_parse(slice_of(blocks[i]), &block) && cidr_has(&block, ip)) return true;
    }
    return false;
}

struct ip ip_group(const struct ip *ip) {
    struct ip group = *ip;
    if (!ip_is_v4(ip)) memset(group.b + 8, 0, 8);
    return group;
}
