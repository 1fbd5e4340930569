/* SPDX-License-Identifier: MIT */
/* Both ways work directly between the text and the Lua stack. Any lua_ function that allocates may
 * leave by a raise, so decoding holds no memory of its own, and encoding fills a text that belongs
 * to somebody else. Tables are read raw: nothing of a script runs in here. */
#include "script/lib_json.h"

#include "base/json.h"
#include "base/utf8.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#define DECODE_VALUES 1000000
#define KEEP_BYTES 65536    /* what an idle text may keep */
#define TEXT_MAX (1u << 28) /* whatever the limits say */

/* Addresses that stand for things: three keys of the registry, and the value of json.empty_array.
 * Decoded empty arrays carry a metatable of our own, which no script can get at; json.array_mt is
 * what getmetatable shows for it and what scripts mark their own tables with. */
static const char decoded_mt_key = 'd';
static const char array_mt_key = 'a';
static const char bytes_mt_key = 'b';
static const char empty_array = 'e';

static void *address(const char *of) { return (void *)(uintptr_t)of; }

/* ---- texts that Lua owns ---- */

static int text_gc(lua_State *L) {
    text_fini(lua_touserdata(L, 1));
    return 0;
}

struct text *lua_text_push(lua_State *L) {
    struct text *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (struct text){0};
    if (luaL_newmetatable(L, "moonlatch.text")) {
        lua_pushcfunction(L, text_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return t;
}

void lua_text_push_string(lua_State *L, struct text *t) {
    struct slice s = text_slice(t);
    lua_pushlstring(L, s.n ? s.p : "", s.n);
    if (t->cap > KEEP_BYTES) text_fini(t);
    else text_clear(t);
}

/* ---- decoding ---- */

/* What is read: the text behind what was read already, and the bytes that go where a placeholder
 * stands; NULL: none do. */
struct decoder {
    struct slice rest;
    const struct attachments *bytes;
};

static void push_value(lua_State *L, enum json_type type, struct slice raw, struct decoder *d);

static void push_string(lua_State *L, struct slice raw) {
    struct slice inside = slice_make(raw.p + 1, raw.n - 2);
    if (slice_find(inside, '\\') == inside.n) {
        lua_pushlstring(L, inside.p, inside.n);
        return;
    }
    luaL_Buffer b;
    char *room = luaL_buffinitsize(L, &b, raw.n);
    luaL_pushresultsize(&b, json_unescape_into(room, raw));
}

/* Whether d is what raw says: always, as far as we promise, where raw has a fraction or an
 * exponent; digits alone must be met to the last one. */
static bool is_exact(struct slice raw, double d) {
    char digits[320];
    for (size_t i = 0; i < raw.n; i++)
        if (raw.p[i] == '.' || (raw.p[i] | 32) == 'e') return true;
    int n = snprintf(digits, sizeof digits, "%.0f", d);
    return slice_eq(raw, slice_make(digits, (size_t)n));
}

static void push_number(lua_State *L, struct slice raw) {
    bool is_integer;
    int64_t i;
    double d;
    json_number(raw, &is_integer, &i, &d);
    if (is_integer) {
        lua_pushinteger(L, i);
        return;
    }
    if (!is_exact(raw, d))
        luaL_error(L, "number out of range: an integer of %d digits", (int)raw.n);
    lua_pushnumber(L, d);
}

void lua_json_push_list(lua_State *L, int items) {
    lua_createtable(L, items, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &decoded_mt_key);
    lua_setmetatable(L, -2);
}

/* Most containers are small: room for four saves most of them from growing step by step. */
#define ROOM 4

static void push_array(lua_State *L, struct decoder *d) {
    struct slice raw;
    enum json_type type = json_token(&d->rest, &raw);
    if (!type) {
        lua_json_push_list(L, 0);
        return;
    }
    lua_createtable(L, ROOM, 0);
    for (lua_Integer i = 1; type; i++) {
        push_value(L, type, raw, d);
        lua_rawseti(L, -2, i);
        type = json_token(&d->rest, &raw);
    }
}

static int push_bytes(lua_State *L) {
    lua_createtable(L, 0, 1);
    lua_insert(L, -2);
    lua_setfield(L, -2, "bytes");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &bytes_mt_key);
    lua_setmetatable(L, -2);
    return 1;
}

/* Puts bytes in place of the table on top, where that is a placeholder for some: as Socket.IO has
 * it, {"_placeholder":true,"num":0}. */
static void put_bytes(lua_State *L, const struct attachments *bytes) {
    lua_getfield(L, -1, "_placeholder");
    lua_getfield(L, -2, "num");
    lua_Integer number = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
    bool placeholder = lua_toboolean(L, -2) && number >= 0 && number < bytes->count;
    lua_pop(L, 2);
    if (!placeholder) return;
    struct slice data = buf_slice(bytes->list[number]);
    lua_pop(L, 1);
    lua_pushlstring(L, data.p, data.n);
    push_bytes(L);
}

static void push_object(lua_State *L, struct decoder *d) {
    struct slice raw;
    enum json_type type = json_token(&d->rest, &raw);
    lua_createtable(L, 0, type ? ROOM : 0);
    while (type) {
        push_string(L, raw);
        type = json_token(&d->rest, &raw);
        push_value(L, type, raw, d); /* stack: table, key, value */
        lua_rawset(L, -3);
        type = json_token(&d->rest, &raw);
    }
    if (d->bytes) put_bytes(L, d->bytes);
}

static void push_value(lua_State *L, enum json_type type, struct slice raw, struct decoder *d) {
    switch (type) {
    case JSON_NONE:
    case JSON_NULL: lua_pushlightuserdata(L, NULL); break;
    case JSON_FALSE:
    case JSON_TRUE: lua_pushboolean(L, type == JSON_TRUE); break;
    case JSON_NUMBER: push_number(L, raw); break;
    case JSON_STRING: push_string(L, raw); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        luaL_checkstack(L, 5, NULL);
        if (type == JSON_ARRAY) push_array(L, d);
        else push_object(L, d);
    }
}

void lua_json_push_with(lua_State *L, struct slice raw, const struct attachments *bytes) {
    struct decoder d = {raw, bytes && bytes->count ? bytes : NULL};
    struct slice token;
    enum json_type type = json_token(&d.rest, &token);
    luaL_checkstack(L, 5, NULL);
    push_value(L, type, token, &d);
}

void lua_json_push(lua_State *L, struct slice raw) { lua_json_push_with(L, raw, NULL); }

int lua_json_push_items(lua_State *L, struct slice array, int from,
                        const struct attachments *bytes) {
    struct json_value item;
    int n = 0;
    for (int i = 0; json_next(&array, &item); i++) {
        if (i < from) continue;
        luaL_checkstack(L, 5, "too many arguments");
        lua_json_push_with(L, item.raw, bytes);
        n++;
    }
    return n;
}

static int decode(lua_State *L) {
    static const struct json_limits limits = {LUA_JSON_DEPTH, DECODE_VALUES, DECODE_VALUES, false};
    struct slice s;
    s.p = luaL_checklstring(L, 1, &s.n);
    size_t max = (size_t)lua_tointeger(L, lua_upvalueindex(1));
    luaL_argcheck(L, s.n <= max && s.n <= TEXT_MAX, 1, "too long");
    struct json_value v;
    enum json_error e = json_check(s, &limits, &v);
    if (e) return luaL_error(L, "%s at byte %d", json_error_text(e), (int)(s.n - v.raw.n) + 1);
    lua_json_push(L, v.raw);
    return 1;
}

/* ---- encoding ---- */

struct encoder {
    lua_State *L;
    struct text *out;
    size_t end; /* out must not grow beyond */
    int depth;
    struct attachments *bytes; /* where those go that are found; NULL: they are refused */
};

static void encode_value(struct encoder *e);

static void check_length(const struct encoder *e, size_t n) {
    if (n > e->end || e->out->n > e->end - n) luaL_error(e->L, "the JSON text becomes too long");
}

static void encode_string(struct encoder *e, int index) {
    struct slice s;
    s.p = lua_tolstring(e->L, index, &s.n);
    check_length(e, s.n);
    if (!utf8_valid(s)) luaL_error(e->L, "string is not UTF-8");
    json_quote(e->out, s);
}

static void encode_number(struct encoder *e) {
    if (lua_isinteger(e->L, -1)) {
        lua_Integer i = lua_tointeger(e->L, -1);
        if (i < 0) text_char(e->out, '-');
        text_u64(e->out, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
    } else {
        double d = lua_tonumber(e->L, -1);
        if (!isfinite(d)) luaL_error(e->L, "cannot encode %s", isnan(d) ? "NaN" : "an infinity");
        json_double(e->out, d);
    }
}

enum mark { MARK_NONE, MARK_ARRAY, MARK_BYTES };

/* Whether the value on top is the one of the registry. */
static bool is_registered(lua_State *L, const char *key) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    return same;
}

/* What the table at index is marked as. A metatable that a script has set is one of the sandbox's,
 * and in it stands the script's own. */
static enum mark mark_of(lua_State *L, int index) {
    enum mark mark = MARK_NONE;
    if (!lua_getmetatable(L, index)) return mark;
    if (is_registered(L, &bytes_mt_key)) mark = MARK_BYTES;
    else if (is_registered(L, &decoded_mt_key) || is_registered(L, &array_mt_key))
        mark = MARK_ARRAY;
    lua_pushliteral(L, "__metatable");
    lua_rawget(L, -2);
    if (is_registered(L, &array_mt_key)) mark = MARK_ARRAY;
    lua_pop(L, 2);
    return mark;
}

/* Bytes stand beside the text, and in it what says where they belong. */
static void encode_bytes(struct encoder *e, int table) {
    struct slice data;
    if (!e->bytes) luaL_error(e->L, "cannot encode bytes: JSON has none");
    lua_pushliteral(e->L, "bytes");
    if (lua_rawget(e->L, table) != LUA_TSTRING) luaL_error(e->L, "bytes must be a string");
    data.p = lua_tolstring(e->L, -1, &data.n);
    check_length(e, data.n);
    text_format(e->out, "{\"_placeholder\":true,\"num\":%u}", e->bytes->count);
    attachments_add(e->bytes, buf_copy(data));
    lua_pop(e->L, 1);
}

static void bad_key(struct encoder *e, int index) {
    if (lua_isinteger(e->L, index)) luaL_error(e->L, "mixed table: integers among its string keys");
    luaL_error(e->L, "cannot encode a key of type %s", luaL_typename(e->L, index));
}

/* The items behind the first done ones, of a table that does not hold them in order. */
static void encode_unordered(struct encoder *e, int table, lua_Integer done) {
    lua_State *L = e->L;
    lua_Integer count = 0, greatest = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1), count++) {
        lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (key < 1) luaL_error(L, "mixed table: other keys among its integers from 1 on");
        if (key > greatest) greatest = key;
    }
    if (greatest > count) luaL_error(L, "sparse array: item %I of %I", greatest, count);
    for (lua_Integer i = done + 1; i <= count; i++) {
        if (i > 1) text_char(e->out, ',');
        lua_rawgeti(L, table, i);
        encode_value(e);
    }
}

/* An array whose first key and value are on the stack. Arrays give their items in order unless they
 * were built in another one, so that one walk does and proves that there is nothing else. */
static void encode_items(struct encoder *e, int table) {
    lua_State *L = e->L;
    text_char(e->out, '[');
    lua_Integer n = 0;
    do {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != n + 1) {
            lua_pop(L, 2);
            encode_unordered(e, table, n);
            break;
        }
        if (n++) text_char(e->out, ',');
        encode_value(e);
    } while (lua_next(L, table));
    text_char(e->out, ']');
}

/* An object whose first key and value are on the stack. */
static void encode_members(struct encoder *e, int table) {
    char before = '{';
    do {
        if (lua_type(e->L, -2) != LUA_TSTRING) bad_key(e, -2);
        text_char(e->out, before);
        before = ',';
        encode_string(e, -2);
        text_char(e->out, ':');
        encode_value(e);
    } while (lua_next(e->L, table));
    text_char(e->out, '}');
}

/* A hook is the watchdog's word that the slice is over: it raises, or takes itself away. A few
 * tables that had many members once, and are encoded many times, could keep us busy for minutes. */
static void heed_hook(lua_State *L) {
    lua_Hook hook = lua_gethook(L);
    lua_Debug activation = {.event = LUA_HOOKCOUNT};
    if (hook) hook(L, &activation);
}

static void encode_table(struct encoder *e) {
    lua_State *L = e->L;
    int table = lua_gettop(L);
    if (++e->depth > LUA_JSON_DEPTH) luaL_error(L, "nested too deeply, or a cycle");
    heed_hook(L);
    luaL_checkstack(L, 5, NULL);
    enum mark mark = mark_of(L, table);
    if (mark != MARK_BYTES) lua_pushnil(L);
    if (mark == MARK_BYTES) encode_bytes(e, table);
    else if (!lua_next(L, table)) text_str(e->out, mark == MARK_ARRAY ? "[]" : "{}");
    else if (mark == MARK_ARRAY || lua_isinteger(L, -2)) encode_items(e, table);
    else encode_members(e, table);
    e->depth--;
}

/* Appends the value on top of the stack and pops it. */
static void encode_value(struct encoder *e) {
    lua_State *L = e->L;
    int type = lua_type(L, -1);
    switch (type) {
    case LUA_TNIL: text_str(e->out, "null"); break;
    case LUA_TBOOLEAN: text_str(e->out, lua_toboolean(L, -1) ? "true" : "false"); break;
    case LUA_TNUMBER: encode_number(e); break;
    case LUA_TSTRING: encode_string(e, -1); break;
    case LUA_TTABLE: encode_table(e); break;
    default:
        if (type == LUA_TLIGHTUSERDATA && !lua_touserdata(L, -1)) text_str(e->out, "null");
        else if (type == LUA_TLIGHTUSERDATA && lua_touserdata(L, -1) == address(&empty_array))
            text_str(e->out, "[]");
        else luaL_error(L, "cannot encode a %s", lua_typename(L, type));
    }
    check_length(e, 0);
    lua_pop(L, 1);
}

void lua_json_encode(lua_State *L, int index, struct text *out, size_t max) {
    lua_json_encode_with(L, index, out, max, NULL);
}

void lua_json_encode_with(lua_State *L, int index, struct text *out, size_t max,
                          struct attachments *bytes) {
    struct encoder e = {L, out, out->n + (max < TEXT_MAX ? max : TEXT_MAX), 0, bytes};
    luaL_checkstack(L, 1, NULL);
    lua_pushvalue(L, index);
    encode_value(&e);
}

static int encode(lua_State *L) {
    struct text *out = lua_touserdata(L, lua_upvalueindex(1));
    luaL_checkany(L, 1);
    text_clear(out);
    lua_json_encode(L, 1, out, (size_t)lua_tointeger(L, lua_upvalueindex(2)));
    lua_text_push_string(L, out);
    return 1;
}

/* bytes(string): what goes as bytes where a client takes some */
static int bytes(lua_State *L) {
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 1);
    return push_bytes(L);
}

/* ---- the library ---- */

/* Makes both metatables and pushes json.array_mt. It locks itself: a marked table stays marked. */
static void push_array_mt(lua_State *L) {
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_mt_key);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &decoded_mt_key);
}

static void make_bytes_mt(lua_State *L) {
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &bytes_mt_key);
}

int lib_json_open(lua_State *L, size_t max) {
    make_bytes_mt(L);
    lua_createtable(L, 0, 6);
    lua_pushcfunction(L, bytes);
    lua_setfield(L, -2, "bytes");
    lua_text_push(L);
    lua_pushinteger(L, (lua_Integer)max);
    lua_pushcclosure(L, encode, 2);
    lua_setfield(L, -2, "encode");
    lua_pushinteger(L, (lua_Integer)max);
    lua_pushcclosure(L, decode, 1);
    lua_setfield(L, -2, "decode");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushlightuserdata(L, address(&empty_array));
    lua_setfield(L, -2, "empty_array");
    push_array_mt(L);
    lua_setfield(L, -2, "array_mt");
    return 1;
}
