/* SPDX-License-Identifier: MIT */
/* The one file that knows everyone: it makes a worker's parts, connects them, waits for the signal,
 * and takes them apart in the reverse order.
 *
 * A drain (SIGTERM, SIGINT): no new sockets, /health/ready says 503, the sockets are closed with
 * 1012 one after the other over drain_spread, so that their clients do not all come back at once;
 * then what is left of the connections, at the latest after drain_timeout. A second signal cuts it
 * short.
 *
 * SIGHUP: the scripts are reloaded; with --dev also whenever one of their files changes. */
#include "server.h"

#include "admin.h"
#include "config/socket_path.h"
#include "core/emit.h"
#include "core/hub.h"
#include "core/socket.h"
#include "net/listener.h"
#include "net/tls.h"
#include "reload.h"
#include "routes.h"
#include "script/script.h"
#include "store/memory.h"
#include "store/redis.h"
#include "store/sqlite.h"
#include "transport/backend.h"
#include "transport/transport.h"
#include "watch.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

struct entry {
    struct entrance entrance;
    struct listener *listener;
    struct net *net;
};

#define SITES_LATER 256 /* room for sites that come while it serves */

struct worker {
    const struct config *config;
    struct loop *loop;
    struct log *log;
    struct metrics *metrics;
    struct random random;
    struct net net;
    struct core core;
    struct tls_context *store_tls; /* NULL: the store has no need of it */
    struct script_host script_host;
    struct routes routes;
    struct admin admin;
    struct entry *entries;
    size_t entry_count, entry_room;
    uv_signal_t signals[3];
    bool serving; /* clients wait while something is loaded */
    struct reloader reloader;
    struct watcher *watcher; /* NULL: without --dev */

    /* the drain */
    struct timer drain_tick, drain_end;
    struct socket **leaving; /* references */
    size_t leaving_count, left;
};

static bool open_later(void *arg, const struct site_conf *conf, struct text *error);

/* ---- parts ---- */

/* libuv looks names up in half of its threads. Two of four would be held up, for everybody, by two
 * names whose servers do not answer. */
#define THREADS "16"

static void worker_init(struct worker *w, const struct config *config) {
    *w = (struct worker){.config = config};
    setenv("UV_THREADPOOL_SIZE", THREADS, 0);
    w->loop = loop_new();
    w->log = log_new(w->loop, STDERR_FILENO);
    log_set_level(w->log, config->dev ? LOG_DEBUG : config->log_level);
    log_set_json(w->log, config->log_json);
    w->metrics = metrics_new();
    net_init(&w->net, w->loop, w->log, w->metrics, &w->random, &config->limits);
    w->net.count_private = config->count_private;
    w->net.send_path = config->send_path;
    w->net.trusted = config->trusted_proxies;
    w->net.trusted_count = config->trusted_count;
    w->core = (struct core){.loop = w->loop,
                            .log = w->log,
                            .metrics = w->metrics,
                            .random = &w->random,
                            .limits = &config->limits,
                            .count_private = config->count_private};
    random_name(&w->random, w->core.node, NODE_LENGTH);
    list_init(&w->core.sites);
    w->routes = (struct routes){.config = config, .core = &w->core, .metrics = w->metrics};
    w->routes.room = config->site_count + SITES_LATER;
    w->routes.sites = mem_new(w->routes.room * sizeof *w->routes.sites);
    w->reloader =
        (struct reloader){.config = config, .routes = &w->routes, .open = open_later, .arg = w};
    w->admin = (struct admin){.config = config,
                              .routes = &w->routes,
                              .reloader = &w->reloader,
                              .started_ms = loop_now_ms(w->loop)};
}

static void connections_close(struct worker *w, struct list *conns) {
    LIST_EACH(conns, link) conn_close(container_of(link, struct conn, link), "shutdown");
    loop_settle(w->loop);
}

static void worker_fini(struct worker *w) {
    if (w->core.store) w->core.store->ops->close(w->core.store);
    connections_close(w, &w->net.outgoing);
    if (w->store_tls) tls_context_unref(w->store_tls);
    if (w->script_host.http_tls) tls_context_unref(w->script_host.http_tls);
    net_fini(&w->net);
    mem_free(w->routes.sites);
    mem_free(w->entries);
    reload_fini(&w->reloader);
    metrics_free(w->metrics);
    log_free(w->log);
    loop_free(w->loop);
}

/* Whom to trust where the URL of the store asks for TLS. False and a line of error. */
static bool store_trust(struct worker *w, struct text *error) {
    const char *reason;
    if (strncmp(w->config->store, "rediss", 6)) return true;
    w->store_tls = tls_context_new(w->config->redis_ca, &reason);
    if (!w->store_tls) text_format(error, "redis.ca: %s", reason);
    return w->store_tls != NULL;
}

/* Whom requests of scripts trust. Without authorities that can be read there is no https. */
static bool script_host_open(struct worker *w, struct text *error) {
    const char *reason = NULL;
    w->script_host = (struct script_host){
        .library = w->config->library_dir,
        .net = &w->net,
        .http_tls = tls_context_new(w->config->http_ca, &reason)};
    if (w->script_host.http_tls || !w->config->http_ca) return true;
    text_format(error, "http.ca: %s", reason);
    return false;
}

static struct store *sqlite_store_new(struct worker *w, const char *path, struct text *error) {
    struct keeper *keeper = sqlite_keeper_new(&w->core, path, error);
    return keeper ? local_store_new(&w->core, &hub_events, keeper) : NULL;
}

static bool store_open(struct worker *w, struct text *error) {
    const char *url = w->config->store;
    if (!store_trust(w, error)) return false;
    if (!strcmp(url, "memory")) w->core.store = memory_store_new(&w->core, &hub_events);
    else if (!strncmp(url, "sqlite:", 7)) w->core.store = sqlite_store_new(w, url + 7, error);
    else w->core.store = redis_store_new(&w->core, &w->net, url, w->store_tls, &hub_events);
    if (!w->core.store && !error->n) text_str(error, "store: no URL of a Redis");
    return w->core.store != NULL;
}

/* As many connections as there are descriptors, less the reserve. */
static void raise_descriptors(struct worker *w) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NOFILE, &files);
    uint64_t reserve = w->config->limits.fd_reserve, wanted = w->config->limits.max_connections;
    uint64_t fit = files.rlim_cur > reserve * 2 ? files.rlim_cur - reserve : files.rlim_cur / 2;
    if (!wanted) wanted = 100000;
    w->net.most = wanted < fit ? wanted : fit;
}

/* What all connections together may have unsent: a quarter of what the process may use, which is
 * four fifths of the machine. */
static void set_send_buffers(struct worker *w) {
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t wanted = w->config->limits.send_buffers;
    w->net.unsent_most = wanted ? wanted : memory / 5;
}

/* ---- sites ---- */

static const struct dialect *find_dialect(const char *name) {
    static const struct dialect *const all[] = {&token_dialect, &raw_dialect,
                                               &socketio_dialect};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    return NULL;
}

static void endpoints_open(struct worker *w, struct site *site) {
    for (size_t i = 0; i < site->endpoint_count; i++) {
        struct endpoint *ep = &site->endpoints[i];
        ep->dialect = find_dialect(ep->conf->dialect); /* the configuration knows only these */
        ep->transport = transport_find(slice_of(ep->conf->transport));
        ep->transport->open(ep, &w->net);
    }
}

/* A site with all that hangs on it, or false and a line of error. */
static bool site_open(struct worker *w, const struct site_conf *conf, struct text *error) {
    struct route *route = &w->routes.sites[w->routes.count++];
    route->site = site_new(&w->core, conf);
    if (conf->static_dir) {
        route->files = files_open(conf->static_dir, error);
        if (!route->files) return false;
    }
    uint64_t budget_ms = w->serving ? conf->limits.script_reload : conf->limits.script_start;
    if (!script_load(route->site, &w->script_host, budget_ms, error)) return false;
    endpoints_open(w, route->site);
    emit_open(route->site);
    backend_open(route->site, &w->net, w->script_host.http_tls);
    return true;
}

static void site_close(struct route *route) {
    emit_close(route->site);
    site_free(route->site);
    if (route->files) files_close(route->files);
}

/* What belongs to no site. */
static void shared_open(struct worker *w) {
    w->routes.shared = site_new_shared(&w->core, &w->config->shared);
    endpoints_open(w, w->routes.shared);
}

static bool sites_open(struct worker *w, struct text *error) {
    for (size_t i = 0; i < w->config->site_count; i++)
        if (!site_open(w, &w->config->sites[i], error)) return false;
    return true;
}

static void endpoints_close(struct site *site) {
    for (size_t i = 0; i < site->endpoint_count; i++)
        if (site->endpoints[i].transport)
            site->endpoints[i].transport->close(&site->endpoints[i]);
}

static void sites_close(struct worker *w) {
    endpoints_close(w->routes.shared);
    for (size_t i = 0; i < w->routes.count; i++) endpoints_close(w->routes.sites[i].site);
    loop_settle(w->loop); /* sessions that the transports ended let go of their sockets */
    for (size_t i = 0; i < w->routes.count; i++) backend_close(w->routes.sites[i].site);
    for (size_t i = 0; i < w->routes.count; i++) script_close(w->routes.sites[i].site);
    loop_settle(w->loop); /* what the scripts were asked has ended with them */
    while (w->routes.count) site_close(&w->routes.sites[--w->routes.count]);
    site_free(w->routes.shared);
    map_fini(&w->core.namespaces);
}

/* ---- listeners ---- */

static void on_accepted(void *arg, int fd, const struct ip *peer) {
    struct entry *e = arg;
    http_accept(e->net, fd, peer, routes_handle, &e->entrance);
}

static bool entry_open(struct worker *w, const char *address, const struct route *site,
                       struct admin *admin, struct text *error) {
    struct entry *e = &w->entries[w->entry_count];
    const char *reason = NULL;
    if (w->entry_count == w->entry_room) {
        text_format(error, "cannot listen on %s: too many addresses", address);
        return false;
    }
    e->net = &w->net;
    e->entrance = (struct entrance){
        .routes = &w->routes,
        .site = site,
        .admin = admin,
        .trusted = admin && !strncmp(address, LISTENER_UNIX, strlen(LISTENER_UNIX))};
    e->listener = listener_open(&w->net, slice_of(address), on_accepted, e, &reason);
    if (!e->listener) {
        text_format(error, "cannot listen on %s: %s", address, reason);
        return false;
    }
    if (e->entrance.trusted) listener_favour(e->listener);
    w->entry_count++;
    return true;
}

/* Opens the admin interface on the file at path, which is freed. */
static bool admin_path_open(struct worker *w, char *path, struct text *error) {
    struct text address = {0};
    text_format(&address, "%s%s", LISTENER_UNIX, path);
    text_char(&address, 0);
    bool opened = entry_open(w, text_slice(&address).p, NULL, &w->admin, error);
    text_fini(&address);
    mem_free(path);
    return opened;
}

/* At the path that verbs look at. A gateway that cannot have it serves all the same: it may be the
 * second one of its conf. */
static void admin_auto_open(struct worker *w) {
    struct text error = {0};
    const char *conf_dir = w->config->conf_dir;
    char *path = socket_path_runtime(conf_dir);
    bool fallback = !path;
    if (fallback) path = socket_path_tmp(conf_dir);
    if (fallback && !socket_folder_make(path, &error)) mem_free(path);
    else if (admin_path_open(w, path, &error)) return;
    LOG(w->log, LOG_WARN, "no admin socket", log_s("error", text_slice(&error)),
        log_c("set", "admin.socket to a path, or to off"));
    text_fini(&error);
}

static bool admin_socket_open(struct worker *w, struct text *error) {
    const char *path = w->config->admin_socket;
    if (path && !strcmp(path, "auto")) admin_auto_open(w);
    else if (path) return admin_path_open(w, slice_cstr(slice_of(path)), error);
    return true;
}

static size_t list_length(char **list) {
    size_t n = 0;
    while (list && list[n]) n++;
    return n;
}

static bool entries_open(struct worker *w, struct text *error) {
    const struct config *config = w->config;
    w->entry_room = list_length(config->listen) + 2 + SITES_LATER;
    for (size_t i = 0; i < config->site_count; i++)
        w->entry_room += list_length(config->sites[i].listen);
    w->entries = mem_new(w->entry_room * sizeof *w->entries);
    for (char **a = config->listen; *a; a++)
        if (!entry_open(w, *a, NULL, NULL, error)) return false;
    for (size_t i = 0; i < w->routes.count; i++)
        for (char **a = config->sites[i].listen; a && *a; a++)
            if (!entry_open(w, *a, &w->routes.sites[i], NULL, error)) return false;
    if (config->admin && !entry_open(w, config->admin, NULL, &w->admin, error)) return false;
    return admin_socket_open(w, error);
}

static void entries_close(struct worker *w) {
    while (w->entry_count) listener_close(w->entries[--w->entry_count].listener);
}

static void entries_print(const struct worker *w, size_t from) {
    for (size_t i = from; i < w->entry_count; i++)
        printf("%s %s\n", w->entries[i].entrance.admin ? "admin on" : "listening on",
               listener_url(w->entries[i].listener));
    fflush(stdout);
}

/* ---- sites that come later ---- */

static void close_later(struct worker *w, size_t entries) {
    while (w->entry_count > entries) listener_close(w->entries[--w->entry_count].listener);
    struct route *route = &w->routes.sites[--w->routes.count];
    script_close(route->site);
    site_close(route);
}

static bool open_later(void *arg, const struct site_conf *conf, struct text *error) {
    struct worker *w = arg;
    size_t entries = w->entry_count;
    if (w->routes.count == w->routes.room) {
        text_str(error, "too many new sites: restart the gateway");
        return false;
    }
    const struct route *route = &w->routes.sites[w->routes.count];
    bool opened = site_open(w, conf, error);
    for (char **a = conf->listen; opened && *a; a++)
        opened = entry_open(w, *a, route, NULL, error);
    if (opened) entries_print(w, entries);
    else close_later(w, entries);
    return opened;
}

/* ---- the drain ---- */

static size_t count_sockets(const struct worker *w) {
    size_t n = 0;
    for (size_t i = 0; i < w->routes.count; i++) n += w->routes.sites[i].site->sockets.count;
    return n;
}

static void collect_sockets(struct worker *w) {
    w->leaving = mem_new((count_sockets(w) + 1) * sizeof(struct socket *));
    for (size_t i = 0; i < w->routes.count; i++) {
        const struct map *all = &w->routes.sites[i].site->sockets;
        for (struct map_link *l = map_next(all, NULL); l; l = map_next(all, l))
            w->leaving[w->leaving_count++] = socket_ref(container_of(l, struct socket, by_sid));
    }
}

#define TICK_MS 20

/* How many are to be gone by now, if all go evenly. */
static size_t due_by_now(const struct worker *w) {
    uint64_t spread = w->config->limits.drain_spread;
    uint64_t left =
        w->drain_end.due_ms > loop_now_ms(w->loop) ? w->drain_end.due_ms - loop_now_ms(w->loop) : 0;
    uint64_t gone =
        w->config->limits.drain_timeout > left ? w->config->limits.drain_timeout - left : 0;
    if (gone >= spread) return w->leaving_count;
    return (size_t)(w->leaving_count * gone / spread) + (w->leaving_count ? 1 : 0);
}

static void on_drain_tick(struct timer *t) {
    struct worker *w = container_of(t, struct worker, drain_tick);
    for (size_t due = due_by_now(w); w->left < due && w->left < w->leaving_count; w->left++)
        socket_close(w->leaving[w->left], 1012, "restart");
    http_drain(&w->net);
    if (w->left == w->leaving_count && !count_sockets(w) && !w->net.open) loop_stop(w->loop);
    else timer_start(w->loop, &w->drain_tick, TICK_MS);
}

static void on_drain_end(struct timer *t) {
    loop_stop(container_of(t, struct worker, drain_end)->loop);
}

static void drain(struct worker *w) {
    w->core.draining = true;
    reload_stop(&w->reloader);
    LOG(w->log, LOG_INFO, "draining", log_n("sockets", (long long)count_sockets(w)));
    for (size_t i = 0; i < w->routes.count; i++) script_shutdown(w->routes.sites[i].site);
    collect_sockets(w);
    timer_start(w->loop, &w->drain_end, w->config->limits.drain_timeout);
    on_drain_tick(&w->drain_tick);
}

static void reload_all(struct worker *w) {
    if (!w->core.draining) reload_soon(&w->reloader);
}

/* A folder of scripts may belong to several sites, or to none yet. */
static void reload_folder(struct worker *w, const char *folder) {
    struct text errors = {0}; /* the log has them */
    for (size_t i = 0; i < w->routes.count && !w->core.draining; i++) {
        const struct site_conf *conf = w->routes.sites[i].site->conf;
        if (conf->script && strcmp(conf->script, folder) == 0)
            reload(&w->reloader, slice_of(conf->name), &errors);
    }
    text_fini(&errors);
}

static void on_changed(void *arg, const char *folder) {
    if (folder) reload_folder(arg, folder);
    else reload_all(arg);
}

static void on_signal(uv_signal_t *signal, int number) {
    struct worker *w = signal->data;
    if (number == SIGHUP) reload_all(w);
    else if (w->core.draining) loop_stop(w->loop);
    else drain(w);
}

static void signals_open(struct worker *w) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < 3; i++) {
        uv_signal_init(loop_uv(w->loop), &w->signals[i]);
        w->signals[i].data = w;
        uv_signal_start(&w->signals[i], on_signal, numbers[i]);
    }
}

static void signals_close(struct worker *w) {
    for (int i = 0; i < 3; i++) {
        uv_signal_stop(&w->signals[i]);
        uv_close((uv_handle_t *)&w->signals[i], NULL);
    }
}

static void drain_close(struct worker *w) {
    timer_stop(w->loop, &w->drain_tick);
    timer_stop(w->loop, &w->drain_end);
    while (w->leaving_count) socket_unref(w->leaving[--w->leaving_count]);
    mem_free(w->leaving);
}

/* ---- the whole ---- */

int server_run(const struct config *config) {
    struct worker *w = mem_new(sizeof *w);
    struct text error = {0};
    worker_init(w, config);
    w->drain_tick.fired = on_drain_tick;
    w->drain_end.fired = on_drain_end;
    raise_descriptors(w);
    set_send_buffers(w);
    signals_open(w);
    shared_open(w);
    bool opened = script_host_open(w, &error) && store_open(w, &error) && sites_open(w, &error);
    int status = !opened ? 2 : !entries_open(w, &error) ? 1 : 0;
    if (!status) {
        entries_print(w, 0);
        w->serving = true;
        if (config->dev) w->watcher = watcher_open(w->loop, w->log, config, on_changed, w);
        loop_run(w->loop);
    } else {
        text_char(&error, 0);
        fprintf(stderr, "moonlatch: %s\n", text_slice(&error).p);
    }
    entries_close(w);
    if (w->core.store) w->core.store->ops->stop(w->core.store);
    connections_close(w, &w->net.conns);
    drain_close(w);
    watcher_close(w->watcher);
    reload_stop(&w->reloader);
    sites_close(w);
    signals_close(w);
    if (!status)
        LOG(w->log, LOG_INFO, "stopped", log_n("dropped_lines", (long long)log_dropped(w->log)));
    worker_fini(w);
    mem_free(w);
    text_fini(&error);
    return status;
}

int server_check(const struct config *config, FILE *out) {
    struct worker *w = mem_new(sizeof *w);
    int failures = 0;
    worker_init(w, config);
    shared_open(w);
    w->core.store = memory_store_new(&w->core, &hub_events); /* nothing is connected for a check */
    w->script_host = (struct script_host){.library = config->library_dir, .net = &w->net};
    for (size_t i = 0; i < config->site_count; i++) {
        struct text error = {0};
        if (!site_open(w, &config->sites[i], &error)) {
            fprintf(out, "%.*s\n", (int)error.n, text_slice(&error).p);
            failures++;
        }
        text_fini(&error);
    }
    sites_close(w);
    worker_fini(w);
    mem_free(w);
    return failures;
}
