/* SPDX-License-Identifier: MIT */
#ifndef CORE_SITE_H
#define CORE_SITE_H

#include "base/buf.h"
#include "base/rate.h"
#include "core/core.h"
#include "core/position.h"

/* A tenant: its configuration, its endpoints, its sockets and channels, its script. Everything that
 * is looked up for a client is looked up from its socket's site, never from a name in a message. */

struct dialect;
struct backend_state;
struct login;
struct push_state;
struct socket;
struct hooks;
struct transport;
struct cache;
struct share;

enum auth_mode {
    AUTH_TOKEN,   /* the first message brings a token */
    AUTH_REQUEST, /* site.authentication judges the opening request */
    AUTH_NONE     /* everybody is let in */
};
enum jsonp_mode { JSONP_LISTED, JSONP_ANY, JSONP_OFF };
enum slow_policy { SLOW_CLOSE, SLOW_DROP };
enum store_layout { LAYOUT_MOONLATCH, LAYOUT_NODE_TOKEN_SOCKJS };

/* Lists of texts end with NULL. All texts are owned by the conf. */
struct endpoint_conf {
    char *path;      /* below the site's path, "/sockets" */
    char *transport; /* "websocket", "sockjs", "engineio" */
    char *dialect;   /* "token", "raw", "socketio" */
    enum auth_mode auth;
    /* websocket, also inside the others */
    uint64_t max_message, max_fragments; /* from the limits where not given */
    bool compress;
    int compress_level, window_bits;
    uint64_t compress_min;
    bool context_takeover;
    char *protocols; /* comma-separated; "" none */
    bool ping;
    /* sockjs */
    uint64_t response_limit, heartbeat_ms, disconnect_delay_ms;
    bool websocket;  /* offer it */
    bool jsessionid; /* set and ask for the cookie */
    char *sockjs_url;
    /* engineio */
    uint64_t ping_interval_ms, ping_timeout_ms, upgrade_timeout_ms, max_payload;
    bool eio3;   /* clients of protocol 3 too */
    bool cookie; /* set one that load balancers can look at */
    char *client; /* folder of the client's scripts; NULL: none */
};

struct token_conf {
    char *path; /* below the site's path; "" for none */
    uint64_t ttl_ms;
    enum jsonp_mode jsonp;
    bool jsonp_errors; /* answer JSONP errors with 200, so that the client can read them */
    bool cors;         /* CORS headers for listed origins */
    bool reauth;       /* a second auth message replaces the first's data */
};

/* What is special about the channels that a pattern names. */
struct channel_conf {
    char *pattern; /* "*" in it stands for any characters */
    bool history;  /* messages are kept */
    uint64_t history_size;   /* so many of them */
    uint64_t history_ttl_ms; /* until so long after the last */
};

/* The push service of a site: POST /send, the login by HTTP, users and their devices
 * (wire/socketio-webservice.md). */
struct push_conf {
    char **api_keys;        /* "sha256:" and 64 hexadecimal digits; none: nobody may send */
    bool api_key_in_query;  /* taken from there too */
    bool weak_api_key;      /* a key may be shorter than 32 characters */
    char *auth_url;         /* judges logins instead of the script; NULL: none */
    char *auth_scheme;      /* before the client's token: "Bearer" */
    uint64_t auth_timeout_ms;
    bool say_undefined;     /* a token or meta that a client does not give is sent as "undefined" */
    char *user_room_prefix; /* rooms that begin with it are users; NULL: there are none */
    char *public_channel;   /* this room is a user, too; NULL: none */
    char *update_user_url;  /* is told who comes and goes, ":id" in it; NULL: nobody is */
    uint64_t device_ttl_ms; /* what waits for a device that left is kept; 0: for ever */
    bool plain_names;       /* "batch" and "resync" instead of "_batch" and "_resync" */
    bool resync;            /* every message is sent as with resync */
};

struct site_conf {
    char *name;
    char *file;          /* where it was read, for messages */
    char *path;          /* "/" or "/chat" */
    char **hosts;        /* lower case, without port */
    char **origins;      /* "https://chat.example.com"; "*" any */
    char **listen;       /* addresses of its own */
    char *script;        /* folder of init.lua; NULL: a site without script */
    char *user;          /* the member of the auth data that names the user; "off": none */
    char *static_dir;    /* folder of files served under path; NULL: none */
    char **libraries;    /* Lua modules from outside, "cjson" */
    struct buf *options; /* JSON object: site.options */
    struct endpoint_conf *endpoints;
    size_t endpoint_count;
    struct {
        char **namespaces; /* "/chat" */
        enum auth_mode auth;
        uint64_t recovery_ms; /* LIMIT_OFF: none */
        uint64_t recovery_messages;
        char *emitter; /* prefix of backends' emitters that are listened to; NULL: none are */
    } socketio;
    struct channel_conf emissions; /* what that comes to: the log of emit.h; history is false without */
    struct endpoint_conf *namespaces; /* what that comes to: their path is the namespace */
    size_t namespace_count;
    struct channel_conf *channels;
    size_t channel_count;
    struct token_conf token;
    struct push_conf push;
    enum slow_policy slow;
    enum store_layout layout; /* names and forms in Redis */
    struct limits limits;
};

/* One way in: a path, a transport and a dialect; or a namespace of Socket.IO, which has no transport
 * of its own. */
struct endpoint {
    struct site *site;
    const struct endpoint_conf *conf;
    const struct dialect *dialect;
    const struct transport *transport;
    void *state; /* the transport's */
    const char *ns;               /* of Socket.IO: the namespace; "/" for an endpoint */
    struct map_link by_namespace; /* of a namespace: in core->namespaces */
};

struct site {
    struct list link; /* in core->sites */
    struct core *core;
    const struct site_conf *conf; /* borrowed, outlives the site */
    const char *name;             /* of conf */
    const struct limits *limits;  /* of conf */
    struct endpoint *endpoints;
    size_t endpoint_count;
    struct endpoint *namespaces; /* of Socket.IO; reached by the endpoints of the shared site too */
    size_t namespace_count;
    bool shared; /* it is no tenant: its endpoints lead to the namespaces of all sites */
    const struct hooks *hooks; /* the script's functions; never NULL */
    void (*judge)(struct login *l); /* judges logins instead of the script (login.h); NULL: nobody
                                       does */
    /* Tells the backend that a user came by this socket, or went; NULL: nobody wants to know. */
    void (*tell_user)(const struct socket *s, struct slice user, bool here);
    struct backend_state *backend;  /* private to transport/backend.c */
    uint32_t has;              /* HOOK_ bits: which of them do something (hooks.h) */
    void *script;              /* the script layer's */
    struct map channels;       /* struct channel by name */
    struct map sockets;        /* struct socket by sid */
    struct map users;          /* sockets by user: private to user.c */
    void *stored;              /* the store's own */
    struct cache *cache;       /* the script layer's: kept over reloads; NULL: none */
    struct share *share;       /* the same: the worker's time that it takes; NULL: no script */
    struct map asks;           /* struct ask by id: private to ask.c */
    uint64_t running;          /* RPCs of clients */
    uint64_t emissions; /* so far: private to emit.c */
    struct position logged; /* the last that came through the log */
    struct rate publishes;
    struct push_state *push; /* private to push.c; NULL: nothing was sent yet */
    struct map visitors; /* what public addresses tried: private to token.c */
};

/* Makes the site and puts it into core->sites, with hooks that do nothing. conf is borrowed. */
struct site *site_new(struct core *core, const struct site_conf *conf)
    __attribute__((returns_nonnull, warn_unused_result));

/* Its sockets must be gone. */
void site_free(struct site *site);

/* Whether another socket fits: 0, or the HTTP status to refuse it with (counted). */
int site_admits(struct site *site);

/* A site of no tenant's, for endpoints that all share; it is not in core->sites. */
struct site *site_new_shared(struct core *core, const struct site_conf *conf)
    __attribute__((returns_nonnull, warn_unused_result));

/* Whether its conf names origins, and this one (or any) among them. */
bool site_names_origins(const struct site *site);
bool site_lists_origin(const struct site *site, struct slice origin);

/* A page is refused because of its origin (p is NULL where it names none): counts it and tells the
 * log, with what would let it in. hint NULL: the list of origins would. */
void site_refuses_origin(const struct site *site, struct slice origin, const char *hint);

/* A limit of this site was reached: counts it. */
void site_limit(struct site *site, const char *limit);

#endif
