/* SPDX-License-Identifier: MIT */
/* What was loaded is kept in a table of the registry, by name. A module that is being loaded has
 * the value LOADING there, so that one that requires itself is told so. Scripts get sealed views of
 * the modules of the house, the house gets the tables themselves. */
#include "script/module.h"

#include "script/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lualib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES 128
#define HOUSE "moonlatch."

/* addresses as registry keys */
static const char loaded_key, views_key, known_key, internal_key;
#define LOADING ((void *)&loaded_key)

static void push_registry_table(lua_State *L, const char *key) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void vm_module(lua_State *L, const char *name, lua_CFunction open, bool internal) {
    push_registry_table(L, &known_key);
    lua_pushcfunction(L, open);
    lua_setfield(L, -2, name);
    if (!internal) { /* the list part: names to be told */
        lua_pushstring(L, name);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    push_registry_table(L, &internal_key);
    lua_pushboolean(L, internal);
    lua_setfield(L, -2, name);
    lua_pop(L, 2);
}

/* ---- files ---- */

struct file_reader {
    int fd;
    size_t left; /* that may still come */
    int error;   /* errno, or E2BIG */
    char chunk[4096];
};

static const char *read_chunk(lua_State *L, void *arg, size_t *n) {
    struct file_reader *r = arg;
    (void)L;
    ssize_t got;
    do got = read(r->fd, r->chunk, sizeof r->chunk);
    while (got < 0 && errno == EINTR);
    *n = got > 0 ? (size_t)got : 0;
    if (got < 0) r->error = errno;
    if (*n > r->left) r->error = E2BIG;
    if (r->error) *n = 0;
    r->left -= *n;
    return *n ? r->chunk : NULL;
}

static int open_file(const char *path) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) return fd;
    close(fd);
    return -ENOENT;
}

void vm_load_file(lua_State *L, const char *path, const char *shown, bool trusted) {
    const char *name = lua_pushfstring(L, "@%s", shown);
    size_t most = trusted ? SIZE_MAX : (size_t)vm_of(L)->limits->script_file;
    struct file_reader reader = {.fd = open_file(path), .left = most};
    if (reader.fd < 0) luaL_error(L, "%s: %s", shown, strerror(-reader.fd));
    int status = lua_load(L, read_chunk, &reader, name, "t"); /* does not raise */
    close(reader.fd);
    if (reader.error == E2BIG) luaL_error(L, "%s: larger than %d bytes", shown, (int)most);
    if (reader.error) luaL_error(L, "%s: %s", shown, strerror(reader.error));
    if (status != LUA_OK) lua_error(L);
    lua_remove(L, -2); /* the name */
    if (!trusted) return;
    sandbox_push_environment(L, true);
    lua_setupvalue(L, -2, 1);
}

/* ---- names ---- */

static bool name_is_valid(struct slice name) {
    size_t segment = 0;
    if (name.n > NAME_MAX_BYTES) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '.') {
            if (!segment) return false;
            segment = 0;
            continue;
        }
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '_' && c != '-') return false;
        segment++;
    }
    return segment > 0;
}

static void refuse_unknown(lua_State *L, const char *name, const char *looked) {
    push_registry_table(L, &known_key);
    int known = lua_gettop(L), count = (int)lua_rawlen(L, known);
    luaL_where(L, 1);
    lua_pushfstring(L, "%smodule '%s' not found: no file %s; there are", lua_tostring(L, -1), name,
                    looked);
    lua_remove(L, -2);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, known, i);
        lua_pushfstring(L, "%s%s %s", lua_tostring(L, -2), i > 1 ? "," : "", lua_tostring(L, -1));
        lua_replace(L, known + 1);
        lua_pop(L, 1);
    }
    lua_error(L);
}

/* Pushes the path and the shown name of the file of module name. */
static void push_paths(lua_State *L, const char *name, bool house) {
    const struct vm *vm = vm_of(L);
    const char *file = luaL_gsub(L, name, ".", "/");
    if (house) {
        lua_pushfstring(L, "%s/%s.lua", vm->library, file);
        lua_pushfstring(L, "%s.lua", file);
    } else {
        lua_pushfstring(L, "%s/%s.lua", vm->site->conf->script, file);
        lua_pushfstring(L, "scripts/%s/%s.lua", vm->site->name, file);
    }
    lua_remove(L, -3);
}

/* ---- loading ---- */

/* What stands beside the runtime library and is not for the gateway: the harness for specs. */
static bool is_for_specs(const char *name) {
    struct slice s = slice_of(name), spec = SLICE("moonlatch.spec");
    return slice_starts(s, spec) && (s.n == spec.n || s.p[spec.n] == '.');
}

/* Pushes the chunk or the open function of a module. */
static void push_loader(lua_State *L, const char *name, bool house) {
    if (is_for_specs(name)) luaL_error(L, "module '%s' is for specs, not for scripts", name);
    push_registry_table(L, &known_key);
    if (lua_getfield(L, -1, name) == LUA_TFUNCTION) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 2);
    push_paths(L, name, house);
    const char *path = lua_tostring(L, -2), *shown = lua_tostring(L, -1);
    if (access(path, R_OK) != 0) refuse_unknown(L, name, shown);
    vm_load_file(L, path, shown, house);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

static void set_loaded(lua_State *L, const char *name) {
    push_registry_table(L, &loaded_key);
    lua_insert(L, -2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* Pushes the value of a module that was not loaded yet. */
static void load(lua_State *L, const char *name, bool house) {
    push_loader(L, name, house);
    lua_pushlightuserdata(L, LOADING);
    set_loaded(L, name);
    lua_pushstring(L, name);
    int status = lua_pcall(L, 1, 1, 0);
    if (status != LUA_OK) {
        lua_pushnil(L);
        set_loaded(L, name);
        lua_error(L);
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, true);
    }
    lua_pushvalue(L, -1);
    set_loaded(L, name);
}

static void push_module(lua_State *L, const char *name, bool house) {
    push_registry_table(L, &loaded_key);
    int type = lua_getfield(L, -1, name);
    lua_remove(L, -2);
    if (type == LUA_TLIGHTUSERDATA && lua_touserdata(L, -1) == LOADING)
        luaL_error(L, "module '%s' requires itself", name);
    if (type != LUA_TNIL) return;
    lua_pop(L, 1);
    load(L, name, house);
}

/* stack: module -> what a script sees of it */
static void push_view(lua_State *L, const char *name) {
    if (!lua_istable(L, -1)) return;
    push_registry_table(L, &views_key);
    if (lua_getfield(L, -1, name) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, -2);
        sandbox_seal(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, name);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}

static bool is_internal(lua_State *L, const char *name) {
    push_registry_table(L, &internal_key);
    lua_getfield(L, -1, name);
    bool internal = lua_toboolean(L, -1);
    lua_pop(L, 2);
    return internal;
}

static int require(lua_State *L) {
    bool trusted = lua_toboolean(L, lua_upvalueindex(1));
    struct slice s;
    s.p = luaL_checklstring(L, 1, &s.n);
    lua_settop(L, 1);
    if (!name_is_valid(s)) return luaL_error(L, "bad module name");
    bool house = slice_starts(s, SLICE(HOUSE));
    if (!trusted && is_internal(L, s.p)) return luaL_error(L, "module '%s' not found", s.p);
    push_module(L, s.p, house);
    if (house && !trusted) push_view(L, s.p);
    return 1;
}

void module_push_require(lua_State *L, bool trusted) {
    lua_pushboolean(L, trusted);
    lua_pushcclosure(L, require, 1);
}

void vm_require(lua_State *L, const char *name) {
    push_module(L, name, slice_starts(slice_of(name), SLICE(HOUSE)));
}

/* ---- libraries from outside ---- */

/* Of lua-cjson, what a script may do to its own texts. The other settings take limits away that the
 * library needs: they would let a script write a thousand million nulls or overflow the C stack. */
static const char *const cjson_functions[] = {"encode",
                                              "decode",
                                              "null",
                                              "decode_invalid_numbers",
                                              "encode_invalid_numbers",
                                              "encode_number_precision",
                                              "_NAME",
                                              "_VERSION"};

/* stack: the module -> a table of what is bearable of it */
static void pick_cjson(lua_State *L) {
    lua_getfield(L, -1, "encode_keep_buffer");
    lua_pushboolean(L, false);
    lua_call(L, 1, 0);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof cjson_functions / sizeof *cjson_functions; i++) {
        lua_getfield(L, -2, cjson_functions[i]);
        lua_setfield(L, -2, cjson_functions[i]);
    }
    lua_remove(L, -2);
}

/* Pushes the standard package library. It wants to set a global, and is given a table for that. */
static void push_package(lua_State *L) {
    lua_newtable(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, false);
    sandbox_push_environment(L, false);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushnil(L);
    lua_setfield(L, -2, LUA_LOADLIBNAME);
    lua_pop(L, 1);
}

void module_load_library(lua_State *L, const char *name) {
    int top = lua_gettop(L);
    if (strcmp(name, "cjson") != 0)
        luaL_error(L, "library '%s' is not known; there is \"cjson\"", name);
    push_package(L);
    int package = lua_gettop(L);
    lua_getfield(L, package, "searchpath");
    lua_pushstring(L, name);
    lua_getfield(L, package, "cpath");
    lua_call(L, 2, 1);
    if (lua_isnil(L, -1)) luaL_error(L, "library '%s' is not installed", name);
    lua_getfield(L, package, "loadlib");
    lua_insert(L, -2);
    lua_pushfstring(L, "luaopen_%s", name);
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) luaL_error(L, "library '%s': %s", name, lua_tostring(L, -1));
    lua_pop(L, 1);
    lua_call(L, 0, 1);
    pick_cjson(L);
    sandbox_seal(L);
    set_loaded(L, name);
    lua_settop(L, top);
}
