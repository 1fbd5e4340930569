/* SPDX-License-Identifier: MIT */
#include "script/lib_redis.h"

#include "script/lib_json.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/task.h"

#include "store/redis.h"
#include "store/redis_pack.h"

#include <errno.h>

#define COMMANDS_MAX 1000
#define WORDS_MAX 1000 /* of a command */

/* Commands under way. Each has its number as the place of its reply; when the task is gone the last
 * reply frees. */
struct sending {
    struct wait wait;
    size_t count, left;
    bool over; /* nobody waits any more */
    int status;
    struct reply {
        struct sending *of;
        struct buf *packed;
    } replies[];
};

static void sending_free(struct sending *s) {
    for (size_t i = 0; i < s->count; i++) buf_unref(s->replies[i].packed);
    mem_free(s);
}

static void on_reply(void *arg, int status, struct buf *packed) {
    struct reply *r = arg;
    struct sending *s = r->of;
    if (packed) r->packed = buf_ref(packed);
    else s->status = status;
    if (--s->left) return;
    if (s->over) sending_free(s);
    else task_resume(&s->wait);
}

/* ---- replies ---- */

static void push_item(lua_State *L, struct slice *packed) {
    struct redis_item item = redis_unpack(packed);
    switch (item.tag) {
    case REDIS_INTEGER: lua_pushinteger(L, item.integer); break;
    case REDIS_TEXT: lua_pushlstring(L, item.text.p, item.text.n); break;
    case REDIS_LIST:
        luaL_checkstack(L, 3, "a reply that is too deep");
        lua_json_push_list(L, item.count < 100000 ? (int)item.count : 0);
        for (uint32_t i = 1; i <= item.count; i++) {
            push_item(L, packed);
            lua_rawseti(L, -2, i);
        }
        break;
    default: lua_pushlightuserdata(L, NULL); /* json.null */
    }
}

static int push_replies(lua_State *L, struct wait *wait) {
    const struct sending *s = container_of(wait, struct sending, wait);
    if (s->status) return lua_push_failure(L, "unavailable");
    lua_json_push_list(L, (int)s->count);
    lua_newtable(L); /* stack: values, errors */
    for (size_t i = 0; i < s->count; i++) {
        struct slice packed = buf_slice(s->replies[i].packed), rest = packed;
        struct redis_item item = redis_unpack(&rest);
        push_item(L, &packed);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
        if (item.tag != REDIS_ERROR) continue;
        lua_pushlstring(L, item.text.p, item.text.n);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 2;
}

static void on_over(struct wait *wait) {
    struct sending *s = container_of(wait, struct sending, wait);
    s->over = true;
    if (!s->left) sending_free(s);
}

/* ---- commands ---- */

/* Fills words, which has room for WORDS_MAX, from the list at index; the texts stay in it. */
static size_t read_words(lua_State *L, int index, struct slice *words, size_t *bytes) {
    size_t n = lua_rawlen(L, index);
    luaL_argcheck(L, n && n <= WORDS_MAX, 2, "1 to 1000 words expected");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        words[i] = lua_check_slice(L, -1);
        *bytes += words[i].n;
        lua_pop(L, 1);
    }
    return n;
}

static size_t bytes_of(lua_State *L, size_t count, struct slice *words) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        read_words(L, lua_gettop(L), words, &bytes);
        lua_pop(L, 1);
    }
    return bytes;
}

/* Nothing in here raises: bytes_of has looked at every word. */
static int send_all(lua_State *L, struct sending *s, struct slice *words) {
    struct site *site = vm_of(L)->site;
    int status = 0;
    for (size_t i = 0; i < s->count && !status; i++) {
        size_t ignored = 0;
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        size_t n = read_words(L, lua_gettop(L), words, &ignored);
        s->replies[i].of = s;
        status = redis_site_send(site->core->store, site, words, n, on_reply, &s->replies[i]);
        lua_pop(L, 1);
        if (!status) s->left++;
    }
    return status;
}

static int wire_send(lua_State *L) {
    const char *who = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t count = lua_rawlen(L, 2);
    luaL_argcheck(L, count && count <= COMMANDS_MAX, 2, "1 to 1000 commands expected");
    task_may_wait(L, who);
    struct slice *words = lua_newuserdatauv(L, WORDS_MAX * sizeof *words, 0);
    if (bytes_of(L, count, words) > vm_of(L)->limits->script_string)
        return lua_push_failure(L, "too_large");
    luaL_checkstack(L, 4, NULL);
    struct site *site = vm_of(L)->site;
    if (site->stored && redis_site_room(site) < count) { /* all of them, or none */
        site_limit(site, "redis_calls");
        return lua_push_failure(L, "limit");
    }
    struct sending *s = mem_new(sizeof *s + count * sizeof *s->replies);
    s->count = count;
    s->wait.push = push_replies;
    s->wait.over = on_over;
    int status = send_all(L, s, words);
    if (!status) return task_wait(L, &s->wait);
    s->over = true;
    if (!s->left) sending_free(s);
    return lua_push_failure(L, status == -ENOBUFS ? "limit" : "unavailable");
}

int lib_redis_open(lua_State *L) {
    struct site *site = vm_of(L)->site;
    redis_site_open(site->core->store, site);
    lua_newtable(L);
    lua_pushcfunction(L, wire_send);
    lua_setfield(L, -2, "send");
    lua_pushfstring(L, "moonlatch:{%s}:kv:", site->name);
    lua_setfield(L, -2, "prefix");
    return 1;
}
