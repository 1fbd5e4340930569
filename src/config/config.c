/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "config/checks.h"
#include "config/endpoints.h"
#include "config/keys.h"
#include "config/paths.h"
#include "config/site.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Puts the configuration together: gateway.lua, over it what the command line sets, then every
 * site, those of sites/NAME.lua and those written into gateway.lua's own table `sites`. Reading
 * goes on after a mistake, so that all of them are reported at once. */

/* ---- gateway.lua ---- */

static void blocks_init(const struct key *key, void *field) {
    (void)key;
    *(struct cidr **)field = NULL;
}

static void blocks_add(struct reader *r, const struct key *key, const struct conf_value *v,
                       struct config *config) {
    struct cidr block;
    if (v->key || v->type != CONF_STRING || !cidr_parse(slice_of(v->string), &block)) {
        reader_refuse(r, key, v, "must be addresses or blocks such as \"10.0.0.0/8\"");
        return;
    }
    size_t n = config->trusted_count++;
    config->trusted_proxies = mem_grow(config->trusted_proxies, (n + 1) * sizeof block);
    config->trusted_proxies[n] = block;
}

static void blocks_read(struct reader *r, const struct key *key, const struct conf_value *v,
                        void *field) {
    struct config *config = container_of(field, struct config, trusted_proxies);
    config->trusted_count = 0;
    if (v->type != CONF_TABLE) blocks_add(r, key, v, config);
    LIST_EACH(&v->items, link) {
        blocks_add(r, key, container_of(link, struct conf_value, link), config);
    }
}

static void blocks_print(struct printer *p, const struct key *key, const void *field) {
    (void)key, (void)field;
    char **texts = texts_new();
    for (size_t i = 0; i < p->config->trusted_count; i++) {
        const struct cidr *block = &p->config->trusted_proxies[i];
        char ip[IP_TEXT_MAX];
        struct text text = {0};
        bool v4 = !strchr(ip_format(&block->ip, ip), ':');
        text_format(&text, "%s/%u", ip, block->bits - (v4 ? 96 : 0));
        texts_add(&texts, text_slice(&text));
        text_fini(&text);
    }
    print_texts(p->out, texts);
    texts_free(texts);
}

static void blocks_fini(void *field) { mem_free(*(struct cidr **)field); }

static const struct key_type key_blocks = {.name = "a list of addresses",
                                           .texts = true,
                                           .list = true,
                                           .init = blocks_init,
                                           .read = blocks_read,
                                           .print = blocks_print,
                                           .fini = blocks_fini};

/* A secret: as a text, but what is wrong with it is said without showing it. */
static void secret_read(struct reader *r, const struct key *key, const struct conf_value *v,
                        void *field) {
    bool off = v->type == CONF_BOOL && !v->flag;
    if (v->type == CONF_STRING) off = !strcmp(v->string, "off");
    const char *must = NULL;
    if (!off) must = v->type == CONF_STRING ? key->check(v->string) : "must be a text";
    if (!must) key_maybe_read(r, key, v, field);
    else reader_complain(r, v->line, "%s %s", key->name, must);
}

/* Long enough that nobody tries them all, and what a header may carry. */
static const char *check_secret(char *text) {
    bool printable = true;
    for (const char *c = text; *c; c++)
        printable = printable && *c > ' ' && *c <= '~';
    if (printable && strlen(text) >= 32) return NULL;
    return "must have 32 printable characters or more, without spaces: `openssl rand -hex 32` "
           "makes one";
}

static const struct key_type key_secret = {.name = "a text",
                                           .texts = true,
                                           .init = key_text_init,
                                           .read = secret_read,
                                           .print = key_text_print,
                                           .fini = key_text_fini};

/* Sites start from the gateway's limits, so they are read when those are known. */
static void read_later(struct reader *r, const struct key *key, const struct conf_value *v,
                       void *field) {
    (void)field;
    if (v->type != CONF_TABLE) reader_refuse(r, key, v, "must be a table of sites");
}

static void sites_print(struct printer *p, const struct key *key, const void *field) {
    (void)key, (void)field;
    text_str(p->out, "{\n");
    p->depth++;
    for (size_t i = 0; i < p->config->site_count; i++) {
        const struct site_conf *site = &p->config->sites[i];
        print_indent(p);
        text_char(p->out, '[');
        print_quoted(p->out, slice_of(site->name));
        text_str(p->out, "] = {\n");
        p->depth++;
        config_site_print(p, site);
        p->depth--;
        print_indent(p);
        text_str(p->out, "},\n");
    }
    p->depth--;
    print_indent(p);
    text_char(p->out, '}');
}

static const struct key_type key_sites = {
    .name = "a table of sites", .read = read_later, .print = sites_print};

#define GATEWAY(field) offsetof(struct config, field)

/* limits.max is printed where it allows more than limits does. */
static bool allows_no_more(const struct printer *p, const struct key *key, const void *object) {
    (void)object;
    size_t offset = key->offset - GATEWAY(most);
    return limit_at(&p->config->most, offset) == limit_at(&p->config->limits, offset);
}

#define ROW_LIMIT(name, kind, standard, least, greatest, help)                                     \
    {"limits." #name, KEY_##kind, GATEWAY(limits) + offsetof(struct limits, name), standard,       \
     least, greatest, help, NULL, NULL, NULL},
#define ROW_PROCESS(name, kind, standard, least, greatest, help)
#define ROW_SITE(name, kind, standard, least, greatest, help)                                      \
    {"limits.max." #name, KEY_##kind, GATEWAY(most) + offsetof(struct limits, name), standard,     \
     least, greatest, NULL, NULL, NULL, allows_no_more},

static const struct key gateway_keys[] = {
    {.name = "listen", .type = &key_texts, .offset = GATEWAY(listen), .text = "127.0.0.1:8000",
     .check = check_address, .help = "addresses; port 0 takes a free one; \"unix:/path\" is the file of a socket"},
    {.name = "store", .type = &key_text, .offset = GATEWAY(store), .text = "memory",
     .check = check_store, .help = "what is shared, tokens and channels: \"memory\", \"sqlite:PATH\", or the URL of a Redis"},
    {.name = "http.ca", .type = &key_maybe, .offset = GATEWAY(http_ca),
     .help = "file of the authorities that https:// backends must be known by; default \"off\", the system's"},
    {.name = "redis.ca", .type = &key_maybe, .offset = GATEWAY(redis_ca),
     .help = "file of the authorities that a rediss:// must be known by; default \"off\", the system's"},
    {.name = "trusted_proxies", .type = &key_blocks, .offset = GATEWAY(trusted_proxies),
     .help = "peers whose X-Forwarded-For is believed: addresses and blocks, \"::\" those on unix sockets; default none"},
    {.name = "log.level", .type = &key_choice, .offset = GATEWAY(log_level), .standard = LOG_INFO,
     .text = "debug|info|warn|error", .help = "what is written to standard error"},
    {.name = "log.format", .type = &key_either, .offset = GATEWAY(log_json), .text = "text|json",
     .help = "key=value, or a JSON object in each line"},
    {.name = "admin.listen", .type = &key_maybe, .offset = GATEWAY(admin), .check = check_address,
     .help = "an address for metrics and, with a key, the verbs, \"127.0.0.1:8001\"; default \"off\""},
    {.name = "admin.socket", .type = &key_maybe, .offset = GATEWAY(admin_socket), .text = "auto",
     .check = check_socket, .help = "the unix socket of the verbs: a path, \"auto\" or \"off\""},
    {.name = "admin.key", .type = &key_secret, .offset = GATEWAY(admin_key), .check = check_secret,
     .help = "opens the verbs at admin.listen to who has it, 32 characters or more; default \"off\""},
    {.name = "metrics", .type = &key_maybe, .offset = GATEWAY(metrics_path), .text = "/metrics",
     .check = check_path, .help = "path of the metrics at the admin address, or \"off\""},
    {.name = "health.live", .type = &key_maybe, .offset = GATEWAY(live_path),
     .text = "/health/live", .check = check_path,
     .help = "path that answers 200 while it runs, or \"off\""},
    {.name = "health.ready", .type = &key_maybe, .offset = GATEWAY(ready_path),
     .text = "/health/ready", .check = check_path,
     .help = "path that answers 200 while it takes clients, or \"off\""},
    {.name = "health.check", .type = &key_maybe, .offset = GATEWAY(check_path),
     .text = "/healthcheck", .check = check_path,
     .help = "path that answers 200 as backends of the push service know it, or \"off\""},
    {.name = "send", .type = &key_maybe, .offset = GATEWAY(send_path), .text = "/send",
     .check = check_path,
     .help = "path of the push service, for the sites that have a push.api_key, or \"off\""},
    {.name = "limits.count_private", .type = &key_bool, .offset = GATEWAY(count_private),
     .help = "limits per address count loopback and private addresses too"},
#define LIMIT(name, kind, standard, least, greatest, scope, help)                                  \
    ROW_LIMIT(name, kind, standard, least, greatest, help)
#include "base/limits.def"
#undef LIMIT
#define LIMIT(name, kind, standard, least, greatest, scope, help)                                  \
    ROW_##scope(name, kind, standard, least, greatest, help)
#include "base/limits.def"
#undef LIMIT
    {.name = "endpoints", .type = &key_endpoints, .offset = GATEWAY(shared.endpoints),
     .help = "ways in for Socket.IO, whose namespaces name the sites; default /socket.io with engineio"},
    {.name = "sites", .type = &key_sites, .offset = GATEWAY(sites),
     .help = "as in sites/NAME.lua, by name"},
    {0},
};

static void set_keys(const char *const *set, struct config *config, struct text *errors) {
    for (; set && *set; set++) {
        struct slice rest = slice_of(*set), name;
        struct reader r = {.file = "--set", .errors = errors};
        slice_next(&rest, '=', &name);
        if (rest.p) keys_set(&r, gateway_keys, name, rest, config);
        else reader_complain(&r, 0, "'%s' is not KEY=VALUE", *set);
    }
}

static void set_listen(const char *const *listen, struct config *config, struct text *errors) {
    if (!listen || !*listen) return;
    struct reader r = {.file = "--listen", .errors = errors};
    texts_free(config->listen);
    config->listen = texts_new();
    for (; *listen; listen++) {
        char *address = slice_cstr(slice_of(*listen));
        const char *must = check_address(address);
        if (must) reader_complain(&r, 0, "'%s' %s", address, must);
        else texts_add(&config->listen, slice_of(address));
        mem_free(address);
    }
}

/* Where limits.max says nothing, a site may not go above the gateway's own limit. */
static void settle_most(struct reader *r, const struct conf_value *table, struct config *config) {
    const struct conf_value *max = conf_get(conf_get(table, "limits"), "max");
    for (const struct limit_row *row = limit_rows; row->name; row++) {
        uint64_t *most = (uint64_t *)(void *)((char *)&config->most + row->offset);
        uint64_t own = limit_at(&config->limits, row->offset);
        const struct conf_value *given = conf_get(max, row->name);
        if (given && row->scope == LIMIT_SITE && *most < own)
            reader_complain(r, given->line, "limits.max.%s is below limits.%s", row->name,
                            row->name);
        if (!given) *most = own;
    }
}

/* ---- sites ---- */

/* A site while all are being read: where it came from, for messages about two of them. */
struct source {
    struct conf_value *file; /* owned; NULL for one of gateway.lua */
    const struct conf_value *table;
};

struct gathering {
    struct config *config;
    struct text *errors;
    struct source *sources; /* as many as config->sites */
};

/* Complains about what the newest site has in common with those before it. */
static void site_check_others(struct gathering *g, struct reader *r) {
    const struct site_conf *last = &g->config->sites[g->config->site_count - 1];
    int line = conf_line(g->sources[g->config->site_count - 1].table, "path");
    for (const struct site_conf *other = g->config->sites; other < last; other++) {
        const char *shared = config_sites_clash(last, other);
        if (!strcmp(last->name, other->name)) shared = "its name";
        if (shared)
            reader_complain(r, line, "site '%s' shares %s with site '%s' of %s", last->name, shared,
                            other->name, other->file);
    }
}

static void site_add(struct gathering *g, const char *file, const char *name,
                     const struct conf_value *table, struct conf_value *owned) {
    struct config *config = g->config;
    size_t n = config->site_count++;
    struct reader r = {.file = file, .errors = g->errors};
    config->sites = mem_grow(config->sites, (n + 1) * sizeof *config->sites);
    g->sources = mem_grow(g->sources, (n + 1) * sizeof *g->sources);
    g->sources[n] = (struct source){owned, table};
    config_site_read(&r, config, name, table, &config->sites[n]);
    site_check_others(g, &r);
    text_fini(&r.path);
}

static void sites_of_gateway(struct gathering *g, const char *file,
                             const struct conf_value *table) {
    struct reader r = {.file = file, .errors = g->errors};
    if (!table || table->type != CONF_TABLE) return;
    LIST_EACH(&table->items, link) {
        struct conf_value *v = container_of(link, struct conf_value, link);
        bool named = v->key && !check_name(v->key);
        if (named && v->type == CONF_TABLE) site_add(g, file, v->key, v, NULL);
        else reader_complain(&r, v->line, "sites must be tables with names of letters and digits");
    }
}

static void site_of_file(struct gathering *g, const char *folder, const char *entry) {
    char *file = path_join(folder, entry);
    char *name = slice_cstr(slice_upto(slice_of(entry), strlen(entry) - 4));
    struct conf_value *table = conf_read(file, g->errors);
    struct reader r = {.file = file, .errors = g->errors};
    const char *must = check_name(name);
    if (must) reader_complain(&r, 0, "the file's name %s", must);
    if (table && !must) site_add(g, file, name, table, table);
    else conf_free(table);
    mem_free(name);
    mem_free(file);
}

/* The names of a folder's conf files. */
static char **list_folder(DIR *folder) {
    char **names = texts_new();
    for (const struct dirent *entry; (entry = readdir(folder));) {
        struct slice name = slice_of(entry->d_name);
        if (name.p[0] != '.' && slice_ends(name, SLICE(".lua"))) texts_add(&names, name);
    }
    return names;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sites_of_folder(struct gathering *g, const char *path) {
    DIR *folder = opendir(path);
    if (!folder) {
        if (errno != ENOENT) text_format(g->errors, "%s: %s\n", path, strerror(errno));
        return;
    }
    char **names = list_folder(folder);
    size_t n = 0;
    while (names[n])
        n++;
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        site_of_file(g, path, names[i]);
    texts_free(names);
    closedir(folder);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct site_conf *)a)->name, ((const struct site_conf *)b)->name);
}

static void sites_load(struct config *config, const char *gateway, const struct conf_value *table,
                       struct text *errors) {
    struct gathering g = {.config = config, .errors = errors};
    char *folder = path_join(config->conf_dir, "sites");
    sites_of_gateway(&g, gateway, conf_get(table, "sites"));
    sites_of_folder(&g, folder);
    for (size_t i = 0; i < config->site_count; i++)
        conf_free(g.sources[i].file);
    mem_free(g.sources);
    if (config->site_count)
        qsort(config->sites, config->site_count, sizeof *config->sites, by_name);
    mem_free(folder);
}

/* ---- all together ---- */

static void find_folders(const struct config_options *options, struct config *config,
                         struct text *errors) {
    config->conf_dir = path_choose(options->conf_dir, "conf", "etc/moonlatch");
    config->scripts_dir = path_choose(options->scripts_dir, "scripts", "share/moonlatch/scripts");
    config->library_dir = path_library();
    if (!config->conf_dir && options->conf_dir)
        text_format(errors, "--conf: there is no folder %s\n", options->conf_dir);
    else if (!config->conf_dir)
        text_str(errors, "there is no folder conf here, and none is installed; use --conf DIR\n");
    if (!config->scripts_dir && options->scripts_dir)
        text_format(errors, "--scripts: there is no folder %s\n", options->scripts_dir);
    if (!config->library_dir) text_str(errors, "the runtime library, lua/moonlatch/, is missing\n");
}

static void gateway_load(const struct config_options *options, struct config *config,
                         bool with_sites, struct text *errors) {
    char *file = path_join(config->conf_dir, "gateway.lua");
    struct reader r = {.file = file, .errors = errors};
    size_t before = errors->n;
    struct conf_value *table = access(file, F_OK) ? NULL : conf_read(file, errors);
    if (table) keys_read(&r, gateway_keys, table, config);
    set_keys(options->set, config, errors);
    set_listen(options->listen, config, errors);
    settle_most(&r, table, config);
    config_shared_read(&r, config, conf_get(table, "endpoints"), &config->shared);
    if (!config->listen[0] && errors->n == before)
        reader_complain(&r, conf_line(table, "listen"), "listen has no address");
    if (with_sites) sites_load(config, file, table, errors);
    char *sites = path_join(config->conf_dir, "sites");
    if (access(file, F_OK) && !path_is_folder(sites))
        reader_complain(&r, 0, "is missing, and so is the folder sites beside it");
    mem_free(sites);
    conf_free(table);
    text_fini(&r.path);
    mem_free(file);
}

static struct config *load(const struct config_options *options, bool with_sites,
                           struct text *errors) {
    struct config *config = mem_new(sizeof *config);
    size_t before = errors->n;
    keys_init(gateway_keys, config);
    config->dev = options->dev;
    config->options = *options;
    find_folders(options, config, errors);
    if (config->conf_dir) gateway_load(options, config, with_sites, errors);
    if (errors->n == before) return config;
    config_free(config);
    return NULL;
}

struct config *config_load(const struct config_options *options, struct text *errors) {
    return load(options, true, errors);
}

struct config *config_load_gateway(const struct config_options *options, struct text *errors) {
    return load(options, false, errors);
}

void config_free(struct config *config) {
    if (!config) return;
    for (size_t i = 0; i < config->site_count; i++)
        config_site_fini(&config->sites[i]);
    mem_free(config->sites);
    if (config->shared.name) config_site_fini(&config->shared);
    keys_fini(gateway_keys, config);
    mem_free(config->conf_dir);
    mem_free(config->scripts_dir);
    mem_free(config->library_dir);
    mem_free(config);
}

void config_print(const struct config *config, struct text *out) {
    struct printer p = {.out = out, .depth = 1, .config = config};
    text_str(out, "return {\n");
    keys_print(&p, gateway_keys, config);
    text_str(out, "}\n");
}
