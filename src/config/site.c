/* SPDX-License-Identifier: MIT */
#include "config/site.h"

#include "config/channels.h"
#include "config/checks.h"
#include "config/endpoints.h"
#include "config/options.h"
#include "config/paths.h"
#include "config/push.h"

/* A site's conf file: its table of keys, and what no single key can tell: limits above the
 * gateway's, defaults that come from other keys, folders that are not there. */

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
     .help = "true, or the prefix: events of backends' redis emitters on the same Redis come too; default off"},
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
    config_endpoints_read(r, conf_get(table, "endpoints"), site);
    config_namespaces_make(r, conf_get(table, "socketio"), site);
    site_find_folders(r, config, table, site);
}

void config_shared_read(struct reader *r, const struct config *config,
                        const struct conf_value *v, struct site_conf *shared) {
    *shared = (struct site_conf){.name = slice_cstr(SLICE("socket.io")),
                                 .file = slice_cstr(slice_of(r->file))};
    keys_init(site_keys, shared);
    shared->path = slice_cstr(SLICE("/"));
    shared->limits = config->limits;
    config_shared_endpoints_read(r, v, shared);
}

void config_site_fini(struct site_conf *site) {
    config_endpoints_fini(site);
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
