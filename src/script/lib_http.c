/* SPDX-License-Identifier: MIT */
#include "script/lib_http.h"

#include "script/lib_request.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/script.h"
#include "script/task.h"

#include "net/httpc.h"

struct requesting {
    struct http_exchange exchange;
    struct wait wait;
    bool over; /* exchange is done */
    const char *code, *why;
    struct http_response response;
};

static void on_done(struct http_exchange *x, const char *code, const char *why) {
    struct requesting *r = container_of(x, struct requesting, exchange);
    r->over = true;
    r->code = code;
    r->why = why;
    r->response.status = x->response.status;
    text_add(&r->response.head, text_slice(&x->response.head));
    text_add(&r->response.body, text_slice(&x->response.body));
    task_resume(&r->wait);
}

/* Takes what is before the next NUL. */
static struct slice next_text(struct slice *rest) {
    struct slice text = {NULL, 0};
    slice_next(rest, 0, &text);
    return text;
}

static void push_headers(lua_State *L, struct slice head) {
    lua_newtable(L);
    while (head.n) {
        struct slice name = next_text(&head), value = next_text(&head);
        lua_add_header(L, name, value);
    }
}

static int push_response(lua_State *L, struct wait *wait) {
    const struct requesting *r = container_of(wait, struct requesting, wait);
    if (r->code) {
        lua_push_failure(L, r->code);
        lua_pushstring(L, r->why);
        return 3;
    }
    lua_pushinteger(L, r->response.status);
    push_headers(L, text_slice(&r->response.head));
    vm_push_message(L, text_slice(&r->response.body));
    return 3;
}

static void on_over(struct wait *wait) {
    struct requesting *r = container_of(wait, struct requesting, wait);
    if (!r->over) http_cancel(&r->exchange);
    http_response_fini(&r->response);
    mem_free(r);
}

/* send(who, host, port, tls, method, bytes, seconds) */
static int wire_send(lua_State *L) {
    struct runtime *rt = runtime_of(vm_of(L));
    const char *who = luaL_checkstring(L, 1), *host = luaL_checkstring(L, 2);
    lua_Integer port = luaL_checkinteger(L, 3);
    struct slice method = lua_check_slice(L, 5), bytes = lua_check_slice(L, 6);
    lua_Number seconds = luaL_checknumber(L, 7);
    task_may_wait(L, who);
    struct requesting *r = mem_new(sizeof *r);
    bool head = slice_is(method, "HEAD"), get = slice_is(method, "GET");
    r->exchange = (struct http_exchange){.host = host,
                                         .port = (unsigned)port,
                                         .tls = lua_toboolean(L, 4),
                                         .head = head,
                                         .idempotent = head || get || slice_is(method, "PUT") ||
                                                       slice_is(method, "DELETE"),
                                         .request = buf_copy(bytes),
                                         .timeout_ms = (uint64_t)(seconds * 1000) + 1,
                                         .done = on_done};
    r->wait.push = push_response;
    r->wait.over = on_over;
    http_send(rt->httpc, &r->exchange);
    return task_wait(L, &r->wait);
}

int lib_http_open(lua_State *L) {
    struct runtime *rt = runtime_of(vm_of(L));
    if (!rt->httpc)
        rt->httpc = httpc_new(rt->host->net, rt->host->http_tls, &rt->limits, rt->site->name);
    lua_newtable(L);
    lua_pushcfunction(L, wire_send);
    lua_setfield(L, -2, "send");
    lua_pushnumber(L, (lua_Number)rt->limits.http_timeout / 1000);
    lua_setfield(L, -2, "timeout");
    return 1;
}
