/* SPDX-License-Identifier: MIT */
#ifndef SPEC_C_VM_RIG_H
#define SPEC_C_VM_RIG_H

#include "base/id.h"
#include "script/sandbox.h"
#include "script/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A vm for a site that is nothing but a name, and a task that runs a text in it. A test that hangs
 * is ended by an alarm. */
struct rig {
    struct core core;
    struct random random;
    struct limits limits;
    struct site_conf conf;
    struct site site;
    struct vm *vm;
    int log[2]; /* a pipe: what was logged */
};

static inline void rig_init(struct rig *r) {
    static char name[] = "spec", folder[] = "spec/c/scripts";
    alarm(30);
    memset(r, 0, sizeof *r);
    assert_int_equal(pipe(r->log), 0);
    r->core.loop = loop_new();
    list_init(&r->core.sites);
    r->core.log = log_new(NULL, r->log[1]);
    r->core.metrics = metrics_new();
    r->core.random = &r->random;
    limits_init(&r->limits);
    r->limits.script_violations = 1000000; /* many a spec does nothing else */
    r->limits.script_share = 1000;
    r->conf.name = name;
    r->conf.script = folder;
    r->site = (struct site){.core = &r->core, .conf = &r->conf, .name = name, .limits = &r->limits};
}

/* Limits may be set between rig_init and this; after it those of conf count. */
static inline void rig_open(struct rig *r) {
    struct text error = {0};
    r->conf.limits = r->limits;
    r->vm = vm_new(&r->site, 1, "spec/c/library", &error);
    if (!r->vm) fail_msg("%.*s", (int)error.n, text_slice(&error).p);
    text_fini(&error);
    vm_set_budget(r->vm, r->limits.script_time);
}

static inline void rig_fini(struct rig *r) {
    vm_free(r->vm);
    assert_null(r->core.watchdog);
    log_free(r->core.log);
    metrics_free(r->core.metrics);
    loop_free(r->core.loop);
    close(r->log[0]);
    close(r->log[1]);
    alarm(0);
}

/* What was logged since the last call; empty when nothing was. */
static inline const char *rig_logged(struct rig *r, char *out, size_t n) {
    ssize_t got = 0;
    if (write(r->log[1], "\n", 1) == 1) got = read(r->log[0], out, n - 1);
    out[got > 0 ? got : 0] = '\0';
    return out;
}

/* A text that runs as a task; what it returned, as tostring shows it, or how it failed. */
struct script {
    struct task task;
    const char *source;
    bool ended;
    enum task_end how;
    char code[32];
    char text[512];
    double ms;
};

static inline double rig_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static inline int script_push(lua_State *L, struct task *t) {
    struct script *s = container_of(t, struct script, task);
    if (luaL_loadbufferx(L, s->source, strlen(s->source), "=script", "t") != LUA_OK) lua_error(L);
    return 0;
}

static inline void script_take(lua_State *L, struct task *t) {
    struct script *s = container_of(t, struct script, task);
    s->text[0] = '\0';
    for (int i = 1; i <= lua_gettop(L); i++) {
        size_t n = strlen(s->text);
        snprintf(s->text + n, sizeof s->text - n, "%s%s", n ? " " : "", luaL_tolstring(L, i, NULL));
        lua_pop(L, 1);
    }
}

static inline void script_ended(struct task *t, enum task_end how, const struct script_error *e) {
    struct script *s = container_of(t, struct script, task);
    assert_false(s->ended);
    s->ended = true;
    s->how = how;
    assert_int_equal(how == TASK_FAILED, e != NULL);
    snprintf(s->code, sizeof s->code, "%s", e ? e->code : "");
    if (e) snprintf(s->text, sizeof s->text, "%.*s", (int)e->text.n, e->text.p ? e->text.p : "");
}

static const struct task_kind script_kind = {"spec", true, script_push, script_take, script_ended};
static const struct task_kind filter_kind = {"filter", false, script_push, script_take,
                                             script_ended};

static inline void script_start(struct rig *r, struct script *s, const char *source) {
    memset(s, 0, sizeof *s);
    s->source = source;
    double start = rig_now_ms();
    task_start(r->vm, &s->task, &script_kind);
    s->ms = rig_now_ms() - start;
}

/* Runs source to its end; the text is what it returned. */
static inline const char *rig_run(struct rig *r, struct script *s, const char *source) {
    script_start(r, s, source);
    while (!s->ended) loop_turn(r->core.loop);
    return s->text;
}

static inline void expect(struct rig *r, const char *source, const char *result) {
    struct script s;
    rig_run(r, &s, source);
    if (s.how != TASK_DONE || strcmp(s.text, result) != 0)
        fail_msg("%s\n gave: %s %s\n not:  %s", source, s.code, s.text, result);
}

/* source raises something that has `part` in it. */
static inline void expect_error(struct rig *r, const char *source, const char *part) {
    struct script s;
    rig_run(r, &s, source);
    if (s.how != TASK_FAILED || !strstr(s.text, part))
        fail_msg("%s\n gave: %s %s\n not an error with: %s", source, s.code, s.text, part);
}

#endif
