/* SPDX-License-Identifier: MIT */
#include "script/lib_json.h"
#include "script/runtime.h"
#include "script/script.h"
#include "script/task.h"

#include "base/json.h"
#include "base/utf8.h"

#define ANSWER_BYTES 1048576

struct inquiry_work {
    struct task task;
    struct inquiry *inquiry; /* NULL: nobody waits */
    const char *verb;        /* lent for push, like body */
    struct slice body;
    int status;
    struct text json;
};

static int inquiry_push(lua_State *L, struct task *t) {
    const struct inquiry_work *w = container_of(t, struct inquiry_work, task);
    runtime_push(L, ENTRY_ADMIN);
    lua_pushstring(L, w->verb);
    lua_json_push(L, w->body);
    return 2;
}

static void inquiry_take(lua_State *L, struct task *t) {
    struct inquiry_work *w = container_of(t, struct inquiry_work, task);
    w->status = (int)luaL_checkinteger(L, 1);
    lua_json_encode(L, 2, &w->json, ANSWER_BYTES);
}

/* Operators may read what went wrong. */
static void write_error(struct inquiry_work *w, const struct script_error *error) {
    w->status = error ? 500 : 503;
    text_clear(&w->json);
    text_str(&w->json, "{\"error\":");
    json_quote(&w->json, slice_of(error ? error->code : "cancelled"));
    text_str(&w->json, ",\"message\":");
    struct slice text = error ? error->text : SLICE("the site was stopped");
    json_quote(&w->json, utf8_valid(text) ? text : SLICE("see the log"));
    text_char(&w->json, '}');
}

static void inquiry_ended(struct task *t, enum task_end how, const struct script_error *error) {
    struct inquiry_work *w = container_of(t, struct inquiry_work, task);
    struct inquiry *q = w->inquiry;
    if (how != TASK_DONE) write_error(w, error);
    if (q) {
        q->work = NULL;
        q->answered(q, w->status, text_slice(&w->json));
    }
    text_fini(&w->json);
    mem_free(w);
}

static const struct task_kind inquiry_kind = {"admin",      true,          inquiry_push,
                                              inquiry_take, inquiry_ended, NULL};

void script_inquire(struct site *site, const char *verb, struct slice body, struct inquiry *q) {
    struct inquiry_work *w = mem_new(sizeof *w);
    w->inquiry = q;
    w->verb = verb;
    w->body = body;
    q->work = w;
    task_start(runtime_of_site(site)->vm, &w->task, &inquiry_kind);
}

void script_inquiry_cancel(struct inquiry *q) {
    struct inquiry_work *w = q->work;
    if (!w) return;
    q->work = NULL;
    w->inquiry = NULL;
    task_cancel(&w->task);
}
