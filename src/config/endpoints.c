/* SPDX-License-Identifier: MIT */
#include "config/endpoints.h"

#include "config/checks.h"
#include "config/paths.h"

/* Subprotocols: a text or a list, kept as one text. */
static void protocols_read(struct reader *r, const struct key *key, const struct conf_value *v,
                           void *field) {
    struct text joined = {0};
    LIST_EACH(&v->items, link) {
        const struct conf_value *item = container_of(link, struct conf_value, link);
        if (item->key || item->type != CONF_STRING) {
            reader_refuse(r, key, item, "must be a list of texts");
            text_fini(&joined);
            return;
        }
        if (joined.n) text_char(&joined, ',');
        text_str(&joined, item->string);
    }
    if (v->type != CONF_TABLE) {
        key_text_read(r, key, v, field);
        return;
    }
    char *whole = slice_cstr(text_slice(&joined));
    const struct conf_value text = {.line = v->line, .type = CONF_STRING, .string = whole};
    key_text_read(r, key, &text, field);
    mem_free(whole);
    text_fini(&joined);
}

static const struct key_type key_protocols = {.name = "a list of texts",
                                              .init = key_text_init,
                                              .read = protocols_read,
                                              .print = key_text_print,
                                              .fini = key_text_fini};

static bool is_not(const struct endpoint_conf *ep, const char *transport) {
    return !ep->transport || strcmp(ep->transport, transport) != 0;
}

static bool only_sockjs(const struct printer *p, const struct key *key, const void *object) {
    (void)p, (void)key;
    return is_not(object, "sockjs");
}

static bool only_engineio(const struct printer *p, const struct key *key, const void *object) {
    (void)p, (void)key;
    return is_not(object, "engineio");
}

#define ENDPOINT(field) offsetof(struct endpoint_conf, field)

static const struct key endpoint_keys[] = {
    {.name = "path", .type = &key_text, .offset = ENDPOINT(path), .check = check_path,
     .help = "below the site's path"},
    {.name = "transport", .type = &key_text, .offset = ENDPOINT(transport),
     .check = check_transport, .help = "\"websocket\", \"sockjs\" or \"engineio\""},
    {.name = "dialect", .type = &key_text, .offset = ENDPOINT(dialect), .text = "token",
     .check = check_dialect, .help = "how messages are spoken: \"token\", \"raw\" or, on engineio, \"socketio\""},
    {.name = "auth", .type = &key_choice, .offset = ENDPOINT(auth), .text = "token|request|none",
     .help = "what lets a client in; default for \"raw\" \"none\", for \"socketio\" \"request\""},
    {.name = "max_message", .type = &key_size, .offset = ENDPOINT(max_message), .least = 16,
     .greatest = 16777216, .text = "limits.ws_max_message",
     .help = "bytes of a WebSocket message, after inflating"},
    {.name = "max_fragments", .type = &key_count, .offset = ENDPOINT(max_fragments), .least = 1,
     .greatest = 65536, .text = "limits.ws_max_fragments", .help = "frames of a WebSocket message"},
    {.name = "compress", .type = &key_bool, .offset = ENDPOINT(compress),
     .help = "permessage-deflate, where the client offers it: true, or a table with details"},
    {.name = "compress.level", .type = &key_int, .offset = ENDPOINT(compress_level), .standard = 6,
     .least = 1, .greatest = 9, .help = "effort"},
    {.name = "compress.min", .type = &key_size, .offset = ENDPOINT(compress_min), .standard = 1024,
     .greatest = 16777216, .help = "shorter messages go out as they are"},
    {.name = "compress.window_bits", .type = &key_int, .offset = ENDPOINT(window_bits),
     .standard = 12, .least = 9, .greatest = 15,
     .help = "the largest window, 2^bits bytes, both ways"},
    {.name = "compress.context_takeover", .type = &key_bool, .offset = ENDPOINT(context_takeover),
     .help = "keep the window from message to message: smaller, and more memory"},
    {.name = "protocols", .type = &key_protocols, .offset = ENDPOINT(protocols), .text = "",
     .check = check_protocols, .help = "WebSocket subprotocols, first choice first; \"*\": any"},
    {.name = "ping", .type = &key_bool, .offset = ENDPOINT(ping), .standard = true,
     .help = "send WebSocket pings every limits.ws_ping_interval"},
    {.name = "response_limit", .type = &key_size, .offset = ENDPOINT(response_limit), .least = 1024,
     .greatest = 104857600, .text = "limits.sockjs_response_limit", .omit = only_sockjs,
     .help = "bytes of one streaming response"},
    {.name = "heartbeat", .type = &key_time, .offset = ENDPOINT(heartbeat_ms), .least = 100,
     .greatest = 34000, .text = "limits.sockjs_heartbeat", .omit = only_sockjs,
     .help = "between heartbeats"},
    {.name = "disconnect_delay", .type = &key_time, .offset = ENDPOINT(disconnect_delay_ms),
     .least = 100, .greatest = 600000, .text = "limits.sockjs_disconnect_delay",
     .omit = only_sockjs, .help = "a session without receiver is closed"},
    {.name = "websocket", .type = &key_bool, .offset = ENDPOINT(websocket), .standard = true,
     .omit = only_sockjs, .help = "offer WebSocket among the transports of SockJS"},
    {.name = "jsessionid", .type = &key_bool, .offset = ENDPOINT(jsessionid), .omit = only_sockjs,
     .help = "set the cookie that sticky load balancers look at"},
    {.name = "sockjs_url", .type = &key_text, .offset = ENDPOINT(sockjs_url),
     .text = "https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js", .check = check_url,
     .omit = only_sockjs, .help = "the client's script, for the iframe page"},
    {.name = "ping_interval", .type = &key_time, .offset = ENDPOINT(ping_interval_ms), .least = 100,
     .greatest = 600000, .text = "limits.eio_ping_interval", .omit = only_engineio,
     .help = "between pings: ours, or with protocol 3 the client's"},
    {.name = "ping_timeout", .type = &key_time, .offset = ENDPOINT(ping_timeout_ms), .least = 100,
     .greatest = 600000, .text = "limits.eio_ping_timeout", .omit = only_engineio,
     .help = "for the answer, or how late a client's ping may be"},
    {.name = "upgrade_timeout", .type = &key_time, .offset = ENDPOINT(upgrade_timeout_ms),
     .least = 100, .greatest = 600000, .text = "limits.eio_upgrade_timeout",
     .omit = only_engineio, .help = "for a client to move from polling to a WebSocket"},
    {.name = "max_payload", .type = &key_size, .offset = ENDPOINT(max_payload), .least = 1024,
     .greatest = 16777216, .text = "limits.eio_max_payload", .omit = only_engineio,
     .help = "bytes of a body, where http_max_body allows as much"},
    {.name = "eio3", .type = &key_bool, .offset = ENDPOINT(eio3), .standard = true,
     .omit = only_engineio, .help = "serve clients of protocol 3 too (1.x and 2.x)"},
    {.name = "cookie", .type = &key_bool, .offset = ENDPOINT(cookie), .omit = only_engineio,
     .help = "set the cookie io, which sticky load balancers may look at"},
    {.name = "client", .type = &key_maybe, .offset = ENDPOINT(client), .omit = only_engineio,
     .help = "folder of the client's scripts, served below path: socket.io.js; default \"off\""},
    {0},
};

static void endpoint_init(struct endpoint_conf *ep, const struct limits *limits) {
    keys_init(endpoint_keys, ep);
    ep->max_message = limits->ws_max_message;
    ep->max_fragments = limits->ws_max_fragments;
    ep->response_limit = limits->sockjs_response_limit;
    ep->heartbeat_ms = limits->sockjs_heartbeat;
    ep->disconnect_delay_ms = limits->sockjs_disconnect_delay;
    ep->ping_interval_ms = limits->eio_ping_interval;
    ep->ping_timeout_ms = limits->eio_ping_timeout;
    ep->upgrade_timeout_ms = limits->eio_upgrade_timeout;
    ep->max_payload = limits->eio_max_payload;
}

static struct endpoint_conf *endpoint_add(struct site_conf *site) {
    site->endpoints =
        mem_grow(site->endpoints, (site->endpoint_count + 1) * sizeof *site->endpoints);
    struct endpoint_conf *ep = &site->endpoints[site->endpoint_count++];
    *ep = (struct endpoint_conf){0};
    endpoint_init(ep, &site->limits);
    return ep;
}

static enum auth_mode standard_auth(const char *dialect) {
    if (!strcmp(dialect, "raw")) return AUTH_NONE;
    return strcmp(dialect, "socketio") ? AUTH_TOKEN : AUTH_REQUEST;
}

static void endpoint_read(struct reader *r, const struct conf_value *v, struct endpoint_conf *ep) {
    if (v->key || v->type != CONF_TABLE) {
        reader_complain(r, v->line, "endpoints must be a list of tables");
        return;
    }
    keys_read(r, endpoint_keys, v, ep);
    if (!conf_get(v, "auth")) ep->auth = standard_auth(ep->dialect);
    struct slice path = slice_upto(text_slice(&r->path), r->path.n - 1);
    if (ep->client && !path_is_folder(ep->client))
        reader_complain(r, conf_line(v, "client"), "there is no folder %s", ep->client);
    if (!strcmp(ep->dialect, "socketio") && is_not(ep, "engineio") && ep->transport)
        reader_complain(r, conf_line(v, "dialect"),
                        "%.*s.dialect \"socketio\" is for transport \"engineio\" only",
                        (int)path.n, path.p);
    if (!conf_get(v, "path"))
        reader_complain(r, v->line, "%.*s has no path", (int)path.n, path.p);
    if (!conf_get(v, "transport"))
        reader_complain(r, v->line,
                        "%.*s has no transport: \"websocket\", \"sockjs\" or \"engineio\"",
                        (int)path.n, path.p);
    for (const struct key *key = endpoint_keys; key->name && ep->transport; key++) {
        const struct conf_value *given = key->omit ? conf_get(v, key->name) : NULL;
        if (given && key->omit(NULL, key, ep))
            reader_complain(r, given->line, "%.*s.%s is for transport \"%s\" only", (int)path.n,
                            path.p, key->name, key->omit == only_sockjs ? "sockjs" : "engineio");
    }
}

/* Without endpoints in the conf, a site has these two. */
static void endpoints_standard(struct site_conf *site) {
    struct endpoint_conf *ep = endpoint_add(site);
    ep->path = slice_cstr(SLICE("/sockets"));
    ep->transport = slice_cstr(SLICE("sockjs"));
    ep = endpoint_add(site);
    ep->path = slice_cstr(SLICE("/ws"));
    ep->transport = slice_cstr(SLICE("websocket"));
}

static void complain_same_path(struct reader *r, const struct conf_value *v, const char *path) {
    reader_complain(r, v->line, "%.*spath \"%s\" is taken", (int)r->path.n,
                    text_slice(&r->path).p, path);
}

static void endpoint_check_path(struct reader *r, const struct site_conf *site,
                                const struct endpoint_conf *ep, const struct conf_value *v) {
    if (!ep->path) return;
    bool taken = !strcmp(site->token.path, ep->path);
    for (const struct endpoint_conf *other = site->endpoints; other < ep; other++)
        if (other->path && !strcmp(other->path, ep->path)) taken = true;
    if (taken) complain_same_path(r, v, ep->path);
}

static void list_read(struct reader *r, const struct conf_value *v, struct site_conf *site) {
    if (v->type != CONF_TABLE) reader_complain(r, v->line, "endpoints must be a list of tables");
    LIST_EACH(&v->items, link) {
        const struct conf_value *item = container_of(link, struct conf_value, link);
        struct endpoint_conf *ep = endpoint_add(site);
        text_format(&r->path, "endpoints[%zu].", site->endpoint_count);
        endpoint_read(r, item, ep);
        endpoint_check_path(r, site, ep, item);
        text_clear(&r->path);
    }
}

void config_endpoints_read(struct reader *r, const struct conf_value *list,
                           struct site_conf *site) {
    if (list) list_read(r, list, site);
    else endpoints_standard(site);
}

/* ---- Socket.IO ---- */

void config_namespaces_make(struct reader *r, const struct conf_value *given,
                            struct site_conf *site) {
    struct text own = {0};
    text_char(&own, '/');
    text_str(&own, site->name);
    if (!conf_get(given, "namespaces")) texts_add(&site->socketio.namespaces, text_slice(&own));
    text_fini(&own);
    bool recovers = site->socketio.recovery_ms != LIMIT_OFF;
    if (recovers && site->layout == LAYOUT_NODE_TOKEN_SOCKJS)
        reader_complain(r, conf_line(given, "recovery"),
                        "socketio.recovery is not to be had with the layout of node-token-sockjs");
    site->emissions =
        (struct channel_conf){.history = recovers,
                              .history_size = site->socketio.recovery_messages,
                              .history_ttl_ms = recovers ? site->socketio.recovery_ms : 0};
    for (char **name = site->socketio.namespaces; *name; name++) {
        site->namespaces =
            mem_grow(site->namespaces, (site->namespace_count + 1) * sizeof *site->namespaces);
        struct endpoint_conf *ns = &site->namespaces[site->namespace_count++];
        *ns = (struct endpoint_conf){0};
        endpoint_init(ns, &site->limits);
        ns->path = slice_cstr(slice_of(*name));
        ns->auth = site->socketio.auth;
    }
}

/* The endpoints of the whole gateway have no site whose script could judge. */
static void shared_check(struct reader *r, const struct conf_value *v, struct site_conf *shared) {
    size_t i = 0;
    LIST_EACH(&v->items, link) {
        const struct conf_value *item = container_of(link, struct conf_value, link);
        struct endpoint_conf *ep = &shared->endpoints[i++];
        if (!ep->dialect || strcmp(ep->dialect, "socketio"))
            reader_complain(r, item->line,
                            "endpoints[%zu] is for all sites: its dialect must be \"socketio\"", i);
        if (conf_get(item, "auth") && ep->auth != AUTH_NONE)
            reader_complain(r, conf_line(item, "auth"),
                            "endpoints[%zu].auth is for each site to say: socketio.auth", i);
        ep->auth = AUTH_NONE;
    }
}

static void shared_standard(struct site_conf *shared) {
    struct endpoint_conf *ep = endpoint_add(shared);
    mem_free(ep->dialect);
    ep->path = slice_cstr(SLICE("/socket.io"));
    ep->transport = slice_cstr(SLICE("engineio"));
    ep->dialect = slice_cstr(SLICE("socketio"));
    ep->auth = AUTH_NONE;
}

void config_shared_endpoints_read(struct reader *r, const struct conf_value *list,
                                  struct site_conf *shared) {
    if (list) list_read(r, list, shared);
    else shared_standard(shared);
    if (list && list->type == CONF_TABLE) shared_check(r, list, shared);
}

/* ---- both ---- */

static void endpoints_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    const struct site_conf *site = container_of(field, struct site_conf, endpoints);
    text_str(p->out, "{\n");
    p->depth++;
    for (size_t i = 0; i < site->endpoint_count; i++) {
        print_indent(p);
        text_str(p->out, "{\n");
        p->depth++;
        keys_print(p, endpoint_keys, &site->endpoints[i]);
        p->depth--;
        print_indent(p);
        text_str(p->out, "},\n");
    }
    p->depth--;
    print_indent(p);
    text_str(p->out, "}");
}

/* Endpoints start from the site's limits, so they are read when those are known. */
static void read_later(struct reader *r, const struct key *key, const struct conf_value *v,
                       void *field) {
    (void)r, (void)key, (void)v, (void)field;
}

const struct key_type key_endpoints = {
    .name = "a list of tables", .read = read_later, .print = endpoints_print};

void config_endpoints_fini(struct site_conf *site) {
    for (size_t i = 0; i < site->namespace_count; i++)
        keys_fini(endpoint_keys, &site->namespaces[i]);
    mem_free(site->namespaces);
    for (size_t i = 0; i < site->endpoint_count; i++)
        keys_fini(endpoint_keys, &site->endpoints[i]);
    mem_free(site->endpoints);
}
