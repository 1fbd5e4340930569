/* SPDX-License-Identifier: MIT */
/* How the core's questions reach the script: each hook is a task that pushes one of the functions
 * of runtime.lua with its arguments, and reads the results. What they mean is decided there; here
 * is only what becomes of it for the op.
 *
 * push runs before the hook returns, so what the core lent for the call may be pushed without a
 * copy; a struct outlives the hook only when the script waits. */
#include "script/lib_json.h"
#include "script/lib_request.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/task.h"

#include "base/json.h"
#include "base/utf8.h"
#include "core/ask.h"
#include "core/msg.h"

/* What a client reads of an error in a script: the id, which the log has too, and nothing else. */
static struct buf *error_json(const struct script_error *error) {
    struct text t = {0};
    if (strcmp(error->code, "script_error") == 0) {
        text_str(&t, "{\"message\":\"Internal error\",\"code\":\"script_error\",\"id\":");
        json_quote(&t, slice_of(error->id));
        text_char(&t, '}');
    } else {
        json_quote(&t, slice_of(error->code));
    }
    return text_take(&t);
}

/* The error of a task that did not come to its end. */
static struct buf *end_error(enum task_end how, const struct script_error *error) {
    return how == TASK_FAILED ? error_json(error) : buf_copy(SLICE("\"cancelled\""));
}

/* The data of an op as its listeners see it: { channel =, data = }. */
static void push_data(lua_State *L, const struct op *op) {
    lua_createtable(L, 0, 2);
    if (op->kind != OP_BROADCAST) {
        lua_pushlstring(L, op->channel.p, op->channel.n);
        lua_setfield(L, -2, "channel");
    }
    if (op->kind == OP_PUBLISH || op->kind == OP_BROADCAST) {
        lua_json_push(L, op->data);
        lua_setfield(L, -2, "data");
    }
}

/* ---- call: a controller answers, or the handler of an event ---- */

struct call_work {
    struct task task;
    struct op *op;
    struct text json; /* of the answer */
    struct attachments bytes; /* the same, of an event's */
    bool answered, failed;
};

static int call_push(lua_State *L, struct task *t) {
    const struct op *op = container_of(t, struct call_work, task)->op;
    runtime_push(L, ENTRY_CALL);
    lua_pushlstring(L, op->name.p, op->name.n);
    handle_push_auth(L, op->socket);
    if (op->request.n) lua_json_push(L, op->request);
    else lua_pushnil(L);
    handle_push(L, op->socket);
    return 4;
}

static int event_push(lua_State *L, struct task *t) {
    const struct op *op = container_of(t, struct call_work, task)->op;
    runtime_push(L, ENTRY_EVENT);
    lua_pushlstring(L, op->name.p, op->name.n);
    lua_pushboolean(L, op->uuid.n > 0);
    handle_push_auth(L, op->socket);
    handle_push(L, op->socket);
    return 4 + lua_json_push_items(L, op->request, 1, &op->attachments);
}

/* All results are what the ack has. */
static void event_take(lua_State *L, struct task *t) {
    struct call_work *w = container_of(t, struct call_work, task);
    int count = lua_gettop(L);
    if (!w->op->uuid.n || w->op->timed_out) return;
    text_char(&w->json, '[');
    for (int i = 1; i <= count; i++) {
        if (i > 1) text_char(&w->json, ',');
        lua_json_encode_with(L, i, &w->json, t->vm->limits->script_string, &w->bytes);
    }
    text_char(&w->json, ']');
}

static void call_take(lua_State *L, struct task *t) {
    struct call_work *w = container_of(t, struct call_work, task);
    w->answered = !lua_isnoneornil(L, 1);
    w->failed = !w->answered && !lua_isnoneornil(L, 2);
    if ((w->answered || w->failed) && !w->op->timed_out)
        lua_json_encode(L, w->answered ? 1 : 2, &w->json, t->vm->limits->script_string);
}

static void call_ended(struct task *t, enum task_end how, const struct script_error *error) {
    struct call_work *w = container_of(t, struct call_work, task);
    struct op *op = w->op;
    struct buf *json = w->json.n ? text_take(&w->json) : NULL;
    bool failed = w->failed;
    text_fini(&w->json);
    op->answered = w->bytes;
    mem_free(w);
    op->task = NULL;
    if (how != TASK_DONE) {
        buf_unref(json);
        op_fail(op, end_error(how, error));
    } else if (failed && json) {
        op_fail(op, json);
    } else {
        op_reply(op, json);
    }
}

static struct slice call_handler(const struct task *t) {
    return container_of(t, struct call_work, task)->op->name;
}

static const struct task_kind call_kind = {"rpc",     true,       call_push,
                                           call_take, call_ended, call_handler};

static const struct task_kind event_kind = {"event",    true,       event_push,
                                            event_take, call_ended, call_handler};

static void on_call(struct op *op) {
    struct call_work *w = mem_new(sizeof *w);
    w->op = op;
    op->task = w;
    task_offer(runtime_of_site(op->socket->site)->vm, &w->task,
               op->is_event ? &event_kind : &call_kind);
}

/* ---- authorize: the listeners vote ---- */

struct permit_work {
    struct task task;
    struct op *op;
    struct text json; /* of the error, or of what is to be published instead */
    bool allowed;
    bool waits; /* the core was told WAIT */
    bool over;  /* the core can be told verdict */
    enum verdict verdict;
};

static int permit_push(lua_State *L, struct task *t) {
    const struct op *op = container_of(t, struct permit_work, task)->op;
    runtime_push(L, ENTRY_PERMIT);
    lua_pushstring(L, op_kind_name(op->kind));
    handle_push(L, op->socket);
    push_data(L, op);
    return 3;
}

static void permit_take(lua_State *L, struct task *t) {
    struct permit_work *w = container_of(t, struct permit_work, task);
    w->allowed = lua_toboolean(L, 1);
    int index = w->allowed ? 3 : 2;
    if (!lua_isnoneornil(L, index))
        lua_json_encode(L, index, &w->json, t->vm->limits->published_message);
}

static void permit_ended(struct task *t, enum task_end how, const struct script_error *error) {
    struct permit_work *w = container_of(t, struct permit_work, task);
    struct op *op = w->op;
    struct buf *json = w->json.n ? text_take(&w->json) : NULL;
    text_fini(&w->json);
    w->verdict = how == TASK_DONE && w->allowed ? ALLOW : DENY;
    if (how != TASK_DONE) {
        buf_unref(json);
        json = end_error(how, error);
    } else if (json && w->verdict == ALLOW) {
        op_replace(op, json);
        json = NULL;
    }
    op->task = NULL;
    if (w->waits) {
        enum verdict verdict = w->verdict;
        mem_free(w);
        op_decide(op, verdict, json);
    } else {
        op->error = json;
        w->over = true;
    }
}

static const struct task_kind permit_kinds[] = {
    {"subscribe", true, permit_push, permit_take, permit_ended, NULL},
    {"unsubscribe", true, permit_push, permit_take, permit_ended, NULL},
    {"publish", true, permit_push, permit_take, permit_ended, NULL},
    {"broadcast", true, permit_push, permit_take, permit_ended, NULL},
};

static enum verdict on_authorize(struct op *op) {
    struct permit_work *w = mem_new(sizeof *w);
    w->op = op;
    op->task = w;
    task_offer(runtime_of_site(op->socket->site)->vm, &w->task, &permit_kinds[op->kind]);
    if (!w->over) {
        w->waits = true;
        return WAIT;
    }
    enum verdict verdict = w->verdict;
    mem_free(w);
    return verdict;
}

/* ---- authenticated: the reply waits for the listeners ---- */

struct welcome {
    struct task task;
    struct socket *socket; /* lent for push */
    struct op *op;         /* NULL: nobody waits */
    bool waits, over;
};

static int welcome_push(lua_State *L, struct task *t) {
    struct welcome *w = container_of(t, struct welcome, task);
    runtime_push(L, ENTRY_AUTHENTICATED);
    handle_push(L, w->socket);
    handle_push_auth(L, w->socket);
    return 2;
}

static void welcome_ended(struct task *t, enum task_end how, const struct script_error *error) {
    (void)how; /* listeners of this event cannot refuse */
    (void)error;
    struct welcome *w = container_of(t, struct welcome, task);
    w->over = true;
    if (!w->waits) return;
    struct op *op = w->op;
    mem_free(w);
    if (!op) return;
    op->task = NULL;
    op_decide(op, ALLOW, NULL);
}

static const struct task_kind welcome_kind = {"authentication", true, welcome_push, NULL,
                                              welcome_ended,    NULL};

static enum verdict on_authenticated(struct socket *socket, struct op *op) {
    struct welcome *w = mem_new(sizeof *w);
    w->socket = socket;
    w->op = op;
    task_start(runtime_of_site(socket->site)->vm, &w->task, &welcome_kind);
    if (w->over) {
        mem_free(w);
        return ALLOW;
    }
    w->waits = true;
    if (op) op->task = w;
    return WAIT;
}

/* ---- what happens, and nobody waits for ---- */

struct event {
    struct task task;
    struct runtime *rt;
    /* lent for push */
    const struct op *op;
    struct socket *socket;
    struct slice text; /* a channel, a message, a reason */
    bool binary;
    int code;
};

static void event_ended(struct task *t, enum task_end how, const struct script_error *error) {
    (void)how;
    (void)error;
    struct event *e = container_of(t, struct event, task);
    if (e->rt->spare_event) mem_free(e);
    else e->rt->spare_event = e;
}

static struct event *event_new(struct runtime *rt, struct event event) {
    struct event *e = rt->spare_event ? rt->spare_event : mem_raw(sizeof *e);
    rt->spare_event = NULL;
    *e = event;
    e->rt = rt;
    return e;
}

static void event_start(struct runtime *rt, const struct task_kind *kind, struct event event) {
    task_start(rt->vm, &event_new(rt, event)->task, kind);
}

static void push_emit(lua_State *L, const char *name) {
    runtime_push(L, ENTRY_EMIT);
    lua_pushstring(L, name);
}

static int after_push(lua_State *L, struct task *t) {
    const struct op *op = container_of(t, struct event, task)->op;
    runtime_push(L, ENTRY_AFTER);
    lua_pushstring(L, op_kind_name(op->kind));
    handle_push(L, op->socket);
    push_data(L, op);
    return 3;
}

static int connect_push(lua_State *L, struct task *t) {
    push_emit(L, "connect");
    handle_push(L, container_of(t, struct event, task)->socket);
    return 2;
}

static int disconnect_push(lua_State *L, struct task *t) {
    const struct event *e = container_of(t, struct event, task);
    push_emit(L, "disconnect");
    handle_push(L, e->socket);
    lua_pushinteger(L, e->code);
    lua_pushlstring(L, e->text.p, e->text.n);
    return 4;
}

/* The hottest of all: a site with one listener has it called as it is. */
static int message_push(lua_State *L, struct task *t) {
    const struct event *e = container_of(t, struct event, task);
    bool direct = e->rt->message != LUA_NOREF;
    if (direct) lua_rawgeti(L, LUA_REGISTRYINDEX, e->rt->message);
    else push_emit(L, "message");
    handle_push(L, e->socket);
    vm_push_message(L, e->text);
    lua_pushboolean(L, e->binary);
    return direct ? 3 : 4;
}

static int channel_push(lua_State *L, struct task *t) {
    const struct event *e = container_of(t, struct event, task);
    push_emit(L, t->kind->name);
    lua_pushlstring(L, e->text.p, e->text.n);
    return 2;
}

static int shutdown_push(lua_State *L, struct task *t) {
    (void)t;
    push_emit(L, "shutdown");
    return 1;
}

static const struct task_kind after_kind = {"after", true, after_push, NULL, event_ended, NULL};
static const struct task_kind connect_kind = {"connect", true,        connect_push,
                                              NULL,      event_ended, NULL};
static const struct task_kind disconnect_kind = {"disconnect", true,        disconnect_push,
                                                 NULL,         event_ended, NULL};
static const struct task_kind message_kind = {"message", true,        message_push,
                                              NULL,      event_ended, NULL};
static const struct task_kind occupied_kind = {"occupied", true,        channel_push,
                                               NULL,       event_ended, NULL};
static const struct task_kind vacated_kind = {"vacated", true,        channel_push,
                                              NULL,      event_ended, NULL};
static const struct task_kind gap_kind = {"gap", true, channel_push, NULL, event_ended, NULL};
static const struct task_kind shutdown_kind = {"shutdown", true,        shutdown_push,
                                               NULL,       event_ended, NULL};

static void on_after(struct op *op) {
    struct runtime *rt = runtime_of_site(op->socket->site);
    if (rt->after & 1u << op->kind) event_start(rt, &after_kind, (struct event){.op = op});
}

static void on_connect(struct socket *s) {
    event_start(runtime_of_site(s->site), &connect_kind, (struct event){.socket = s});
}

static void on_disconnect(struct socket *s, int code, const char *reason) {
    event_start(runtime_of_site(s->site), &disconnect_kind,
                (struct event){.socket = s, .code = code, .text = slice_of(reason)});
}

static void on_message(struct socket *s, struct slice data, bool binary) {
    struct runtime *rt = runtime_of_site(s->site);
    struct event event = {.socket = s, .text = data, .binary = binary};
    task_offer(rt->vm, &event_new(rt, event)->task, &message_kind);
}

static void on_occupied(struct site *site, struct slice channel) {
    event_start(runtime_of_site(site), &occupied_kind, (struct event){.text = channel});
}

static void on_vacated(struct site *site, struct slice channel) {
    event_start(runtime_of_site(site), &vacated_kind, (struct event){.text = channel});
}

static void on_gap(struct site *site, struct slice channel) {
    event_start(runtime_of_site(site), &gap_kind, (struct event){.text = channel});
}

void hooks_emit_shutdown(struct runtime *rt) {
    event_start(rt, &shutdown_kind, (struct event){.socket = NULL});
}

/* ---- filter: once for each socket that is to get a message ---- */

struct filtering {
    struct task task;
    struct socket *socket;
    const struct msg *msg;
    struct text json;
    bool allowed;
};

static int filter_push(lua_State *L, struct task *t) {
    const struct filtering *f = container_of(t, struct filtering, task);
    lua_rawgeti(L, LUA_REGISTRYINDEX, runtime_of(t->vm)->filter);
    handle_push(L, f->socket);
    lua_pushlstring(L, f->msg->channel.p, f->msg->channel.n);
    lua_json_push(L, buf_slice(f->msg->body));
    return 3;
}

static void filter_take(lua_State *L, struct task *t) {
    struct filtering *f = container_of(t, struct filtering, task);
    f->allowed = lua_toboolean(L, 1);
    if (f->allowed && !lua_isboolean(L, 1))
        lua_json_encode(L, 1, &f->json, t->vm->limits->script_string);
}

static void filter_ended(struct task *t, enum task_end how, const struct script_error *error) {
    (void)error;
    if (how != TASK_DONE) container_of(t, struct filtering, task)->allowed = false;
}

static const struct task_kind filter_kind = {"filter",    false,        filter_push,
                                             filter_take, filter_ended, NULL};

static enum verdict on_filter(struct socket *s, const struct msg *m, struct buf **replacement) {
    struct filtering f = {.socket = s, .msg = m};
    task_start(runtime_of_site(s->site)->vm, &f.task, &filter_kind);
    if (f.allowed && f.json.n) *replacement = text_take(&f.json);
    text_fini(&f.json);
    return f.allowed ? ALLOW : DENY;
}

/* ---- asked: a node wants to know something ---- */

struct asked {
    struct task task;
    struct site *site;
    struct buf *node, *id;
    struct slice question; /* lent for push */
    struct text json;
};

static int asked_push(lua_State *L, struct task *t) {
    runtime_push(L, ENTRY_ASKED);
    lua_json_push(L, container_of(t, struct asked, task)->question);
    return 1;
}

static void asked_take(lua_State *L, struct task *t) {
    struct asked *a = container_of(t, struct asked, task);
    lua_json_encode(L, 1, &a->json, t->vm->limits->script_string);
}

static void asked_ended(struct task *t, enum task_end how, const struct script_error *error) {
    struct asked *a = container_of(t, struct asked, task);
    (void)error;
    struct buf *answer =
        how == TASK_DONE ? text_take(&a->json) : buf_copy(SLICE("{\"error\":\"unavailable\"}"));
    if (how != TASK_CANCELLED) ask_reply(a->site, buf_slice(a->node), buf_slice(a->id), answer);
    buf_unref(answer);
    buf_unref(a->node);
    buf_unref(a->id);
    text_fini(&a->json);
    mem_free(a);
}

static const struct task_kind asked_kind = {"ask", true, asked_push, asked_take, asked_ended, NULL};

static void on_asked(struct site *site, struct slice node, struct slice id, struct slice question) {
    struct asked *a = mem_new(sizeof *a);
    a->site = site;
    a->node = buf_copy(node);
    a->id = buf_copy(id);
    a->question = question;
    task_offer(runtime_of_site(site)->vm, &a->task, &asked_kind);
}

/* ---- login ---- */

struct login_work {
    struct task task;
    struct login *login;
    struct text text;
    enum login_outcome outcome;
};

static int login_push(lua_State *L, struct task *t) {
    const struct login *l = container_of(t, struct login_work, task)->login;
    runtime_push(L, ENTRY_LOGIN);
    request_push(L, l->request);
    lua_pushboolean(L, l->token_route);
    return 2;
}

static void take_auth(lua_State *L, struct login_work *w) {
    lua_json_encode(L, 2, &w->text, runtime_of(vm_of(L))->limits.script_string);
    if (text_slice(&w->text).p[0] != '{')
        luaL_error(L, "authentication must give an object, not a list");
    w->login->auth = text_take(&w->text);
}

static void take_error(lua_State *L, struct login_work *w) {
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    if (!utf8_valid(slice_make(p, n))) luaL_error(L, "the error of authentication is not UTF-8");
    w->login->error = buf_copy(slice_make(p, n));
    if (lua_isnoneornil(L, 3)) return;
    lua_json_encode(L, 3, &w->text, runtime_of(vm_of(L))->limits.script_string);
    w->login->error_data = text_take(&w->text);
}

/* status, headers, body */
static void take_answer(lua_State *L, struct login_work *w) {
    struct ip none = {{0}};
    size_t n;
    const char *p = luaL_checklstring(L, 4, &n);
    w->login->status = (int)luaL_checkinteger(L, 2);
    w->login->body = buf_copy(slice_make(p, n));
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1))
        handshake_add(&w->text, slice_of(luaL_checkstring(L, -2)),
                      slice_of(luaL_checkstring(L, -1)));
    w->login->headers = handshake_new(&w->text, &none);
}

static void login_take(lua_State *L, struct task *t) {
    static const char *const names[] = {"admitted", "refused", "failed", "answered", NULL};
    struct login_work *w = container_of(t, struct login_work, task);
    w->outcome = (enum login_outcome)luaL_checkoption(L, 1, NULL, names);
    if (w->outcome == LOGIN_ADMITTED) take_auth(L, w);
    else if (w->outcome == LOGIN_FAILED) take_error(L, w);
    else if (w->outcome == LOGIN_ANSWERED) take_answer(L, w);
}

static void login_ended(struct task *t, enum task_end how, const struct script_error *error) {
    struct login_work *w = container_of(t, struct login_work, task);
    struct login *l = w->login;
    enum login_outcome outcome = how == TASK_DONE ? w->outcome : LOGIN_FAILED;
    text_fini(&w->text);
    mem_free(w);
    l->task = NULL;
    if (how != TASK_DONE) {
        bool internal = how == TASK_FAILED && strcmp(error->code, "script_error") == 0;
        buf_unref(l->error);
        l->error = buf_copy(internal             ? SLICE("Internal error")
                            : how == TASK_FAILED ? slice_of(error->code)
                                                 : SLICE("cancelled"));
    }
    login_finish(l, outcome);
}

static const struct task_kind login_kind = {"authentication", true,        login_push,
                                            login_take,       login_ended, NULL};

static void on_login(struct login *l) {
    struct login_work *w = mem_new(sizeof *w);
    w->login = l;
    l->task = w;
    task_offer(runtime_of_site(l->site)->vm, &w->task, &login_kind);
}

const struct hooks script_hooks = {
    .authorize = on_authorize,
    .call = on_call,
    .authenticated = on_authenticated,
    .after = on_after,
    .filter = on_filter,
    .connect = on_connect,
    .disconnect = on_disconnect,
    .message = on_message,
    .occupied = on_occupied,
    .vacated = on_vacated,
    .gap = on_gap,
    .asked = on_asked,
    .login = on_login,
    .forget = handle_forget,
};
