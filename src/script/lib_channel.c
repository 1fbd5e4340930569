/* SPDX-License-Identifier: MIT */
#include "script/lib_channel.h"

#include "script/lib_json.h"
#include "script/lib_socket.h"
#include "script/runtime.h"

#include "core/hub.h"

#define LIST_MAX 1000 /* entries of one list, when the script asks for no fewer */

static struct site *site_of(lua_State *L) { return runtime_of(vm_of(L))->site; }

/* What is wrong with the name, as a code of ours; NULL: nothing. */
static const char *name_error(lua_State *L, struct slice channel) {
    const char *error = channel_name_error(site_of(L), channel);
    return error ? "bad_channel" : NULL;
}

static int push_status(lua_State *L, int status) {
    if (status) return lua_push_failure(L, "unavailable");
    lua_pushboolean(L, true);
    return 1;
}

/* ---- memberships ---- */

/* Told from the loop; the channel's name is needed once more. */
struct joining {
    struct socket *socket; /* a reference */
    struct buf *channel;
};

static void on_joined(void *arg, const struct joined *joined) {
    struct joining *j = arg;
    if (joined->status == 0 && socket_is_open(j->socket))
        j->socket->dialect->joined(j->socket, buf_slice(j->channel));
    socket_unref(j->socket);
    buf_unref(j->channel);
    mem_free(j);
}

int lua_channel_subscribe(lua_State *L, struct socket *s, struct slice channel) {
    const char *error = name_error(L, channel);
    if (error) return lua_push_failure(L, error);
    if (!s) return lua_push_failure(L, "closed");
    struct joining *j = mem_new(sizeof *j);
    j->socket = socket_ref(s);
    j->channel = buf_copy(channel);
    if (hub_subscribe(s, channel, &hub_from_here, on_joined, j)) {
        on_joined(j, &(struct joined){.status = -1});
        return lua_push_failure(L, "limit");
    }
    lua_pushboolean(L, true);
    return 1;
}

int lua_channel_unsubscribe(lua_State *L, struct socket *s, struct slice channel) {
    if (!s) return lua_push_failure(L, "closed");
    struct buf *name = buf_copy(channel);
    bool was_member = hub_unsubscribe(s, channel);
    if (was_member) s->dialect->left(s, buf_slice(name));
    buf_unref(name);
    lua_pushboolean(L, was_member);
    return 1;
}

static void push_name(lua_State *L, const struct channel *c) {
    lua_pushlstring(L, c->by_name.key.p, c->by_name.key.n);
}

void lua_push_channels_of(lua_State *L, const struct socket *s) {
    lua_json_push_list(L, (int)s->member_count);
    lua_Integer i = 0;
    for (const struct member *m = s->members; m; m = m->next) {
        push_name(L, m->channel);
        lua_rawseti(L, -2, ++i);
    }
}

/* ---- functions of server; the first argument is server itself ---- */

static int server_subscribe(lua_State *L) {
    return lua_channel_subscribe(L, handle_check(L, 2), lua_check_slice(L, 3));
}

static int server_unsubscribe(lua_State *L) {
    return lua_channel_unsubscribe(L, handle_check(L, 2), lua_check_slice(L, 3));
}

static int server_unsubscribe_all(lua_State *L) {
    struct slice channel = lua_check_slice(L, 2);
    const char *error = name_error(L, channel);
    if (error) return lua_push_failure(L, error);
    return push_status(L, hub_unsubscribe_all(site_of(L), channel));
}

/* The JSON of what is to be published, or NULL when there is too much of it. */
static struct buf *check_body(lua_State *L, int index) {
    luaL_checkany(L, index);
    struct buf *body = runtime_encode(L, index);
    if (body->n <= site_of(L)->limits->published_message) return body;
    buf_unref(body);
    return NULL;
}

/* Why body may not be published to so many, or NULL. */
static const char *refusal(lua_State *L, const struct buf *body, size_t copies) {
    return flood_admits(&vm_of(L)->flood, site_of(L), body->n, copies) ? NULL : "limit";
}

static size_t members(const struct site *site, struct slice channel) {
    struct map_link *l = map_find(&site->channels, channel);
    return l ? container_of(l, struct channel, by_name)->count : 0;
}

static int server_publish(lua_State *L) {
    struct slice channel = lua_check_slice(L, 2);
    const char *error = name_error(L, channel);
    struct buf *body = check_body(L, 3);
    if (!body) return lua_push_failure(L, "too_large");
    if (!error) error = refusal(L, body, members(site_of(L), channel));
    int status = error ? 0 : hub_publish(site_of(L), channel, body, NULL, NULL);
    buf_unref(body);
    return error ? lua_push_failure(L, error) : push_status(L, status);
}

static int server_broadcast(lua_State *L) {
    struct buf *body = check_body(L, 2);
    if (!body) return lua_push_failure(L, "too_large");
    const char *error = refusal(L, body, site_of(L)->sockets.count);
    int status = error ? 0 : hub_broadcast(site_of(L), body, NULL, NULL);
    buf_unref(body);
    return error ? lua_push_failure(L, error) : push_status(L, status);
}

/* ---- lists; a second result says that there is more than they hold ---- */

static lua_Integer check_max(lua_State *L, int index) {
    lua_Integer max = luaL_optinteger(L, index, LIST_MAX);
    luaL_argcheck(L, max >= 1 && max <= LIST_MAX, index, "1 to 1000 expected");
    return max;
}

static int server_sockets(lua_State *L) {
    const struct map *sockets = &site_of(L)->sockets;
    lua_Integer max = check_max(L, 2), n = 0;
    lua_json_push_list(L, 0);
    struct map_link *l = map_next(sockets, NULL);
    for (; l && n < max; l = map_next(sockets, l)) {
        struct socket *s = container_of(l, struct socket, by_sid);
        if (!socket_is_admitted(s) || !socket_is_open(s)) continue;
        handle_push(L, s);
        lua_rawseti(L, -2, ++n);
    }
    lua_pushboolean(L, l != NULL);
    return 2;
}

static int server_channels(lua_State *L) {
    const struct map *channels = &site_of(L)->channels;
    lua_Integer max = check_max(L, 2), n = 0;
    lua_json_push_list(L, 0);
    struct map_link *l = map_next(channels, NULL);
    for (; l && n < max; l = map_next(channels, l)) {
        push_name(L, container_of(l, struct channel, by_name));
        lua_rawseti(L, -2, ++n);
    }
    lua_pushboolean(L, l != NULL);
    return 2;
}

static int server_channel_sockets(lua_State *L) {
    struct channel *c = hub_channel(site_of(L), lua_check_slice(L, 2));
    lua_Integer max = check_max(L, 3), n = 0;
    lua_json_push_list(L, 0);
    if (c) {
        LIST_EACH(&c->members, link) {
            if (n == max) break;
            handle_push(L, container_of(link, struct member, in_channel)->socket);
            lua_rawseti(L, -2, ++n);
        }
    }
    lua_pushboolean(L, c && (size_t)n < c->count);
    return 2;
}

const luaL_Reg lib_channel_functions[] = {{"publish", server_publish},
                                          {"broadcast", server_broadcast},
                                          {"subscribe", server_subscribe},
                                          {"unsubscribe", server_unsubscribe},
                                          {"unsubscribeAll", server_unsubscribe_all},
                                          {"sockets", server_sockets},
                                          {"channels", server_channels},
                                          {"channelSockets", server_channel_sockets},
                                          {NULL, NULL}};
