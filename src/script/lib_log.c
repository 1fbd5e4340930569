/* SPDX-License-Identifier: MIT */
/* moonlatch.log: debug, info, warn and error (text [, fields]) write a line of the gateway's log,
 * with the site, the place in the script, and the fields, a table of plain values by name. A site
 * has script_log_rate lines per second; what is above is dropped, and the next line says how many
 * were. A line has 1 KiB of the script's own text. */
#include "script/libs.h"
#include "script/sandbox.h"

#define TEXT_BYTES 1024
#define FIELD_COUNT 16

/* Whether one more line may be written now. */
static bool may_write(struct vm *vm, enum log_level level) {
    const struct core *core = vm->site->core;
    if (!log_wants(core->log, level)) return false;
    uint64_t rate = vm->limits->script_log_rate;
    if (rate_allow(&vm->lines, loop_now_ms(core->loop), rate, rate)) return true;
    vm->lines_dropped++;
    metrics_limit(core->metrics, "script_log_rate", vm->site->name);
    return false;
}

/* Takes text and fields. */
static void write_line(lua_State *L, enum log_level level, struct text *text, struct text *fields) {
    struct vm *vm = vm_of(L);
    lua_Debug call;
    struct text at = {0};
    if (lua_getstack(L, 1, &call) && lua_getinfo(L, "Sl", &call) && call.currentline > 0)
        text_format(&at, "%s:%d", call.short_src, call.currentline);
    LOG(vm->site->core->log, level, "script", log_c("site", vm->name),
        log_s("at", text_slice(&at)), log_s("text", text_slice(text)),
        log_s("fields", text_slice(fields)), log_n("dropped", (long long)vm->lines_dropped));
    vm->lines_dropped = 0;
    text_fini(&at);
    text_fini(text);
    text_fini(fields);
}

/* " name=value" for each pair of the table at index whose name is a text. lua_next does not raise
 * with a key that it gave itself. */
static void add_fields(lua_State *L, int index, struct text *out) {
    lua_pushnil(L);
    for (int n = 0; n < FIELD_COUNT && lua_next(L, index); n++) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            size_t room = out->n < TEXT_BYTES ? TEXT_BYTES - out->n : 0;
            if (out->n) text_char(out, ' ');
            vm_describe(L, -2, room < 64 ? room : 64, out);
            text_char(out, '=');
            vm_describe(L, -1, room, out);
        }
        lua_pop(L, 1);
    }
}

static int write_log(lua_State *L, enum log_level level) {
    luaL_checkany(L, 1);
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (!may_write(vm_of(L), level)) return 0;
    struct text text = {0}, fields = {0}; /* nothing raises from here on */
    vm_describe(L, 1, TEXT_BYTES, &text);
    if (lua_istable(L, 2)) add_fields(L, 2, &fields);
    write_line(L, level, &text, &fields);
    return 0;
}

static int log_debug(lua_State *L) { return write_log(L, LOG_DEBUG); }
static int log_info(lua_State *L) { return write_log(L, LOG_INFO); }
static int log_warn(lua_State *L) { return write_log(L, LOG_WARN); }
static int log_error(lua_State *L) { return write_log(L, LOG_ERROR); }

int lib_log_print(lua_State *L) {
    int count = lua_gettop(L);
    for (int i = 1; i <= count; i++) { /* first all that may raise */
        luaL_tolstring(L, i, NULL);
        lua_replace(L, i);
    }
    if (!may_write(vm_of(L), LOG_INFO)) return 0;
    struct text text = {0}, fields = {0};
    for (int i = 1; i <= count && text.n < TEXT_BYTES; i++) {
        if (i > 1) text_char(&text, '\t');
        vm_describe(L, i, TEXT_BYTES - text.n, &text);
    }
    write_line(L, LOG_INFO, &text, &fields);
    return 0;
}

int lib_log_open(lua_State *L) {
    static const luaL_Reg functions[] = {{"debug", log_debug}, {"info", log_info},
                                         {"warn", log_warn},   {"error", log_error},
                                         {NULL, NULL}};
    sandbox_library(L, functions);
    return 1;
}
