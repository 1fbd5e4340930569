/* SPDX-License-Identifier: MIT */
#include "config/checks.h"

#include "base/ip.h"
#include "base/url.h"

#include <ctype.h>

/* What texts must look like. Each check returns NULL or what the text must be; those of names that
 * have no case write them in lower case, the way they are compared later. */

static void lower(char *text) {
    for (; *text; text++) *text = (char)tolower((unsigned char)*text);
}

static bool all_in(const char *text, const char *more) {
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr(more, *text)) return false;
    return true;
}

const char *check_path(char *text) {
    struct slice rest = slice_of(text), part;
    if (text[0] != '/') return "must start with \"/\"";
    if (!all_in(text, "/-._~!$&'()*+,;=:@")) return "must be a plain path, without ? # % or spaces";
    if (strstr(text, "//")) return "must be a path without \"//\"";
    if (rest.n > 1 && slice_ends(rest, SLICE("/"))) text[--rest.n] = 0;
    for (rest = slice_from(rest, 1); rest.n && slice_next(&rest, '/', &part);)
        if (slice_is(part, ".") || slice_is(part, "..")) return "must be a path without \"..\"";
    return NULL;
}

static bool host_ok(struct slice host) {
    struct ip ip;
    if (!host.n || host.n > 253) return false;
    if (host.p[0] == '[') return host.p[host.n - 1] == ']' && ip_parse(host, &ip);
    for (size_t i = 0; i < host.n; i++)
        if (!isalnum((unsigned char)host.p[i]) && !strchr("-._", host.p[i])) return false;
    return host.p[0] != '.' && host.p[0] != '-';
}

/* Splits "host:port"; without a port the whole is the host. */
static bool split_port(struct slice text, struct slice *host, uint64_t *port) {
    size_t colon = text.n;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ':') colon = i;
    bool bracket = text.n && text.p[text.n - 1] == ']';
    *host = bracket ? text : slice_upto(text, colon);
    if (bracket || colon == text.n) return false;
    return slice_u64(slice_from(text, colon + 1), port) && *port <= 65535;
}

/* What the kernel takes for the name of a unix socket: 107 bytes; and nothing that breaks a line.
 */
static bool is_socket_path(struct slice path) {
    for (size_t i = 0; i < path.n; i++)
        if (iscntrl((unsigned char)path.p[i])) return false;
    return path.n > 1 && path.n < 108 && path.p[0] == '/';
}

const char *check_socket(char *text) {
    if (!strcmp(text, "auto") || is_socket_path(slice_of(text))) return NULL;
    return "must be \"auto\", \"off\" or an absolute path of at most 107 bytes";
}

const char *check_address(char *text) {
    struct slice host, unix_prefix = SLICE("unix:");
    uint64_t port;
    if (slice_starts(slice_of(text), unix_prefix))
        return is_socket_path(slice_from(slice_of(text), unix_prefix.n))
                   ? NULL
                   : "must name an absolute path of at most 107 bytes behind \"unix:\"";
    if (split_port(slice_of(text), &host, &port) && (!host.n || host_ok(host))) return NULL;
    return "must be an address such as \"127.0.0.1:8000\", \"[::1]:8000\", \":8000\" or "
           "\"unix:/path\"";
}

const char *check_host(char *text) {
    lower(text);
    return host_ok(slice_of(text)) ? NULL : "must be a host's name, without a port";
}

const char *check_origin(char *text) {
    lower(text);
    if (!strcmp(text, "*")) return NULL;
    char *host_part = strstr(text, "://");
    struct slice host;
    uint64_t port;
    if (host_part && host_part > text) {
        struct slice scheme = slice_make(text, (size_t)(host_part - text));
        struct slice rest = slice_of(host_part + 3);
        bool good = split_port(rest, &host, &port) || host.n == rest.n;
        for (size_t i = 0; i < scheme.n; i++)
            if (!isalnum((unsigned char)scheme.p[i]) && !strchr("+-.", scheme.p[i])) good = false;
        if (good && host_ok(host)) return NULL;
    }
    return "must be \"*\" or an origin such as \"https://chat.example.com\", without a path";
}

const char *check_name(char *text) {
    bool good = isalnum((unsigned char)text[0]) && all_in(text, "-_") && strlen(text) <= 64;
    return good ? NULL : "must be a name of at most 64 letters, digits, \"-\" and \"_\"";
}

const char *check_folder(char *text) {
    struct slice rest = slice_of(text), part;
    bool good = rest.n && all_in(text, "/-._");
    while (slice_next(&rest, '/', &part))
        if (!part.n || part.p[0] == '.') good = false;
    return good ? NULL : "must be a folder below the site's scripts, such as \"public\"";
}

const char *check_library(char *text) { return strcmp(text, "cjson") ? "must be \"cjson\"" : NULL; }

/* What stands behind the scheme is read where it is used. */
const char *check_store(char *text) {
    struct url url;
    if (!strcmp(text, "memory") || (!strncmp(text, "sqlite:", 7) && text[7])) return NULL;
    static const char *const schemes[] = {"redis", "rediss", "unix", "redis+sentinel",
                                          "rediss+sentinel"};
    bool known = url_parse(slice_of(text), &url);
    size_t i = 0, n = sizeof schemes / sizeof *schemes;
    while (known && i < n && !slice_is(url.scheme, schemes[i])) i++;
    return known && i < n ? NULL
                          : "must be \"memory\", \"sqlite:PATH\", \"redis://HOST:6379/0\" or "
                            "\"unix:///PATH\"";
}

const char *check_transport(char *text) {
    bool known = !strcmp(text, "websocket") || !strcmp(text, "sockjs") || !strcmp(text, "engineio");
    return known ? NULL : "must be \"websocket\", \"sockjs\" or \"engineio\"";
}

const char *check_dialect(char *text) {
    bool known = !strcmp(text, "token") || !strcmp(text, "raw") || !strcmp(text, "socketio");
    return known ? NULL : "must be \"token\", \"raw\" or \"socketio\"";
}

const char *check_namespace(char *text) {
    bool good = text[0] == '/' && strlen(text) <= 128;
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr(",?", *p)) good = false;
    return good ? NULL : "must be a namespace such as \"/chat\", without , ? or spaces";
}

const char *check_url(char *text) {
    bool good = text[0] == '/' || !strncmp(text, "http://", 7) || !strncmp(text, "https://", 8);
    for (const char *p = text; *p; p++)
        if (!isgraph((unsigned char)*p) || strchr("\"'<>`\\", *p)) good = false;
    return good ? NULL : "must start with \"/\", \"http://\" or \"https://\"";
}

/* Names and passwords would end up in what is printed. */
const char *check_backend(char *text) {
    struct url url;
    struct slice host;
    unsigned port;
    bool good = !strchr(text, '#') && url_parse(slice_of(text), &url) &&
                (slice_is(url.scheme, "http") || slice_is(url.scheme, "https")) && !url.user.p &&
                url_next_host(&url.hosts, &host, 80, &port) && !url.hosts.n;
    return good ? NULL : "must be a URL such as \"https://example.com/auth\", without a password";
}

const char *check_scheme(char *text) {
    return *text && all_in(text, "!#$%&'*+-.^_`|~") ? NULL : "must be a word such as \"Bearer\"";
}

const char *check_room(char *text) {
    bool good = *text && strlen(text) <= 255 && *text != '$';
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr("*?[]\\", *p)) good = false;
    return good ? NULL : "must be printable ASCII, without spaces and * ? [ ] \\";
}

/* A list of subprotocols in one text, kept without spaces: "chat,v2". */
const char *check_protocols(char *text) {
    struct slice rest = slice_of(text), part;
    char *end = text;
    if (!rest.n) return NULL;
    while (slice_next(&rest, ',', &part)) {
        part = slice_trim(part);
        if (!part.n) return "must be names, with commas between them";
        if (end != text) *end++ = ',';
        for (size_t i = 0; i < part.n; i++, end++) {
            *end = part.p[i];
            if (!isalnum((unsigned char)*end) && !strchr("!#$%&'*+-.^_`|~", *end))
                return "must be names, with commas between them";
        }
    }
    *end = 0;
    return NULL;
}
