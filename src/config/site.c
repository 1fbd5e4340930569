/* SPDX-License-Identifier: MIT */
#include "config/site.h"

#include "config/channels.h"
#include "config/checks.h"
#include "config/options.h"
#include "config/paths.h"
#include "config/push.h"

/* A site's conf file: its table of keys, that of its endpoints, and what no single key can tell:
 * limits above the gateway's, defaults that come from other keys, paths that stand twice, folders
 * that are not there. */

/* ---- endpoints ---- */

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

static void endpoints_read(struct reader *r, const struct conf_value *v, struct site_conf *site) {
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

/* ---- Socket.IO ---- */

/* true stands for the prefix that emitters have by themselves. */
static void emitter_read(struct reader *r, const struct key *key, const struct conf_value *v,
                         void *field) {
    char **prefix = field;
    if (v->type != CONF_BOOL || !v->flag) {
        key_maybe_read(r, key, v, field);
        return;
    }
    mem_free(*prefix);
    *prefix = slice_cstr(SLICE("socket.io"));
}

static const struct key_type key_emitter = {.name = "true, false or a text",
                                            .texts = true,
                                            .init = key_text_init,
                                            .read = emitter_read,
                                            .print = key_text_print,
                                            .fini = key_text_fini};

/* A namespace is a way in without a path of its own. */
static void namespaces_make(struct reader *r, const struct conf_value *given,
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

/* ---- the site ---- */

/* token = false: no token route. */
static void token_read(struct reader *r, const struct key *key, const struct conf_value *v,
                       void *field) {
    if (v->type != CONF_BOOL) {
        reader_refuse(r, key, v, "must be a table or false");
        return;
    }
    if (v->flag) return;
    mem_free(*(char **)field);
    *(char **)field = slice_cstr(SLICE(""));
}

static void token_print(struct printer *p, const struct key *key, const void *field) {
    (void)key, (void)field;
    text_str(p->out, "false");
}

static bool token_is_on(const void *field) { return **(char *const *)field; }

static const struct key_type key_token = {
    .name = "a table or false", .read = token_read, .print = token_print, .is_on = token_is_on};

/* Folders are kept with the scripts' folder before them, and printed without. */
static const char *below_scripts(const struct config *config, const char *path) {
    path += strlen(config->scripts_dir);
    return *path == '/' ? path + 1 : path;
}

static void script_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    const char *path = *(char *const *)field;
    if (path) print_quoted(p->out, slice_of(below_scripts(p->config, path)));
    else text_str(p->out, "false");
}

static void static_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    const char *path = *(char *const *)field;
    if (path) print_quoted(p->out, slice_of(strchr(below_scripts(p->config, path), '/') + 1));
    else text_str(p->out, "false");
}

static const struct key_type key_script = {.name = "a folder's name or false",
                                           .init = key_text_init,
                                           .read = key_maybe_read,
                                           .print = script_print,
                                           .fini = key_text_fini};
static const struct key_type key_static = {.name = "a folder or false",
                                           .init = key_text_init,
                                           .read = key_maybe_read,
                                           .print = static_print,
                                           .fini = key_text_fini};

/* A limit of the process, in a site. */
static void process_read(struct reader *r, const struct key *key, const struct conf_value *v,
                         void *field) {
    (void)field;
    reader_complain(r, v->line, "%s is a limit of the whole process; set it in gateway.lua",
                    key->name);
}

static const struct key_type key_process = {.name = "a limit of the process", .read = process_read};

#define SITE(field) offsetof(struct site_conf, field)
#define SITE_LIMIT(name) (SITE(limits) + offsetof(struct limits, name))

/* A site's limit is printed where it differs from the gateway's. */
static bool same_as_gateway(const struct printer *p, const struct key *key, const void *object) {
    size_t offset = key->offset - SITE(limits);
    return limit_at(&((const struct site_conf *)object)->limits, offset) ==
           limit_at(&p->config->limits, offset);
}

/* A second name of another key. */
static bool always(const struct printer *p, const struct key *key, const void *object) {
    (void)p, (void)key, (void)object;
    return true;
}

#define ROW_SITE(name, kind, standard, least, greatest, help)                                      \
    {"limits." #name, KEY_##kind, SITE_LIMIT(name), standard, least, greatest, help,               \
     "the gateway's", NULL, same_as_gateway},
#define ROW_PROCESS(name, kind, standard, least, greatest, help)                                   \
    {"limits." #name, &key_process, SITE_LIMIT(name), 0, 0, 0, help, NULL, NULL, NULL},

static const struct key site_keys[] = {
    {.name = "path", .type = &key_text, .offset = SITE(path), .check = check_path,
     .help = "where the site stands; default \"/\" and its name"},
    {.name = "hosts", .type = &key_texts, .offset = SITE(hosts), .check = check_host,
     .help = "names by which a Host header means this site; default: none, found by path"},
    {.name = "origins", .type = &key_texts, .offset = SITE(origins), .check = check_origin,
     .help = "origins of pages that may use it, \"*\" for any; default: none but its own host"},
    {.name = "listen", .type = &key_texts, .offset = SITE(listen), .check = check_address,
     .help = "addresses of its own; default: none"},
    {.name = "endpoints", .type = &key_endpoints, .offset = SITE(endpoints),
     .help = "ways in; default /sockets with sockjs and /ws with websocket, both with token"},
    {.name = "socketio.namespaces", .type = &key_texts, .offset = SITE(socketio.namespaces),
     .check = check_namespace,
     .help = "by which clients of Socket.IO mean this site; default \"/\" and its name"},
    {.name = "socketio.auth", .type = &key_choice, .offset = SITE(socketio.auth),
     .standard = AUTH_REQUEST, .text = "token|request|none",
     .help = "what lets them in: site.authentication, a token, or nothing"},
    {.name = "socketio.recovery", .type = &key_time, .offset = SITE(socketio.recovery_ms),
     .standard = LIMIT_OFF, .least = 1000, .greatest = 86400000,
     .help = "for so long a client whose connection was lost may come back and get what it missed"},
    {.name = "socketio.recovery_messages", .type = &key_count,
     .offset = SITE(socketio.recovery_messages), .standard = 1000, .least = 1, .greatest = 1000000,
     .help = "events that are kept for those, of the whole site"},
    {.name = "socketio.emitter", .type = &key_emitter, .offset = SITE(socketio.emitter),
     .help = "true, or the prefix: events of backends' redis emitters on the same Redis come too"},
    {.name = "token", .type = &key_token, .offset = SITE(token.path),
     .help = "the route that issues login tokens: a table, or false for none"},
    {.name = "token.path", .type = &key_text, .offset = SITE(token.path), .text = "/socket/token",
     .check = check_path, .help = "below the site's path"},
    {.name = "token.ttl", .type = &key_time, .offset = SITE(token.ttl_ms), .standard = 30000,
     .least = 100, .greatest = 86400000, .help = "how long a token waits for its socket"},
    {.name = "token.jsonp", .type = &key_choice, .offset = SITE(token.jsonp),
     .text = "listed|any|off",
     .help = "pages that may ask by JSONP: own host and origins, any, none"},
    {.name = "token.jsonp_errors", .type = &key_bool, .offset = SITE(token.jsonp_errors),
     .help = "answer JSONP errors with 200, so that a page can read them"},
    {.name = "token.cors", .type = &key_bool, .offset = SITE(token.cors),
     .help = "CORS headers for listed origins"},
    {.name = "token.reauth", .type = &key_bool, .offset = SITE(token.reauth),
     .help = "a second auth message replaces the data of the first"},
    {.name = "push.api_key", .type = &key_api_keys, .offset = SITE(push.api_keys),
     .help = "opens POST /send: a text, or several while one takes the place of another; default: none, nothing does"},
    {.name = "push.api_key_in_query", .type = &key_bool, .offset = SITE(push.api_key_in_query),
     .standard = true, .help = "take it from the query, ?apiKey=, and not from headers alone"},
    {.name = "push.weak_api_key", .type = &key_bool, .offset = SITE(push.weak_api_key),
     .help = "a key may have less than 32 characters"},
    {.name = "push.auth_url", .type = &key_maybe, .offset = SITE(push.auth_url),
     .check = check_backend,
     .help = "a backend that judges logins instead of the script, and names the client's rooms; default \"off\""},
    {.name = "push.auth_scheme", .type = &key_text, .offset = SITE(push.auth_scheme),
     .text = "Bearer", .check = check_scheme,
     .help = "what stands before the client's token in the Authorization header"},
    {.name = "push.auth_timeout", .type = &key_time, .offset = SITE(push.auth_timeout_ms),
     .standard = 10000, .least = 10, .greatest = 600000, .help = "for its answer"},
    {.name = "push.missing", .type = &key_either, .offset = SITE(push.say_undefined),
     .text = "empty|undefined",
     .help = "how a token or meta that the client does not give is sent"},
    {.name = "push.user_room_prefix", .type = &key_maybe, .offset = SITE(push.user_room_prefix),
     .check = check_room,
     .help = "rooms that begin with it are users, whose messages wait until they are acknowledged; default \"off\""},
    {.name = "push.public_channel", .type = &key_maybe, .offset = SITE(push.public_channel),
     .check = check_room, .help = "this room is a user as well, of anybody; default \"off\""},
    {.name = "push.update_user_url", .type = &key_maybe, .offset = SITE(push.update_user_url),
     .check = check_backend,
     .help = "is told with PUT when a user comes or goes; \":id\" in it is the user's; default \"off\""},
    {.name = "push.device_ttl", .type = &key_time, .offset = SITE(push.device_ttl_ms),
     .standard = 3600000, .greatest = 31536000000,
     .help = "what waits for a device is kept for so long after it left; 0: for ever"},
    {.name = "push.client_ttl", .type = &key_time, .offset = SITE(push.device_ttl_ms),
     .standard = 3600000, .greatest = 31536000000, .omit = always,
     .help = "the older name of device_ttl"},
    {.name = "push.names", .type = &key_either, .offset = SITE(push.plain_names),
     .text = "_batch|batch",
     .help = "of the gateway's own events: _batch, _resync and _settings, or batch and resync"},
    {.name = "push.resync", .type = &key_bool, .offset = SITE(push.resync),
     .help = "every message is sent as with resync"},
    {.name = "options", .type = &key_options, .offset = SITE(options),
     .help = "any plain values: site.options in the script"},
    {.name = "libraries", .type = &key_texts, .offset = SITE(libraries), .check = check_library,
     .help = "Lua modules from outside that the script may require: \"cjson\"; default: none"},
    {.name = "script", .type = &key_script, .offset = SITE(script), .check = check_name,
     .help = "folder of init.lua among the scripts, or false; default: the site's name"},
    {.name = "user", .type = &key_text, .offset = SITE(user), .text = "off",
     .help = "member of the auth data that names the user, for max_connections_per_user, or \"off\""},
    {.name = "static", .type = &key_static, .offset = SITE(static_dir), .check = check_folder,
     .help = "folder in that of the script whose files are served below path; default false"},
    {.name = "slow", .type = &key_choice, .offset = SITE(slow), .text = "close|drop",
     .help = "what happens to a socket that does not keep up"},
    {.name = "channels", .type = &key_channels, .offset = SITE(channels),
     .help = "what is special about channels, by pattern: { [\"room:*\"] = { history = { size = 100 } } }"},
    {.name = "redis.layout", .type = &key_choice, .offset = SITE(layout),
     .text = "moonlatch|node-token-sockjs",
     .help = "names and forms of its tokens and channels in Redis"},
#define LIMIT(name, kind, standard, least, greatest, scope, help)                                  \
    ROW_##scope(name, kind, standard, least, greatest, help)
#include "base/limits.def"
#undef LIMIT
    {0},
};

/* A limit may be lowered, and raised as far as the gateway lets it. */
static void site_check_limits(struct reader *r, const struct config *config,
                              const struct conf_value *limits, const struct site_conf *site) {
    for (const struct limit_row *row = limit_rows; row->name && limits; row++) {
        const struct conf_value *given = conf_get(limits, row->name);
        if (!given || row->scope != LIMIT_SITE) continue;
        if (limit_at(&site->limits, row->offset) > limit_at(&config->most, row->offset))
            reader_complain(r, given->line,
                            "limits.%s is above the gateway's; gateway.lua may allow it with "
                            "limits.max.%s",
                            row->name, row->name);
    }
}

/* Puts the scripts' folder before script and static, and looks whether they are there. */
static void site_find_folders(struct reader *r, const struct config *config,
                              const struct conf_value *table, struct site_conf *site) {
    char *script = site->script, *files = site->static_dir;
    if (!script && !files) return;
    if (!config->scripts_dir) {
        site->script = site->static_dir = NULL;
        reader_complain(r, table->line, "there is no folder of scripts; name one with --scripts");
    } else {
        char *folder = path_join(config->scripts_dir, script ? script : site->name);
        site->static_dir = files ? path_join(folder, files) : NULL;
        site->script = script ? folder : NULL;
        char *init = path_join(folder, "init.lua");
        if (script && !path_is_file(init))
            reader_complain(r, conf_line(table, "script"),
                            "there is no %s; a site without script says script = false", init);
        if (files && !path_is_folder(site->static_dir))
            reader_complain(r, conf_line(table, "static"), "there is no folder %s",
                            site->static_dir);
        mem_free(init);
        if (!script) mem_free(folder);
    }
    mem_free(script);
    mem_free(files);
}

void config_site_read(struct reader *r, const struct config *config, const char *name,
                      const struct conf_value *table, struct site_conf *site) {
    struct text path = {0};
    text_char(&path, '/');
    text_str(&path, name);
    *site = (struct site_conf){.name = slice_cstr(slice_of(name)),
                               .file = slice_cstr(slice_of(r->file))};
    keys_init(site_keys, site);
    site->path = slice_cstr(text_slice(&path));
    site->script = slice_cstr(slice_of(name));
    site->limits = config->limits;
    text_fini(&path);
    keys_read(r, site_keys, table, site);
    site_check_limits(r, config, conf_get(table, "limits"), site);
    config_channels_read(r, conf_get(table, "channels"), site);
    config_push_check(r, conf_get(table, "push"), site);
    const struct conf_value *endpoints = conf_get(table, "endpoints");
    if (endpoints) endpoints_read(r, endpoints, site);
    else endpoints_standard(site);
    namespaces_make(r, conf_get(table, "socketio"), site);
    site_find_folders(r, config, table, site);
}

void config_shared_read(struct reader *r, const struct config *config,
                        const struct conf_value *v, struct site_conf *shared) {
    *shared = (struct site_conf){.name = slice_cstr(SLICE("socket.io")),
                                 .file = slice_cstr(slice_of(r->file))};
    keys_init(site_keys, shared);
    shared->path = slice_cstr(SLICE("/"));
    shared->limits = config->limits;
    if (v) endpoints_read(r, v, shared);
    else shared_standard(shared);
    if (v && v->type == CONF_TABLE) shared_check(r, v, shared);
}

void config_site_fini(struct site_conf *site) {
    for (size_t i = 0; i < site->namespace_count; i++)
        keys_fini(endpoint_keys, &site->namespaces[i]);
    mem_free(site->namespaces);
    for (size_t i = 0; i < site->endpoint_count; i++)
        keys_fini(endpoint_keys, &site->endpoints[i]);
    mem_free(site->endpoints);
    config_channels_fini(site);
    keys_fini(site_keys, site);
    mem_free(site->name);
    mem_free(site->file);
}

void config_site_print(struct printer *p, const struct site_conf *site) {
    keys_print(p, site_keys, site);
}

bool config_site_alike(const struct config *config, const struct site_conf *a,
                       const struct site_conf *b) {
    struct site_conf with_same_options = *a;
    struct text texts[2] = {{0}, {0}};
    with_same_options.options = b->options;
    const struct site_conf *both[] = {&with_same_options, b};
    for (int i = 0; i < 2; i++)
        config_site_print(&(struct printer){.out = &texts[i], .config = config}, both[i]);
    bool alike = slice_eq(text_slice(&texts[0]), text_slice(&texts[1]));
    for (int i = 0; i < 2; i++) text_fini(&texts[i]);
    return alike;
}

static const char *common_text(char **a, char **b) {
    for (; *a; a++)
        for (char **other = b; *other; other++)
            if (!strcmp(*a, *other)) return *a;
    return NULL;
}

const char *config_sites_clash(const struct site_conf *a, const struct site_conf *b) {
    const char *address = common_text(a->listen, b->listen);
    if (address && !slice_ends(slice_of(address), SLICE(":0"))) return "its address";
    if (common_text(a->socketio.namespaces, b->socketio.namespaces))
        return "its Socket.IO namespace";
    if (strcmp(a->path, b->path)) return NULL;
    if (common_text(a->hosts, b->hosts)) return "its path and host";
    bool by_path = !a->hosts[0] && !b->hosts[0] && !a->listen[0] && !b->listen[0];
    return by_path ? "its path" : NULL;
}
