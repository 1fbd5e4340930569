/* SPDX-License-Identifier: MIT */
/* Tasks: that they wait and go on, end exactly once whatever happens, and that nothing resumes a
 * coroutine but who should. */
#include "c/vm_rig.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

/* ---- a function that waits: wait(name) returns the name and what it was woken with ---- */

struct bell {
    struct wait wait;
    struct list link; /* in bells */
    char name[32];
    int value;
    bool fails;
};

struct belfry {
    struct rig rig;
    struct list bells;
    int over;         /* waits that are */
    struct vm *other; /* a second one of the same worker */
};

static struct belfry *belfry_of(lua_State *L) { return vm_of(L)->script; }

static int bell_push(lua_State *L, struct wait *w) {
    struct bell *b = container_of(w, struct bell, wait);
    if (b->fails) luaL_error(L, "bell broke");
    lua_pushstring(L, b->name);
    lua_pushinteger(L, b->value);
    return 2;
}

static void bell_over(struct wait *w) {
    struct bell *b = container_of(w, struct bell, wait);
    struct belfry *f = w->task->vm->script;
    list_remove(&b->link);
    f->over++;
    mem_free(b);
}

static int spec_wait(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    bool at_once = lua_toboolean(L, 2);
    task_may_wait(L, "spec.wait");
    struct bell *b = mem_new(sizeof *b);
    b->wait.push = bell_push;
    b->wait.over = bell_over;
    snprintf(b->name, sizeof b->name, "%s", name);
    list_push(&belfry_of(L)->bells, &b->link);
    if (at_once) { /* what it waits for has come before it waits */
        b->wait.task = task_of(L);
        b->value = 1;
        task_resume(&b->wait);
    }
    return task_wait(L, &b->wait);
}

static int spec_cancel(lua_State *L) {
    task_cancel(task_of(L));
    return 0;
}

/* Starts another task inside this one and returns what it said. */
static int spec_nest(lua_State *L) {
    struct script s;
    const char *source = luaL_checkstring(L, 1);
    memset(&s, 0, sizeof s);
    s.source = source;
    task_start(vm_of(L), &s.task, &filter_kind);
    lua_pushstring(L, s.text);
    lua_pushstring(L, s.code);
    return 2;
}

static int open_spec(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"wait", spec_wait}, {"cancel", spec_cancel}, {"nest", spec_nest}, {NULL, NULL}};
    sandbox_library(L, functions);
    return 1;
}

static int add_spec(lua_State *L) {
    vm_module(L, "moonlatch.belfry", open_spec, false);
    return 0;
}

static void belfry_init(struct belfry *f) {
    memset(f, 0, sizeof *f);
    list_init(&f->bells);
    rig_init(&f->rig);
    rig_open(&f->rig);
    f->rig.vm->script = f;
    assert_true(vm_protect(f->rig.vm, add_spec, NULL, NULL));
}

static void belfry_fini(struct belfry *f) { rig_fini(&f->rig); }

/* Rings the bell of that name. */
static void ring(struct belfry *f, const char *name, int value) {
    LIST_EACH(&f->bells, link) {
        struct bell *b = container_of(link, struct bell, link);
        if (strcmp(b->name, name) != 0) continue;
        b->value = value;
        b->fails = value < 0;
        task_resume(&b->wait);
        return;
    }
    fail_msg("nobody waits for %s", name);
}

#define WAIT "local wait = require 'moonlatch.belfry'.wait "

/* ---- waiting ---- */

static void a_task_waits_and_goes_on(void **state) {
    struct belfry f;
    struct script a, b;
    (void)state;
    belfry_init(&f);
    script_start(
        &f.rig, &a,
        WAIT "local x = { wait('one') } local y = { wait('two') } return x[1], x[2], y[1], y[2]");
    script_start(&f.rig, &b, WAIT "return wait('other')");
    assert_false(a.ended);
    ring(&f, "one", 1);
    assert_false(a.ended);
    ring(&f, "other", 9);
    assert_true(b.ended);
    assert_string_equal(b.text, "other 9");
    ring(&f, "two", 2);
    assert_true(a.ended);
    assert_string_equal(a.text, "one 1 two 2");
    assert_int_equal(f.over, 3);
    assert_int_equal(f.rig.vm->task_count, 0);
    belfry_fini(&f);
}

static void a_wait_may_be_over_before_it_begins(void **state) {
    struct belfry f;
    (void)state;
    belfry_init(&f);
    expect(&f.rig,
           WAIT "local n = 0 for i = 1, 100 do n = n + select(2, wait('x', true)) end return n",
           "100");
    expect(&f.rig, WAIT "return coroutine.wrap(function() return wait('x', true) end)()", "x 1");
    assert_int_equal(f.over, 101);
    belfry_fini(&f);
}

static void waiting_passes_through_coroutines_and_pcall(void **state) {
    struct belfry f;
    struct script s;
    (void)state;
    belfry_init(&f);
    script_start(
        &f.rig, &s,
        WAIT "local co = coroutine.wrap(function(...) "
             "  local inner = coroutine.create(function() coroutine.yield(wait('deep')) return "
             "wait('deeper') end) "
             "  local _, a, b = coroutine.resume(inner) "
             "  local ok, c, d = pcall(function() return select(2, coroutine.resume(inner)) end) "
             "  coroutine.yield(a, b) return ok, c, d end) "
             "local a, b = co() local ok, c, d = co() return a, b, ok, c, d");
    ring(&f, "deep", 3);
    ring(&f, "deeper", 4);
    assert_true(s.ended);
    assert_string_equal(s.text, "deep 3 true deeper 4");
    belfry_fini(&f);
}

static void what_waits_is_resumed_by_nobody_else(void **state) {
    struct belfry f;
    struct script a;
    (void)state;
    belfry_init(&f);
    script_start(&f.rig, &a,
                 WAIT "local shared = require 'shared' "
                      "shared.task = coroutine.running() "
                      "shared.inner = coroutine.create(function() return wait('bell') end) "
                      "return coroutine.resume(shared.inner)");
    assert_false(a.ended);
    expect(&f.rig, "return coroutine.resume(require 'shared'.inner)",
           "false cannot resume waiting coroutine");
    expect(&f.rig, "return coroutine.resume(require 'shared'.task)",
           "false cannot resume waiting coroutine");
    expect(&f.rig, "return coroutine.status(require 'shared'.inner)", "suspended");
    ring(&f, "bell", 5);
    assert_string_equal(a.text, "true bell 5");
    expect(&f.rig, "return coroutine.resume(require 'shared'.inner)",
           "false cannot resume dead coroutine");
    /* its coroutine is in the pool, or runs this very script */
    struct script s;
    rig_run(&f.rig, &s,
            "local t = require 'shared'.task return (coroutine.resume(t)), coroutine.status(t)");
    assert_true(!strcmp(s.text, "false dead") || !strcmp(s.text, "false running"));
    expect_error(&f.rig, "coroutine.yield(1)", "outside a coroutine");
    belfry_fini(&f);
}

static void waiting_is_refused_where_it_cannot_be(void **state) {
    struct belfry f;
    struct script s;
    (void)state;
    belfry_init(&f);
    script_start(&f.rig, &s,
                 WAIT "return setmetatable({}, { __index = function() return wait('x') end }).y");
    ring(&f, "x", 1); /* Lua's own metamethods may wait, and iterators of a for loop */
    assert_string_equal(s.text, "x");
    script_start(&f.rig, &s,
                 WAIT "local n = 0 for _, v in function(_, c) if not c then return wait('x') end "
                      "end do n = n + v end return n");
    ring(&f, "x", 3);
    assert_string_equal(s.text, "3");
    expect_error(&f.rig, WAIT "table.sort({ 1, 2 }, function() wait('x') end)",
                 "spec.wait may not wait here");
    expect_error(&f.rig, WAIT "string.gsub('x', 'x', function() wait('x') end)",
                 "spec.wait may not wait here");
    expect_error(
        &f.rig, WAIT "local co = coroutine.wrap(function() wait('x') end) table.sort({ 1, 2 }, co)",
        "spec.wait may not wait here");
    expect_error(&f.rig, "require 'waits'", "spec.wait may not wait here");
    memset(&s, 0, sizeof s);
    s.source = WAIT "return wait('x')";
    task_start(f.rig.vm, &s.task, &filter_kind);
    assert_non_null(strstr(s.text, "spec.wait may not wait in filter"));
    belfry_fini(&f);
}

static void an_error_in_push_is_the_scripts(void **state) {
    struct belfry f;
    struct script s;
    (void)state;
    belfry_init(&f);
    script_start(&f.rig, &s, WAIT "return wait('a')");
    ring(&f, "a", -1);
    assert_string_equal(s.code, "script_error");
    script_start(&f.rig, &s, WAIT "local ok, e = pcall(wait, 'a') return ok, e, wait('b')");
    ring(&f, "a", -1);
    ring(&f, "b", 2);
    assert_string_equal(s.text, "false bell broke b 2");
    script_start(&f.rig, &s, WAIT "return (pcall(wait, 'a'))");
    ring(&f, "a", -1);
    assert_string_equal(s.text, "false");
    assert_int_equal(f.over, 4);
    belfry_fini(&f);
}

/* ---- cancelling ---- */

static void a_cancelled_task_ends_once(void **state) {
    struct belfry f;
    struct script s;
    (void)state;
    belfry_init(&f);
    script_start(&f.rig, &s, WAIT "wait('x')");
    task_cancel(&s.task);
    assert_true(s.ended && s.how == TASK_CANCELLED);
    task_cancel(&s.task);
    assert_true(list_empty(&f.bells));
    rig_run(&f.rig, &s, "require 'moonlatch.belfry'.cancel() return 1");
    assert_int_equal(s.how, TASK_CANCELLED);
    rig_run(&f.rig, &s, WAIT "require 'moonlatch.belfry'.cancel() wait('x')");
    assert_int_equal(s.how, TASK_CANCELLED);
    rig_run(&f.rig, &s, WAIT "require 'moonlatch.belfry'.cancel() wait('x', true)");
    assert_int_equal(s.how, TASK_CANCELLED);
    rig_run(&f.rig, &s, "require 'moonlatch.belfry'.cancel() error('x')");
    assert_int_equal(s.how, TASK_CANCELLED);
    assert_int_equal(f.rig.vm->task_count, 0);
    assert_int_equal(f.over, 3);
    belfry_fini(&f);
}

static void the_end_of_the_vm_cancels_all(void **state) {
    struct belfry f;
    struct script s[10];
    (void)state;
    belfry_init(&f);
    for (int i = 0; i < 10; i++)
        script_start(&f.rig, &s[i],
                     i % 2 ? WAIT "coroutine.wrap(function() wait('x') end)()"
                           : "require 'moonlatch.time'.sleep(60)");
    belfry_fini(&f);
    for (int i = 0; i < 10; i++) assert_true(s[i].ended && s[i].how == TASK_CANCELLED);
    assert_int_equal(f.over, 5);
}

static void there_are_not_more_tasks_than_allowed(void **state) {
    struct belfry f;
    struct script *s = mem_new(101 * sizeof *s);
    (void)state;
    belfry_init(&f);
    f.rig.conf.limits.script_tasks = 100;
    for (int i = 0; i <= 100; i++) script_start(&f.rig, &s[i], WAIT "return wait('x')");
    assert_false(s[99].ended);
    assert_true(s[100].ended);
    assert_string_equal(s[100].code, "overload");
    for (int i = 0; i < 100; i++) ring(&f, "x", i);
    assert_true(s[99].ended);
    assert_string_equal(s[99].text, "x 99");
    assert_int_equal(f.rig.vm->idle_count, VM_IDLE);
    expect(&f.rig, "return 1", "1");
    belfry_fini(&f);
    mem_free(s);
}

/* ---- nesting and time ---- */

static void tasks_start_inside_tasks(void **state) {
    struct belfry f;
    struct script s;
    (void)state;
    belfry_init(&f);
    expect(&f.rig, "return require 'moonlatch.belfry'.nest('return 1 + 1')", "2 ");
    expect(&f.rig,
           "return coroutine.wrap(function() return require 'moonlatch.belfry'.nest('return 1 + 1') "
           "end)()",
           "2 ");
    expect(&f.rig, "return select(2, require 'moonlatch.belfry'.nest('error(1)'))", "script_error");
    rig_run(&f.rig, &s,
            "local nest = require 'moonlatch.belfry'.nest "
            "local text = 'return 1' for i = 1, 50 do text = ('return require "
            "\"moonlatch.belfry\".nest(%q)'):format(text) end "
            "return nest(text)");
    assert_true(s.ended);
    belfry_fini(&f);
}

static void the_end_of_a_slice_ends_the_outer_task_too(void **state) {
    struct belfry f;
    struct script s;
    (void)state;
    belfry_init(&f);
    rig_run(&f.rig, &s,
            "local nest = require 'moonlatch.belfry'.nest pcall(nest, 'while true do end') while "
            "true do end");
    assert_string_equal(s.code, "script_timeout");
    assert_true(s.ms < 1000);
    rig_run(&f.rig, &s,
            "local nest = require 'moonlatch.belfry'.nest while true do pcall(nest, 'while true do "
            "end') end");
    assert_string_equal(s.code, "script_timeout");
    assert_true(s.ms < 1000);
    assert_int_equal(
        *metrics_cell(f.rig.core.metrics, "limit_hits_total", "limit", "script_time", "spec"), 2);
    expect(&f.rig, "return 1", "1");
    belfry_fini(&f);
}

static void waiting_takes_nothing_of_the_time(void **state) {
    struct belfry f;
    (void)state;
    belfry_init(&f);
    expect(&f.rig,
           "local time = require 'moonlatch.time' local t = time.monotonic() "
           "for i = 1, 4 do time.sleep(0.03) end local took = time.monotonic() - t "
           "return took >= 0.12 and took < 2",
           "true");
    expect(&f.rig, "local time = require 'moonlatch.time' time.sleep(0) return time.now() > 1.7e9",
           "true");
    expect_error(&f.rig, "require 'moonlatch.time'.sleep(-1)", "0 to 86400");
    expect_error(&f.rig, "require 'moonlatch.time'.sleep(0 / 0)", "0 to 86400");
    expect_error(&f.rig, "require 'moonlatch.time'.sleep(1 / 0)", "0 to 86400");
    expect_error(&f.rig, "require 'moonlatch.time'.sleep({})", "number expected");
    belfry_fini(&f);
}

static int nest_in(lua_State *L) {
    struct vm *other = lua_touserdata(L, lua_upvalueindex(1));
    struct script s;
    memset(&s, 0, sizeof s);
    s.source = luaL_checkstring(L, 1);
    task_start(other, &s.task, &filter_kind);
    lua_pushstring(L, s.code);
    return 1;
}

static int open_other(lua_State *L) {
    lua_newtable(L);
    lua_pushlightuserdata(L, ((struct belfry *)vm_of(L)->script)->other);
    lua_pushcclosure(L, nest_in, 1);
    lua_setfield(L, -2, "nest");
    return 1;
}

static int add_other(lua_State *L) {
    vm_module(L, "moonlatch.other", open_other, false);
    return 0;
}

/* The core may enter one site's script while another's is running: each has its own time. */
static void a_slow_script_is_not_the_fault_of_another_site(void **state) {
    struct belfry f;
    struct text error = {0};
    (void)state;
    belfry_init(&f);
    f.other = vm_new(&f.rig.site, 1, "", &error);
    assert_non_null(f.other);
    vm_set_budget(f.other, 50);
    assert_true(vm_protect(f.rig.vm, add_other, NULL, NULL));
    expect(&f.rig,
           "local nest = require 'moonlatch.other'.nest "
           "return nest('while true do end'), nest('while true do end'), nest('return 1')",
           "script_timeout script_timeout ");
    struct script s;
    rig_run(&f.rig, &s, "require 'moonlatch.other'.nest('while true do end') while true do end");
    assert_string_equal(s.code, "script_timeout");
    vm_free(f.other);
    belfry_fini(&f);
}

/* ---- C that does not look at vm->killed ---- */

static int spec_spin(lua_State *L) {
    double until = rig_now_ms() + (double)luaL_checkinteger(L, 1);
    while (rig_now_ms() < until) continue;
    return 0;
}

static int open_spin(lua_State *L) {
    lua_newtable(L);
    lua_pushcfunction(L, spec_spin);
    lua_setfield(L, -2, "spin");
    return 1;
}

static int add_spin(lua_State *L) {
    vm_module(L, "moonlatch.spin", open_spin, false);
    return 0;
}

static struct slice spin_handler(const struct task *t) {
    (void)t;
    return slice_of("a \"b\"");
}

static const struct task_kind spin_kind = {"spec",      true,         script_push,
                                           script_take, script_ended, spin_handler};

static void rig_init_spin(struct rig *r) {
    rig_init(r);
    r->limits.script_time = 10;
    r->limits.script_stuck = 60;
}

static void spin(struct rig *r, struct script *s, const struct task_kind *kind,
                 const char *source) {
    memset(s, 0, sizeof *s);
    s->source = source;
    task_start(r->vm, &s->task, kind);
    while (!s->ended) loop_turn(r->core.loop);
    assert_string_equal(s->code, "script_timeout");
}

static int64_t times_stuck(struct rig *r) {
    return *metrics_cell(r->core.metrics, "limit_hits_total", "limit", "script_stuck", "spec");
}

static void what_is_stuck_in_C_is_reported_while_it_is(void **state) {
    struct rig r;
    struct script s;
    char log[2048];
    (void)state;
    rig_init_spin(&r);
    rig_open(&r);
    assert_true(vm_protect(r.vm, add_spin, NULL, NULL));
    spin(&r, &s, &script_kind, "require 'moonlatch.spin'.spin(40)");
    assert_null(strstr(rig_logged(&r, log, sizeof log), "script stuck"));
    assert_int_equal(times_stuck(&r), 0);
    spin(&r, &s, &script_kind, "require 'moonlatch.spin'.spin(200)");
    rig_logged(&r, log, sizeof log);
    const char *line =
        strstr(log, " level=error msg=\"script stuck\" site=spec@1 in=spec handler=\"\" ms=");
    assert_non_null(line);
    assert_null(strstr(line + 30, "script stuck")); /* once */
    assert_true(line < strstr(log, "script error")); /* before it came back */
    char day[16];
    time_t now = time(NULL);
    strftime(day, sizeof day, "%Y-%m-%dT", gmtime(&now));
    assert_memory_equal(line - 24, day, 11);
    assert_memory_equal(line - 1, "Z", 1);
    assert_int_equal(times_stuck(&r), 1);
    expect(&r, "return 1", "1");
    log_set_json(r.core.log, true);
    spin(&r, &s, &spin_kind, "require 'moonlatch.spin'.spin(200)");
    assert_non_null(strstr(rig_logged(&r, log, sizeof log),
                           "\",\"level\":\"error\",\"msg\":\"script stuck\",\"site\":\"spec@1\","
                           "\"in\":\"spec\",\"handler\":\"a ?b?\",\"ms\":"));
    rig_fini(&r);
}

static void a_process_that_is_stuck_ends_when_that_is_wanted(void **state) {
    struct rig r;
    struct script s;
    int status;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        rig_init_spin(&r);
        r.limits.script_stuck_abort = 100;
        signal(SIGABRT, SIG_DFL);
        rig_open(&r);
        if (!vm_protect(r.vm, add_spin, NULL, NULL)) _exit(1);
        script_start(&r, &s, "require 'moonlatch.spin'.spin(5000)");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- the share ---- */

static void offer(struct rig *r, struct script *s, const char *source) {
    memset(s, 0, sizeof *s);
    s->source = source;
    task_offer(r->vm, &s->task, &script_kind);
}

#define SPIN(ms) "require 'moonlatch.spin'.spin(" #ms ") "

/* Another site, which always has something to do: a share is for its sake. */
static void add_company(struct rig *r) {
    static struct share share;
    static struct site company;
    share = (struct share){.asked_ms = UINT64_MAX / 2};
    company = (struct site){.share = &share};
    list_push(&r->core.sites, &company.link);
}

static void rig_open_share(struct rig *r, uint64_t wait_ms) {
    rig_init(r);
    add_company(r);
    r->limits.script_share = 100;
    r->limits.script_share_wait = wait_ms;
    r->limits.script_waiting = 4;
    rig_open(r);
    assert_true(vm_protect(r->vm, add_spin, NULL, NULL));
}

/* Runs handlers of 40 ms until the share is used up. */
static void use_up(struct rig *r) {
    struct script s;
    for (int i = 0; i < 5; i++) rig_run(r, &s, SPIN(40) "return 1");
}

static void who_is_over_the_share_waits_in_order(void **state) {
    struct rig r;
    struct script s[3];
    (void)state;
    rig_open_share(&r, 10000);
    script_start(&r, &s[0], SPIN(40) "return 'first'");
    assert_string_equal(s[0].text, "first"); /* what nobody waits for runs at once */
    use_up(&r);
    double start = rig_now_ms();
    offer(&r, &s[0], "local t = require 'shared' t.order = '1' return t.order");
    script_start(&r, &s[1], "local t = require 'shared' t.order = t.order .. '2' return t.order");
    offer(&r, &s[2], "local t = require 'shared' t.order = t.order .. '3' return t.order");
    assert_false(s[0].ended || s[1].ended || s[2].ended);
    while (!s[2].ended) loop_turn(r.core.loop);
    assert_string_equal(s[2].text, "123");
    assert_true(rig_now_ms() - start > 20);
    assert_true(*metrics_cell(r.core.metrics, "limit_hits_total", "limit", "script_share", "spec") > 0);
    rig_fini(&r);
}

static void who_can_be_told_no_does_not_wait_for_ever(void **state) {
    struct rig r;
    struct script s[6];
    (void)state;
    rig_open_share(&r, 300);
    use_up(&r);
    loop_update_time(r.core.loop);
    script_start(&r, &s[0], SPIN(40) "return 'patient'");
    for (int i = 1; i < 4; i++) offer(&r, &s[i], SPIN(45) SPIN(1) "return 'ran'");
    offer(&r, &s[4], "return 'no room'");
    assert_true(s[4].ended);
    assert_string_equal(s[4].code, "overload");
    script_start(&r, &s[5], "return 'patient'");
    loop_update_time(r.core.loop);
    double start = rig_now_ms();
    while (!s[3].ended) loop_turn(r.core.loop);
    assert_string_equal(s[3].code, "overload");
    double waited = rig_now_ms() - start;
    assert_true(waited >= 299 && waited < 1000);
    while (!s[5].ended) loop_turn(r.core.loop);
    assert_string_equal(s[0].text, "patient");
    assert_string_equal(s[5].text, "patient");
    rig_fini(&r);
}

static void one_long_handler_in_a_turn_is_enough(void **state) {
    struct rig r;
    struct script a, b, c;
    (void)state;
    rig_open_share(&r, 300);
    script_start(&r, &a, SPIN(40) "return 1");
    script_start(&r, &b, SPIN(40) "return 2");
    script_start(&r, &c, "return 3");
    assert_true(a.ended && !b.ended && !c.ended);
    loop_turn(r.core.loop);
    assert_true(b.ended && !c.ended);
    loop_turn(r.core.loop);
    assert_true(c.ended);
    rig_fini(&r);
}

/* Neither waiting in turns nor a filter is a way round, or a way to lose something. */
static void what_waited_waits_for_the_share_too(void **state) {
    struct rig r;
    struct script s, filter;
    (void)state;
    rig_open_share(&r, 300);
    script_start(&r, &s,
                 "local time, spin = require 'moonlatch.time', require 'moonlatch.spin'.spin "
                 "local function two() time.sleep(0) return 'a', 'b' end "
                 "for i = 1, 10 do spin(40) time.sleep(0) end "
                 "return coroutine.wrap(two)()");
    double start = rig_now_ms();
    while (!s.ended) loop_turn(r.core.loop);
    assert_string_equal(s.text, "a b");
    assert_true(rig_now_ms() - start > 1000); /* of which it had a tenth, and the bucket */
    use_up(&r);
    memset(&filter, 0, sizeof filter);
    filter.source = "return 'at once'";
    task_start(r.vm, &filter.task, &filter_kind);
    assert_string_equal(filter.text, "at once");
    script_start(&r, &s, "return 1");
    task_cancel(&s.task);
    assert_true(s.ended && s.how == TASK_CANCELLED);
    script_start(&r, &s, "return 1"); /* cancelled by the end */
    rig_fini(&r);
    assert_int_equal(s.how, TASK_CANCELLED);
}

/* A coroutine made at load time, or in another task, is watched like any other. */
static void a_kept_coroutine_is_stopped(void **state) {
    struct belfry f;
    struct script s;
    (void)state;
    belfry_init(&f);
    expect(&f.rig,
           "local shared = require 'shared' shared.kept = coroutine.create(function() while true "
           "do end end) "
           "shared.half = coroutine.create(function() coroutine.yield() while true do end end) "
           "return coroutine.resume(shared.half)",
           "true");
    rig_run(&f.rig, &s, "while true do coroutine.resume(require 'shared'.kept) end");
    assert_string_equal(s.code, "script_timeout");
    rig_run(&f.rig, &s, "pcall(coroutine.resume, require 'shared'.half) while true do end");
    assert_string_equal(s.code, "script_timeout");
    belfry_fini(&f);
}

/* ---- what it costs ---- */

struct empty {
    struct task task;
    int function, ended;
};

static int empty_push(lua_State *L, struct task *t) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, container_of(t, struct empty, task)->function);
    lua_pushinteger(L, 1);
    return 1;
}

static void empty_ended(struct task *t, enum task_end how, const struct script_error *e) {
    (void)how;
    (void)e;
    container_of(t, struct empty, task)->ended++;
}

static int make_function(lua_State *L) {
    struct empty *e = lua_touserdata(L, 1);
    assert_int_equal(luaL_loadstring(L, "local x = ... return x"), LUA_OK);
    e->function = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* Prints the figure when asked for (SPEC_VERBOSE); what it must not do is allocate. */
static void a_task_costs_little(void **state) {
    static const struct task_kind kind = {"empty", false, empty_push, NULL, empty_ended};
    struct belfry f;
    struct empty e = {.ended = 0};
    int count = getenv("SPEC_VERBOSE") ? 5000000 : 10000;
    (void)state;
    belfry_init(&f);
    assert_true(vm_protect(f.rig.vm, make_function, &e, NULL));
    task_start(f.rig.vm, &e.task, &kind);
    size_t used = f.rig.vm->used;
    clock_t start = clock();
    for (int i = 0; i < count; i++) task_start(f.rig.vm, &e.task, &kind);
    double ns = (double)(clock() - start) * (1e9 / CLOCKS_PER_SEC);
    if (getenv("SPEC_VERBOSE")) fprintf(stderr, "%.0f ns a task\n", ns / count);
    assert_int_equal(e.ended, count + 1);
    assert_int_equal(f.rig.vm->used, used);
    belfry_fini(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_waits_and_goes_on),
        cmocka_unit_test(a_wait_may_be_over_before_it_begins),
        cmocka_unit_test(waiting_passes_through_coroutines_and_pcall),
        cmocka_unit_test(what_waits_is_resumed_by_nobody_else),
        cmocka_unit_test(waiting_is_refused_where_it_cannot_be),
        cmocka_unit_test(an_error_in_push_is_the_scripts),
        cmocka_unit_test(a_cancelled_task_ends_once),
        cmocka_unit_test(the_end_of_the_vm_cancels_all),
        cmocka_unit_test(there_are_not_more_tasks_than_allowed),
        cmocka_unit_test(tasks_start_inside_tasks),
        cmocka_unit_test(the_end_of_a_slice_ends_the_outer_task_too),
        cmocka_unit_test(waiting_takes_nothing_of_the_time),
        cmocka_unit_test(a_slow_script_is_not_the_fault_of_another_site),
        cmocka_unit_test(what_is_stuck_in_C_is_reported_while_it_is),
        cmocka_unit_test(a_process_that_is_stuck_ends_when_that_is_wanted),
        cmocka_unit_test(who_is_over_the_share_waits_in_order),
        cmocka_unit_test(who_can_be_told_no_does_not_wait_for_ever),
        cmocka_unit_test(one_long_handler_in_a_turn_is_enough),
        cmocka_unit_test(what_waited_waits_for_the_share_too),
        cmocka_unit_test(a_kept_coroutine_is_stopped),
        cmocka_unit_test(a_task_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
