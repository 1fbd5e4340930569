/* SPDX-License-Identifier: MIT */
/* What is said about a script's errors. The error may be any value and the coroutine may have died
 * of a lack of memory, so nothing here makes Lua values or calls metamethods. */
#include "base/id.h"
#include "script/vm.h"

#include <inttypes.h>

#define ERROR_TEXT_BYTES 200
#define TRACEBACK_BYTES 2048
#define ERRORS_PER_SECOND 20

static void add_upto(struct text *out, size_t end, struct slice s) {
    text_add(out, slice_upto(s, out->n < end ? end - out->n : 0));
}

void vm_describe(lua_State *L, int index, size_t max, struct text *out) {
    size_t end = out->n + max;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: {
        struct slice s;
        s.p = lua_tolstring(L, index, &s.n);
        add_upto(out, end, s);
        break;
    }
    case LUA_TNUMBER: /* lua_tolstring would make a string of it */
        if (lua_isinteger(L, index)) text_format(out, "%" PRId64, (int64_t)lua_tointeger(L, index));
        else text_format(out, "%.14g", lua_tonumber(L, index));
        break;
    case LUA_TBOOLEAN:
        text_str(out, lua_toboolean(L, index) ? "true" : "false");
        break;
    default:
        text_format(out, "(a %s value)", lua_typename(L, lua_type(L, index)));
    }
}

static void add_call(struct text *out, const lua_Debug *call) {
    if (call->currentline > 0) text_format(out, "%s:%d: in ", call->short_src, call->currentline);
    else text_format(out, "%s: in ", call->short_src);
    if (*call->namewhat) text_format(out, "%s '%.60s'", call->namewhat, call->name);
    else if (*call->what == 'm') text_str(out, "main chunk");
    else if (*call->what == 'C') text_str(out, "?");
    else text_format(out, "function <%s:%d>", call->short_src, call->linedefined);
}

void vm_traceback(lua_State *L, int level, size_t max, struct text *out) {
    lua_Debug call;
    struct text line = {0};
    size_t end = out->n + max, start = out->n;
    for (; out->n < end && lua_getstack(L, level, &call); level++) {
        lua_getinfo(L, "Sln", &call);
        text_clear(&line);
        if (out->n > start) text_str(&line, "\n");
        add_call(&line, &call);
        add_upto(out, end, text_slice(&line));
    }
    text_fini(&line);
}

static void make_id(struct vm *vm, char id[ERROR_ID_LENGTH + 1]) {
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[ERROR_ID_LENGTH];
    random_bytes(vm->site->core->random, bytes, sizeof bytes);
    for (size_t i = 0; i < ERROR_ID_LENGTH; i++) id[i] = digits[bytes[i] & 15];
    id[ERROR_ID_LENGTH] = '\0';
}

void vm_report(struct vm *vm, lua_State *L, const char *code, const char *what,
               struct script_error *e, struct text *out) {
    const struct core *core = vm->site->core;
    struct text trace = {0};
    e->code = code;
    make_id(vm, e->id);
    vm_describe(L, -1, ERROR_TEXT_BYTES, out);
    e->text = text_slice(out);
    uint64_t now_ms = loop_now_ms(core->loop);
    if (!rate_allow(&vm->errors, now_ms, ERRORS_PER_SECOND, ERRORS_PER_SECOND)) return;
    vm_traceback(L, 0, TRACEBACK_BYTES, &trace);
    LOG(core->log, LOG_ERROR, "script error", log_c("site", vm->name), log_c("in", what),
        log_c("code", code), log_c("id", e->id), log_s("error", e->text),
        log_s("traceback", text_slice(&trace)));
    text_fini(&trace);
}
