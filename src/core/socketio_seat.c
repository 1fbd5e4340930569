/* SPDX-License-Identifier: MIT */
/* A client gets into a namespace in up to four steps, any of which may refuse it: is there one, may
 * its page and its address, is there room; then the site's script or its tokens judge, while other
 * packets go on; at last it is told so and the script hears of it.
 *
 *   asked --> judged --> taken --> closing --> gone
 *     \_________\__________\________________/
 *
 * A socket that is closed ends with the turn, since its own site's hooks may be what closes it. */
#include "core/socketio.h"

#include "base/digest.h"
#include "core/login.h"
#include "core/push_client.h"
#include "core/token.h"

#include <errno.h>

/* ---- namespaces ---- */

/* Those of all sites, at the endpoint that they share; else the site's own, and "/" is the site. */
static struct endpoint *find_namespace(const struct session *s, struct slice ns) {
    struct site *site = s->endpoint->site;
    if (site->shared) {
        struct map_link *l = map_find(&site->core->namespaces, ns);
        return l ? container_of(l, struct endpoint, by_namespace) : NULL;
    }
    for (size_t i = 0; i < site->namespace_count; i++)
        if (slice_is(ns, site->namespaces[i].ns)) return &site->namespaces[i];
    return slice_is(ns, "/") ? s->endpoint : NULL;
}

struct seat *seat_find(const struct socketio *x, struct slice ns) {
    LIST_EACH(&x->seats, link) {
        struct seat *seat = container_of(link, struct seat, link);
        if (slice_is(ns, seat->endpoint->ns)) return seat;
    }
    return NULL;
}

/* ---- what a socket's request is ---- */

static struct slice key_of(struct slice pair) { return slice_upto(pair, slice_find(pair, '=')); }

static bool has_key(struct slice query, struct slice key) {
    struct slice pair;
    while (slice_next(&query, '&', &pair))
        if (slice_eq(key_of(pair), key)) return true;
    return false;
}

/* Clients of protocol 3 have a query for each namespace, and most repeat it in the URL. */
static void merge_queries(struct text *t, struct slice own, struct slice url) {
    struct slice rest = url, pair;
    text_add(t, own);
    while (slice_next(&rest, '&', &pair)) {
        if (!pair.n || has_key(own, key_of(pair))) continue;
        if (t->n) text_char(t, '&');
        text_add(t, pair);
    }
}

/* The session's request, with what the client says about this namespace. */
static struct handshake *seat_handshake(const struct socketio *x, const struct sio_packet *p) {
    if (!p->query.n && p->data.type != JSON_OBJECT) return handshake_ref(x->handshake);
    struct text t = {0}, query = {0};
    struct slice name, value;
    for (size_t at = 0; handshake_next(x->handshake, &at, &name, &value);)
        if (!p->query.n || !slice_is(name, ":query")) handshake_add(&t, name, value);
    if (p->query.n && !memchr(p->query.p, 0, p->query.n)) {
        merge_queries(&query, p->query, handshake_get(x->handshake, ":query"));
        handshake_add(&t, SLICE(":query"), text_slice(&query));
    }
    if (p->data.type == JSON_OBJECT) handshake_add(&t, SLICE(":auth"), p->data.raw);
    text_fini(&query);
    return handshake_new(&t, &x->handshake->ip);
}

/* ---- the seat's life ---- */

static struct seat *seat_new(struct socketio *x, struct endpoint *endpoint,
                             const struct sio_packet *p) {
    struct seat *seat = mem_new(sizeof *seat);
    seat->socketio = x;
    seat->endpoint = endpoint;
    seat->handshake = seat_handshake(x, p);
    if (recovery_is_on(seat)) recovery_begin(seat, p);
    list_push(&x->seats, &seat->link);
    x->seat_count++;
    return seat;
}

/* Out of the session. The store may still have to answer: then seat_returns frees it. */
static void seat_free(struct seat *seat) {
    struct socketio *x = seat->socketio;
    list_remove(&seat->link);
    x->seat_count--;
    seat->socketio = NULL;
    if (seat->login) seat->login->asker = NULL;
    handshake_unref(seat->handshake);
    mem_free(seat->close_reason);
    seat->handshake = NULL;
    seat->close_reason = NULL;
    recovery_free(seat->recovery);
    if (!seat->awaits_store) mem_free(seat);
}

bool seat_returns(struct seat *seat) {
    seat->awaits_store = false;
    if (seat->socketio) return true;
    mem_free(seat);
    return false;
}

static bool has_socket(const struct socketio *x) {
    LIST_EACH(&x->seats, link)
        if (container_of(link, struct seat, link)->socket) return true;
    return false;
}

void seat_end(struct seat *seat, int code, const char *reason) {
    struct socketio *x = seat->socketio;
    struct socket *socket = seat->socket;
    char *own = seat->close_reason;
    if (own) code = seat->close_code;
    seat->close_reason = NULL;
    seat_free(seat);
    if (socket) socket_ended(socket, code, own ? own : reason);
    mem_free(own);
    if (socket && !has_socket(x)) socketio_wait(x);
}

void seats_settle(struct socketio *x) {
    LIST_EACH(&x->seats, link) {
        struct seat *seat = container_of(link, struct seat, link);
        if (seat->close_reason) seat_end(seat, 0, "");
    }
}

void seat_close(struct seat *seat, int code, const char *reason) {
    struct socketio *x = seat->socketio;
    seat->socket->closing = true;
    seat->close_code = code;
    seat->close_reason = slice_cstr(slice_of(reason));
    loop_defer(seat->endpoint->site->core->loop, LOOP_FLUSH, &x->leave);
}

/* ---- refused ---- */

/* Protocol 5: {"message":...,"data":...}; protocol 4: the data, or else the message. */
static void add_error(struct text *t, bool v3, struct slice message, struct slice data) {
    if (v3 && data.n) {
        text_add(t, data);
        return;
    }
    if (!v3) text_str(t, "{\"message\":");
    json_quote(t, message);
    if (v3) return;
    if (data.n) {
        text_str(t, ",\"data\":");
        text_add(t, data);
    }
    text_char(t, '}');
}

static void refuse(struct socketio *x, struct slice ns, struct slice message, struct slice data) {
    struct text t = {0};
    sio_head(&t, SIO_CONNECT_ERROR, 0, ns, (struct slice){NULL, 0});
    add_error(&t, x->session->eio3, message, data);
    socketio_send(x->session, &t);
}

static void refuse_text(struct socketio *x, struct slice ns, const char *message) {
    refuse(x, ns, slice_of(message), (struct slice){NULL, 0});
}

static void refuse_seat(struct seat *seat, struct slice message, struct slice data) {
    struct socketio *x = seat->socketio;
    const char *ns = seat->endpoint->ns;
    seat_free(seat);
    refuse(x, slice_of(ns), message, data);
}

/* why NULL: in the gateway's own word. */
static void refuse_forbidden(struct seat *seat, const struct buf *why) {
    auth_failed(seat->endpoint->site, &seat->socketio->handshake->ip);
    refuse_seat(seat, why ? buf_slice(why) : SLICE("Forbidden"), (struct slice){NULL, 0});
}

/* ---- let in ---- */

static void send_connected(const struct seat *seat) {
    struct session *s = seat->socketio->session;
    struct text t = {0};
    sio_head(&t, SIO_CONNECT, 0, slice_of(seat->endpoint->ns), (struct slice){NULL, 0});
    const char *pid = recovery_pid(seat);
    if (!s->eio3) text_format(&t, "{\"sid\":\"%s\"", seat->socket->sid);
    if (pid) text_format(&t, ",\"pid\":\"%s\"", pid);
    if (!s->eio3) text_char(&t, '}');
    socketio_send(s, &t);
}

bool seat_make(struct seat *seat) {
    struct socketio *x = seat->socketio;
    if (site_admits(seat->endpoint->site)) {
        refuse_seat(seat, SLICE("overload"), (struct slice){NULL, 0});
        return false;
    }
    seat->socket = socket_new(x->session, seat->endpoint, seat->handshake);
    seat->handshake = NULL;
    x->seated = true;
    timer_stop(seat->endpoint->site->core->loop, &x->timer);
    return true;
}

void seat_enter(struct seat *seat, struct buf *auth) {
    send_connected(seat);
    socket_enter(seat->socket, auth);
}

void seat_take(struct seat *seat, struct buf *auth) {
    if (seat_make(seat)) seat_enter(seat, auth);
    else buf_unref(auth);
}

/* Where a site has users, whoever comes is one. */
static bool is_user(const struct seat *seat, const struct buf *auth) {
    struct json_value rooms = {0};
    if (auth) rooms = json_member(buf_slice(auth), SLICE("rooms"));
    return push_has_user(seat->endpoint->site,
                         rooms.type == JSON_ARRAY ? rooms.raw : (struct slice){NULL, 0});
}

/* It was judged, or need not be. Takes auth. */
static void let_in(struct seat *seat, struct buf *auth) {
    if (!is_user(seat, auth)) {
        buf_unref(auth);
        refuse_seat(seat, SLICE("User is missing a private room"), (struct slice){NULL, 0});
        return;
    }
    if (!recovery_start(seat, auth)) seat_take(seat, auth);
}

/* ---- judged ---- */

static void on_judged(struct login *l) {
    struct seat *seat = l->asker;
    struct buf *auth = l->auth, *error = l->error, *data = l->error_data;
    enum login_outcome outcome = (enum login_outcome)l->outcome;
    l->auth = l->error = l->error_data = NULL; /* ours now */
    seat->login = NULL;
    login_free(l);
    if (outcome == LOGIN_ADMITTED) {
        let_in(seat, auth);
        auth = NULL;
    } else if (outcome == LOGIN_FAILED) {
        refuse_seat(seat, buf_slice(error), buf_slice(data));
    } else {
        refuse_forbidden(seat, error);
    }
    buf_unref(auth);
    buf_unref(error);
    buf_unref(data);
}

static void on_taken(void *arg, int status, struct buf *auth) {
    struct seat *seat = arg;
    if (!seat_returns(seat)) return;
    if (!status) {
        let_in(seat, buf_ref(auth));
    } else if (status == -ENOENT) {
        token_log_unknown(seat->endpoint->site, &seat->socketio->handshake->ip);
        refuse_forbidden(seat, NULL);
    } else {
        refuse_seat(seat, SLICE("unavailable"), (struct slice){NULL, 0});
    }
}

/* { auth: { token } }, or with protocol 3 the query. */
static void take_token(struct seat *seat) {
    struct site *site = seat->endpoint->site;
    struct text room = {0};
    struct slice auth = handshake_get(seat->handshake, ":auth");
    struct json_value member = {0};
    if (auth.n) member = json_member(auth, SLICE("token"));
    struct slice token = member.type == JSON_STRING
                             ? json_string(member.raw, &room)
                             : handshake_query(seat->handshake, "token");
    if (uuid_v4_valid(token)) {
        seat->awaits_store = true;
        token_take(site, token, on_taken, seat);
    } else {
        token_log_malformed(site, &seat->socketio->handshake->ip);
        refuse_forbidden(seat, NULL);
    }
    text_fini(&room);
}

static void judge(struct seat *seat) {
    switch (seat->endpoint->conf->auth) {
    case AUTH_NONE: let_in(seat, NULL); break;
    case AUTH_TOKEN: take_token(seat); break;
    case AUTH_REQUEST:
        seat->login = login_start(seat->endpoint->site, handshake_ref(seat->handshake), false,
                                  on_judged, seat);
    }
}

/* ---- asked ---- */

/* Cookies log a client in, so a page of another origin may not bring them. */
static bool origin_fits(const struct socketio *x, const struct endpoint *endpoint) {
    struct slice origin = handshake_get(x->handshake, ":origin");
    bool cookies = endpoint->conf->auth == AUTH_REQUEST && !endpoint->site->conf->push.auth_url;
    if (!cookies && !site_names_origins(endpoint->site)) return true;
    if (!origin.p) origin = handshake_get(x->handshake, "origin");
    return !origin.p || handshake_get(x->handshake, ":own").p ||
           site_lists_origin(endpoint->site, origin);
}

static const char *refusal(struct socketio *x, const struct endpoint *endpoint) {
    struct site *site = endpoint->site;
    if (x->seat_count >= site->limits->sio_namespaces) {
        site_limit(site, "sio_namespaces");
        return "too many namespaces";
    }
    if (!origin_fits(x, endpoint)) {
        site_refuses_origin(site, handshake_get(x->handshake, "origin"), NULL);
        return "Forbidden";
    }
    if (auth_blocked(site, &x->handshake->ip)) return "Too many requests";
    return site_admits(site) ? "overload" : NULL;
}

static void ask(struct socketio *x, struct endpoint *endpoint, const struct sio_packet *p) {
    const char *why = refusal(x, endpoint);
    if (why) refuse_text(x, p->ns, why);
    else judge(seat_new(x, endpoint, p));
}

void seat_ask(struct socketio *x, const struct sio_packet *p) {
    struct endpoint *endpoint = find_namespace(x->session, p->ns);
    seats_settle(x);
    if (!endpoint) refuse_text(x, p->ns, "Invalid namespace");
    else if (seat_find(x, p->ns)) session_close(x->session, 1002, "connected twice");
    else ask(x, endpoint, p);
}

/* Where no site has it, it is there all the same, and empty. */
void seat_ask_root(struct socketio *x) {
    struct sio_packet p = {.type = SIO_CONNECT, .ns = SLICE("/")};
    struct endpoint *endpoint = find_namespace(x->session, p.ns);
    if (endpoint) {
        ask(x, endpoint, &p);
        return;
    }
    struct text t = {0};
    sio_head(&t, SIO_CONNECT, 0, p.ns, p.id);
    socketio_send(x->session, &t);
}
