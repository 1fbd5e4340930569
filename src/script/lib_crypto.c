/* SPDX-License-Identifier: MIT */
/* What these functions make is built in one text that the state owns (their first upvalue), so a
 * raise leaks nothing; it is emptied before each use. */
#include "script/lib_crypto.h"

#include "base/digest.h"
#include "base/id.h"
#include "base/json.h"
#include "script/lib_json.h"

#include <lauxlib.h>
#include <math.h>
#include <time.h>

#define RANDOM_MAX 1024
#define TOKEN_MAX 8192

static struct slice check_slice(lua_State *L, int arg) {
    struct slice s;
    s.p = luaL_checklstring(L, arg, &s.n);
    return s;
}

static struct text *scratch(lua_State *L) {
    struct text *t = lua_touserdata(L, lua_upvalueindex(1));
    text_clear(t);
    return t;
}

/* ---- random values ---- */

static struct random *random_of(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(2)); }

static int crypto_uuid(lua_State *L) {
    char uuid[UUID_LENGTH + 1];
    uuid_v4(random_of(L), uuid);
    lua_pushlstring(L, uuid, UUID_LENGTH);
    return 1;
}

static int crypto_random(lua_State *L) {
    char bytes[RANDOM_MAX];
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 1 && n <= RANDOM_MAX, 1, "expected 1 to 1024");
    random_bytes(random_of(L), bytes, (size_t)n);
    lua_pushlstring(L, bytes, (size_t)n);
    return 1;
}

/* ---- digests and encodings ---- */

static int push_digest(lua_State *L, const unsigned char *digest, size_t n, int form_arg) {
    static const char *const forms[] = {"hex", "raw", "base64url", NULL};
    int form = luaL_checkoption(L, form_arg, "hex", forms);
    struct slice s = slice_make(digest, n);
    struct text *out = scratch(L);
    if (form == 0) hex_encode(out, s);
    else if (form == 1) text_add(out, s);
    else base64url_encode(out, s);
    lua_text_push_string(L, out);
    return 1;
}

static int crypto_sha256(lua_State *L) {
    unsigned char digest[32];
    digest_sha256(check_slice(L, 1), digest);
    return push_digest(L, digest, sizeof digest, 2);
}

static int crypto_sha1(lua_State *L) {
    unsigned char digest[20];
    digest_sha1(check_slice(L, 1), digest);
    return push_digest(L, digest, sizeof digest, 2);
}

static int crypto_hmac_sha256(lua_State *L) {
    unsigned char digest[32];
    digest_hmac_sha256(check_slice(L, 1), check_slice(L, 2), digest);
    return push_digest(L, digest, sizeof digest, 3);
}

static int crypto_base64_encode(lua_State *L) {
    struct slice s = check_slice(L, 1);
    struct text *out = scratch(L);
    base64_encode(out, s);
    lua_text_push_string(L, out);
    return 1;
}

static int crypto_base64url_encode(lua_State *L) {
    struct slice s = check_slice(L, 1);
    struct text *out = scratch(L);
    base64url_encode(out, s);
    lua_text_push_string(L, out);
    return 1;
}

static int refuse(lua_State *L, const char *code) {
    lua_pushnil(L);
    lua_pushstring(L, code);
    return 2;
}

static int push_decoded(lua_State *L, bool url) {
    struct slice s = check_slice(L, 1);
    struct text *out = scratch(L);
    if (!base64_decode(out, s, url)) return refuse(L, "malformed");
    lua_text_push_string(L, out);
    return 1;
}

static int crypto_base64_decode(lua_State *L) { return push_decoded(L, false); }
static int crypto_base64url_decode(lua_State *L) { return push_decoded(L, true); }

static int crypto_equal(lua_State *L) {
    lua_pushboolean(L, digest_equal(check_slice(L, 1), check_slice(L, 2)));
    return 1;
}

/* ---- JSON Web Tokens (RFC 7519; RFC 7515 compact form), HS256 only ---- */

static const struct json_limits token_limits = {32, 1000, 200, false};

static struct slice check_key(lua_State *L, int arg) {
    struct slice key = check_slice(L, arg);
    luaL_argcheck(L, key.n > 0, arg, "the key is empty");
    return key;
}

/* Decodes one part of a token behind what out holds. An empty slice at its old end when it is not
 * base64url. The slice is valid until out grows. */
static struct slice decode_part(struct text *out, struct slice part) {
    size_t before = out->n;
    if (!base64_decode(out, part, true)) out->n = before;
    return slice_from(text_slice(out), before);
}

static bool is_string(struct json_value v, struct slice expected) {
    if (v.type != JSON_STRING) return false;
    struct text room = {0};
    bool same = slice_eq(json_string(v.raw, &room), expected);
    text_fini(&room);
    return same;
}

/* NULL when the header asks for HS256 and for nothing we do not know. */
static const char *judge_header(struct slice header) {
    static const struct slice names[] = {SLICE("alg"), SLICE("crit")};
    struct json_value v, members[2];
    if (json_envelope(header, &token_limits, &v, names, members, 2) || v.type != JSON_OBJECT)
        return "malformed";
    return is_string(members[0], SLICE("HS256")) && !members[1].type ? NULL : "algorithm";
}

static bool signature_holds(struct slice key, struct slice text, struct slice signature) {
    unsigned char mac[32];
    digest_hmac_sha256(key, text, mac);
    return digest_equal(slice_make(mac, sizeof mac), signature);
}

struct expectation {
    double now, leeway;
    struct slice aud, iss; /* p is NULL: any */
};

/* Reads a time: false when it is none. An absent one is the standard. */
static bool read_time(struct json_value v, double standard, double *t) {
    *t = standard;
    if (v.type == JSON_NONE) return true;
    if (v.type != JSON_NUMBER) return false;
    bool is_integer;
    int64_t i;
    json_number(v.raw, &is_integer, &i, t);
    if (is_integer) *t = (double)i;
    return true;
}

static bool has_audience(struct json_value aud, struct slice expected) {
    if (aud.type != JSON_ARRAY) return is_string(aud, expected);
    struct slice rest = aud.raw;
    for (struct json_value item; json_next(&rest, &item);)
        if (is_string(item, expected)) return true;
    return false;
}

/* NULL when the claims are what is expected. */
static const char *judge_claims(struct slice claims, const struct expectation *want) {
    static const struct slice names[] = {SLICE("exp"), SLICE("nbf"), SLICE("aud"), SLICE("iss")};
    struct json_value v, members[4];
    double exp, nbf;
    if (json_envelope(claims, &token_limits, &v, names, members, 4) || v.type != JSON_OBJECT)
        return "malformed";
    if (!read_time(members[0], INFINITY, &exp) || !read_time(members[1], -INFINITY, &nbf))
        return "malformed";
    if (want->now >= exp + want->leeway) return "expired";
    if (want->now < nbf - want->leeway) return "not_yet";
    if (want->aud.p && !has_audience(members[2], want->aud)) return "audience";
    if (want->iss.p && !is_string(members[3], want->iss)) return "issuer";
    return NULL;
}

/* Takes the token apart and judges it; the claims are in room then, as JSON. NULL: it is good. */
static const char *judge_token(struct slice token, struct slice key, const struct expectation *want,
                               struct text *room, struct slice *claims) {
    struct slice rest = token, header, payload, signature;
    if (token.n > TOKEN_MAX || !slice_next(&rest, '.', &header) ||
        !slice_next(&rest, '.', &payload) || !slice_next(&rest, '.', &signature) || rest.p)
        return "malformed";
    const char *fault = judge_header(decode_part(room, header));
    if (fault) return fault;
    struct slice text = slice_make(token.p, header.n + 1 + payload.n);
    text_clear(room);
    if (!signature_holds(key, text, decode_part(room, signature))) return "signature";
    text_clear(room);
    *claims = decode_part(room, payload);
    return judge_claims(*claims, want);
}

static double check_seconds(lua_State *L, int options, const char *name, double standard) {
    if (lua_getfield(L, options, name) == LUA_TNIL) {
        lua_pop(L, 1);
        return standard;
    }
    double v = lua_tonumber(L, -1);
    if (lua_type(L, -1) != LUA_TNUMBER || !isfinite(v))
        luaL_error(L, "option %s: seconds expected", name);
    lua_pop(L, 1);
    return v;
}

/* The string stays on the stack, so that it lives. */
static struct slice check_expected(lua_State *L, int options, const char *name) {
    int type = lua_getfield(L, options, name);
    if (type != LUA_TNIL && type != LUA_TSTRING) luaL_error(L, "option %s: string expected", name);
    struct slice s = {NULL, 0};
    s.p = lua_tolstring(L, -1, &s.n);
    return s;
}

static int crypto_jwt_verify(lua_State *L) {
    struct slice token = check_slice(L, 1), key = check_key(L, 2), claims;
    struct expectation want = {.now = (double)time(NULL)};
    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        want.now = check_seconds(L, 3, "now", want.now);
        want.leeway = check_seconds(L, 3, "leeway", 0);
        want.aud = check_expected(L, 3, "aud");
        want.iss = check_expected(L, 3, "iss");
    }
    struct text *room = scratch(L);
    const char *fault = judge_token(token, key, &want, room, &claims);
    if (fault) return refuse(L, fault);
    lua_pushlstring(L, claims.p, claims.n); /* a finalizer may use room while we decode */
    claims.p = lua_tostring(L, -1);
    lua_json_push(L, claims);
    return 1;
}

static int crypto_jwt_sign(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    struct slice key = check_key(L, 2);
    struct text *out = scratch(L);
    lua_settop(L, 2);
    lua_json_encode(L, 1, out, TOKEN_MAX / 4 * 3 - 100);
    lua_text_push_string(L, out); /* stack: claims, key, payload */
    out = scratch(L);
    base64url_encode(out, SLICE("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    text_char(out, '.');
    base64url_encode(out, check_slice(L, 3));
    unsigned char mac[32];
    digest_hmac_sha256(key, text_slice(out), mac);
    text_char(out, '.');
    base64url_encode(out, slice_make(mac, sizeof mac));
    lua_text_push_string(L, out);
    return 1;
}

int lib_crypto_open(lua_State *L, struct random *random) {
    static const luaL_Reg functions[] = {
        {"uuid", crypto_uuid},
        {"random", crypto_random},
        {"sha1", crypto_sha1},
        {"sha256", crypto_sha256},
        {"hmac_sha256", crypto_hmac_sha256},
        {"base64_encode", crypto_base64_encode},
        {"base64_decode", crypto_base64_decode},
        {"base64url_encode", crypto_base64url_encode},
        {"base64url_decode", crypto_base64url_decode},
        {"equal", crypto_equal},
        {"jwt_sign", crypto_jwt_sign},
        {"jwt_verify", crypto_jwt_verify},
        {NULL, NULL},
    };
    luaL_newlibtable(L, functions);
    lua_text_push(L);
    lua_pushlightuserdata(L, random);
    luaL_setfuncs(L, functions, 2);
    return 1;
}
