/* SPDX-License-Identifier: MIT */
#include "script/lib_crypto.h"

#include "base/id.h"
#include "script/lib_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>

/* forge: a token with any header and payload, rightly signed. verify: what jwt_verify says at the
 * time 1000, as one string. */
static const char prelude[] =
    "function forge(header, payload, key)\n"
    "  local text = crypto.base64url_encode(header) .. '.' .. crypto.base64url_encode(payload)\n"
    "  return text .. '.' .. crypto.hmac_sha256(key or 'key', text, 'base64url')\n"
    "end\n"
    "hs = '{\"alg\":\"HS256\"}'\n"
    "function verify(token, options)\n"
    "  options = options or {}\n"
    "  options.now = options.now or 1000\n"
    "  local claims, code = crypto.jwt_verify(token, 'key', options)\n"
    "  return claims and 'ok' or code\n"
    "end\n";

struct rig {
    struct random random;
    long left; /* blocks that the state may still have */
};

static void *allocate(void *ud, void *p, size_t before, size_t n) {
    struct rig *rig = ud;
    if (!n) {
        free(p);
        return NULL;
    }
    if ((!p || n > before) && rig->left-- <= 0) return NULL;
    return realloc(p, n);
}

static int open_all(lua_State *L) {
    luaL_openlibs(L);
    lib_json_open(L, 1 << 20);
    lua_setglobal(L, "json");
    lib_crypto_open(L, lua_touserdata(L, 1));
    lua_setglobal(L, "crypto");
    if (luaL_loadbuffer(L, prelude, strlen(prelude), "=c")) return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static lua_State *new_state(struct rig *rig) {
    rig->left = INT32_MAX;
    lua_State *L = lua_newstate(allocate, rig);
    lua_pushcfunction(L, open_all);
    lua_pushlightuserdata(L, &rig->random);
    assert_int_equal(lua_pcall(L, 1, 0, 0), LUA_OK);
    return L;
}

struct row {
    const char *code, *expected;
};

/* Evaluates each code; expected is its first result, or "raised: " and the message. */
static void expect_all(const struct row *rows, size_t n) {
    struct rig rig = {0};
    lua_State *L = new_state(&rig);
    for (size_t i = 0; i < n; i++) {
        lua_pushfstring(L, "return %s", rows[i].code);
        if (luaL_loadbuffer(L, lua_tostring(L, -1), lua_rawlen(L, -1), "=c"))
            fail_msg("%s", lua_tostring(L, -1));
        bool raised = lua_pcall(L, 0, 1, 0) != LUA_OK;
        const char *got = luaL_tolstring(L, -1, NULL);
        if (raised && strstr(got, ": ") && !strncmp(got, "c:", 2)) got = strstr(got, ": ") + 2;
        lua_pushfstring(L, "%s%s", raised ? "raised: " : "", got);
        if (strcmp(lua_tostring(L, -1), rows[i].expected))
            fail_msg("%s: %s instead of %s", rows[i].code, lua_tostring(L, -1), rows[i].expected);
        lua_settop(L, 0);
    }
    lua_close(L);
}
#define EXPECT(rows) expect_all(rows, sizeof(rows) / sizeof *(rows))

static void digests_and_encodings(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"crypto.sha256('abc')",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"#crypto.sha256('', 'raw')", "32"},
        {"crypto.sha256('', 'base64url')", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},
        {"crypto.hmac_sha256('Jefe', 'what do ya want for nothing?')",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"crypto.base64_encode('\\xfb\\xff')", "+/8="},
        {"crypto.base64url_encode('\\xfb\\xff')", "-_8"},
        {"crypto.base64_decode('+/8=') == '\\xfb\\xff'", "true"},
        {"crypto.base64url_decode('-_8') == '\\xfb\\xff'", "true"},
        {"crypto.base64_decode('')", ""}, {"select(2, crypto.base64_decode('-_8='))", "malformed"},
        {"select(2, crypto.base64url_decode('-_8='))", "malformed"},
        {"#crypto.base64_decode(crypto.base64_encode(('x'):rep(100000)))", "100000"},
        {"crypto.equal('a', 'a')", "true"},
        {"crypto.equal('a', 'b') or crypto.equal('a', 'aa')", "false"},
        {"crypto.sha256('x', 'rot13')",
         "raised: bad argument #2 to 'sha256' (invalid option 'rot13')"},
        {"crypto.sha256()", "raised: bad argument #1 to 'sha256' (string expected, got no value)"}};
    EXPECT(rows);
}

static void random_values(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"#crypto.uuid()", "36"},
        {"crypto.uuid():match('^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$') ~= nil", "true"},
        {"crypto.uuid() == crypto.uuid()", "false"},
        {"#crypto.random(1) + #crypto.random(1024)", "1025"},
        {"crypto.random(16) == crypto.random(16)", "false"},
        {"crypto.random(0)", "raised: bad argument #1 to 'random' (expected 1 to 1024)"},
        {"crypto.random(1025)", "raised: bad argument #1 to 'random' (expected 1 to 1024)"}};
    EXPECT(rows);
}

static void good_tokens_give_their_claims(void **state) {
    (void)state;
    static const struct row rows[] = {
        /* RFC 7515, appendix A.1 */
        {"crypto.jwt_verify('eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
         ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
         "cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk', crypto.base64url_decode('AyM1SysPpb"
         "yDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow'),"
         " { now = 1300819379, iss = 'joe' }).exp", "1300819380"},
        {"crypto.jwt_verify(crypto.jwt_sign({ sub = 'ann', n = 9007199254740993 }, 'k'), 'k').n",
         "9007199254740993"}, {"verify(crypto.jwt_sign({}, 'key'))", "ok"},
        {"verify(crypto.jwt_sign({ exp = os.time() + 60 }, 'key'), { now = os.time() })", "ok"},
        {"crypto.jwt_verify(crypto.jwt_sign({ exp = os.time() + 60 }, 'key'), 'key') ~= nil",
         "true"},
        {"select(2, crypto.jwt_verify(crypto.jwt_sign({ exp = os.time() }, 'key'), 'key'))",
         "expired"},
        {"verify(forge('{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"1\"}', '{}'))", "ok"}};
    EXPECT(rows);
}

static void times_and_names_are_judged(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"verify(forge(hs, '{\"exp\":1001}'))", "ok"},
        {"verify(forge(hs, '{\"exp\":1000}'))", "expired"},
        {"verify(forge(hs, '{\"exp\":1000.5}'))", "ok"},
        {"verify(forge(hs, '{\"exp\":-1}'))", "expired"},
        {"verify(forge(hs, '{\"exp\":995}'), { leeway = 6 })", "ok"},
        {"verify(forge(hs, '{\"exp\":\"1001\"}'))", "malformed"},
        {"verify(forge(hs, '{\"exp\":null}'))", "malformed"},
        {"verify(forge(hs, '{\"nbf\":1000}'))", "ok"},
        {"verify(forge(hs, '{\"nbf\":1001}'))", "not_yet"},
        {"verify(forge(hs, '{\"nbf\":1005}'), { leeway = 5 })", "ok"},
        {"verify(forge(hs, '{\"nbf\":[]}'))", "malformed"},
        {"verify(forge(hs, '{\"aud\":\"a\"}'), { aud = 'a' })", "ok"},
        {"verify(forge(hs, '{\"aud\":[\"b\",\"\\\\u0061\"]}'), { aud = 'a' })", "ok"},
        {"verify(forge(hs, '{\"aud\":[\"b\",[\"a\"]]}'), { aud = 'a' })", "audience"},
        {"verify(forge(hs, '{\"aud\":\"ab\"}'), { aud = 'a' })", "audience"},
        {"verify(forge(hs, '{}'), { aud = 'a' })", "audience"},
        {"verify(forge(hs, '{\"aud\":[]}'), { aud = 'a' })", "audience"},
        {"verify(forge(hs, '{\"iss\":\"me\"}'), { iss = 'me' })", "ok"},
        {"verify(forge(hs, '{\"iss\":\"me\"}'), { iss = 'm' })", "issuer"},
        {"verify(forge(hs, '{}'), { iss = '' })", "issuer"},
        {"verify(forge(hs, '{}'), { leeway = 'a' })", "raised: option leeway: seconds expected"},
        {"verify(forge(hs, '{}'), { now = 0/0 })", "raised: option now: seconds expected"},
        {"verify(forge(hs, '{}'), { aud = 5 })", "raised: option aud: string expected"}};
    EXPECT(rows);
}

static void forged_and_broken_tokens_are_refused(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"verify('')", "malformed"}, {"verify('.')", "malformed"}, {"verify('..')", "malformed"},
        {"verify('a.b')", "malformed"}, {"verify(forge(hs, '{}') .. '.')", "malformed"},
        {"verify(forge(hs, '{}') .. ' ')", "signature"},
        {"verify(forge(hs, '{}') .. '=')", "signature"},
        {"verify(forge(hs, '{}', 'other'))", "signature"},
        {"verify((forge(hs, '{}'):gsub('%.[^.]*$', '.')))", "signature"},
        {"verify((forge(hs, '{\"a\":1}'):gsub('%..*%.', '.' .. crypto.base64url_encode('{}')"
         " .. '.')))", "signature"},
        {"verify(forge('{\"alg\":\"none\"}', '{}'))", "algorithm"},
        {"verify(crypto.base64url_encode('{\"alg\":\"none\"}') .. '.e30.')", "algorithm"},
        {"verify(forge('{\"alg\":\"hs256\"}', '{}'))", "algorithm"},
        {"verify(forge('{\"alg\":\"HS512\"}', '{}'))", "algorithm"},
        {"verify(forge('{\"alg\":\"RS256\"}', '{}'))", "algorithm"},
        {"verify(forge('{\"alg\":[\"HS256\"]}', '{}'))", "algorithm"},
        {"verify(forge('{}', '{}'))", "algorithm"},
        {"verify(forge('{\"alg\":\"HS256\",\"crit\":[\"exp\"]}', '{}'))", "algorithm"},
        {"verify(forge('{\"alg\":\"none\",\"alg\":\"HS256\"}', '{}'))", "malformed"},
        {"verify(forge('[\"HS256\"]', '{}'))", "malformed"},
        {"verify(forge('', '{}'))", "malformed"}, {"verify(forge(hs, '[]'))", "malformed"},
        {"verify(forge(hs, 'null'))", "malformed"}, {"verify(forge(hs, ''))", "malformed"},
        {"verify(forge(hs, '{\"a\":1,\"a\":2}'))", "malformed"},
        {"verify(forge(hs, '\\xff'))", "malformed"},
        {"verify(forge(hs, '{\"exp\":1e999}'))", "malformed"},
        {"verify(forge(hs, '{\"a\":\"' .. ('x'):rep(9000) .. '\"}'))", "malformed"},
        {"verify(forge(hs, '{\"a\":\"' .. ('x'):rep(5900) .. '\"}'))", "ok"},
        {"crypto.jwt_verify('a.b.c', '')",
         "raised: bad argument #2 to 'jwt_verify' (the key is empty)"},
        {"crypto.jwt_verify('a.b.c')",
         "raised: bad argument #2 to 'jwt_verify' (string expected, got no value)"},
        {"crypto.jwt_sign({}, '')", "raised: bad argument #2 to 'jwt_sign' (the key is empty)"},
        {"pcall(crypto.jwt_sign, { a = print }, 'key')", "false"},
        {"pcall(crypto.jwt_sign, { a = ('x'):rep(7000) }, 'key')", "false"},
        {"verify(crypto.jwt_sign({ a = ('x'):rep(6000) }, 'key'))", "ok"}};
    EXPECT(rows);
}

static const char *const hungry[] = {
    "local token = crypto.jwt_sign({ sub = ('x'):rep(2000), aud = { 'a', 'b' } }, 'key')"
    " return crypto.jwt_verify(token, 'key')",
    "return crypto.jwt_sign({ a = 0/0 }, 'key')",
    "return crypto.base64_decode(crypto.base64_encode(('x'):rep(5000)))",
    "return crypto.base64_decode(('x'):rep(5001))",
    "return crypto.uuid() .. crypto.random(100) .. crypto.sha256('a')"
    " .. crypto.hmac_sha256('a', 'b', 'raw')"};

static int run_chunk(lua_State *L) {
    if (luaL_loadstring(L, lua_touserdata(L, 1))) return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static void nothing_is_lost_when_memory_ends_anywhere(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hungry / sizeof *hungry; i++) {
        for (long n = 0, status = LUA_ERRMEM; status == LUA_ERRMEM; n++) {
            struct rig rig = {0};
            lua_State *L = new_state(&rig);
            lua_pushcfunction(L, run_chunk);
            lua_pushlightuserdata(L, (void *)(uintptr_t)hungry[i]);
            rig.left = n;
            status = lua_pcall(L, 1, 0, 0);
            rig.left = INT32_MAX;
            lua_close(L);
            assert_true(n < 5000);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_and_encodings),
        cmocka_unit_test(random_values),
        cmocka_unit_test(good_tokens_give_their_claims),
        cmocka_unit_test(times_and_names_are_judged),
        cmocka_unit_test(forged_and_broken_tokens_are_refused),
        cmocka_unit_test(nothing_is_lost_when_memory_ends_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
