-- SPDX-License-Identifier: MIT
-- The program's verbs and options, and what it says about wrong configurations.

local gateway = require "spec.support.gateway"
local tmp = require "spec.support.tmp"

local FOLDERS = { "--conf", "@conf", "--scripts", "@scripts" }

-- Runs a verb over conf files: status, standard output, standard error.
local function run(verb, options, more)
  local words = { verb, table.unpack(FOLDERS) }
  for _, word in ipairs(more or {}) do words[#words + 1] = word end
  return gateway.run(words, options)
end

local function with_site(source)
  return { sites = { a = source }, scripts = { a = "return {}" } }
end

local function one_endpoint(rest)
  return "return { endpoints = {\n{ path = '/x', transport = 'sockjs', " .. rest .. " } } }"
end

-- What stands in the file, and the line that check prints about it.
local BROKEN_SITES = {
  { "return { path = ", "1: unexpected symbol near <eof>" },
  { "return 'x'", "1: the result must be a table: return { ... }" },
  { "return {\n\n path = pth }", "3: unknown name 'pth'" },
  { "return {\n tokn = false }", "2: unknown key 'tokn'; did you mean 'token'?" },
  { "return { token = {\n jsnp = true } }", "2: unknown key 'token.jsnp'; did you mean 'jsonp'?" },
  { "return {\n ttl = '30s' }", "2: unknown key 'ttl'; did you mean 'token.ttl'?" },
  { "return { path = '/x',\n path = '/y' }", "2: 'path' is given twice, first in line 1" },
  { "return { path = 'x' }", '1: path must start with "/", not "x"' },
  { "return { path = '/a//b' }", '1: path must be a path without "//", not "/a//b"' },
  { "return { path = '/a/../b' }", '1: path must be a path without "..", not "/a/../b"' },
  { "return { hosts = { 'a:80' } }", '1: hosts must be a host\'s name, without a port, not "a:80"' },
  { "return {\n hosts = 5 }", "2: hosts must be a list of texts, not 5" },
  { "return { origins = { 'a.b' } }", '1: origins must be "*" or an origin such as' },
  { "return { libraries = { 'lfs' } }", '1: libraries must be "cjson", not "lfs"' },
  { "return { slow = 'never' }", '1: slow must be "close" or "drop", not "never"' },
  { "return { options = { 1, 2 } }", "1: options must be a table with keys" },
  { "return { options = {\n f = function() end } }", "2: options.f is a function; a conf file holds data only" },
  { "return { static = '../b' }", "1: static must be a folder below the site's scripts" },
  { "return { static = 'public' }", "1: there is no folder " },
  { "return {\n script = 'b' }", "2: there is no " },
  { "return { limits = {\n unauth_timeout = 'soon' } }", "2: limits.unauth_timeout must be a duration" },
  { "return { limits = { unauth_timeout = '1ms' } }",
    '1: limits.unauth_timeout must be from "100ms" to "10m", not "1ms"' },
  { "return { limits = { http_max_body = '1K' } }", "1: limits.http_max_body is a limit of the whole process" },
  { "return { limits = { rpc_timeout = '1m' } }", "1: limits.rpc_timeout is above the gateway's" },
  { one_endpoint "transprt = 1", "2: unknown key 'endpoints[1].transprt'; did you mean 'transport'?" },
  { one_endpoint "dialect = 'broker'", '2: endpoints[1].dialect must be "token", "raw" or "socketio", not "broker"' },
  { one_endpoint "dialect = 'socketio'", '2: endpoints[1].dialect "socketio" is for transport "engineio" only' },
  { "return { script = false,\nsocketio = { namespaces = { 'chat' } } }", '2: socketio.namespaces must be a namespace such as "/chat"' },
  { "return { script = false,\nsocketio = { emitter = 7 } }", "2: socketio.emitter must be true, false or a text, not 7" },
  { "return { script = false,\nsocketio = { emitter = '' } }", "2: socketio.emitter must not be empty" },
  { "return { script = false,\nsocketio = { auth = 'no' } }", '2: socketio.auth must be "token", "request" or "none", not "no"' },
  { one_endpoint "compress = { window_bits = 8 }", "2: endpoints[1].compress.window_bits must be from 9 to 15, not 8" },
  { one_endpoint "max_message = '17M'", '2: endpoints[1].max_message must be from 16 to "16M", not "17M"' },
  { one_endpoint "sockjs_url = 'x.js'", '2: endpoints[1].sockjs_url must start with "/"' },
  { one_endpoint "} , { path = '/x', transport = 'sockjs'", '2: endpoints[2].path "/x" is taken' },
  { "return { endpoints = {\n { path = '/x' } } }", "2: endpoints[1] has no transport" },
  { "return { endpoints = {\n { transport = 'sockjs' } } }", "2: endpoints[1] has no path" },
  { "return { endpoints = { { path = '/x', transport = 'grpc' } } }",
    '1: endpoints[1].transport must be "websocket", "sockjs" or "engineio", not "grpc"' },
}

local function push(rest) return "return { script = false,\npush = { " .. rest .. " } }" end

for _, case in ipairs {
  { push "api_key = '54321'", "2: push.api_key must have 32 characters or more" },
  { push "weak_api_key = true, api_key = 'no tab\\t'", "2: push.api_key must be printable characters without spaces" },
  { push "api_key = true", "2: push.api_key must be printable characters without spaces" },
  { push "weak_api_key = true, api_key = { a = 'b' }", "2: push.api_key must be a list of texts" },
  { push "auth_url = 'a.b'", '2: push.auth_url must be a URL such as "https://example.com/auth", without a password, not "a.b"' },
  { push "auth_url = 'http://a:b@c/'", "2: push.auth_url must be a URL such as" },
  { push "auth_scheme = 'Bearer x'", '2: push.auth_scheme must be a word such as "Bearer", not "Bearer x"' },
  { push "auth_timeout = '1ms'", '2: push.auth_timeout must be from "10ms" to "10m", not "1ms"' },
  { push "missing = 'null'", '2: push.missing must be "empty" or "undefined", not "null"' },
  { push "user_room_prefix = 'user *'", "2: push.user_room_prefix must be printable ASCII, without spaces" },
  { push "public_channel = 'public'", "2: push.public_channel has a meaning only with push.user_room_prefix" },
  { push "update_user_url = 'http://a/users'", '2: push.update_user_url must have ":id" in it' },
  { push "device_ttl = 'soon'", "2: push.device_ttl must be a duration" },
  { push "device_ttl = 5,\nclient_ttl = 5", "3: push.client_ttl is the older name of push.device_ttl" },
  { push "names = '_BATCH'", '2: push.names must be "_batch" or "batch", not "_BATCH"' },
  { push "apiKey = 'x'", "2: unknown key 'push.apiKey'; did you mean 'api_key'?" },
} do BROKEN_SITES[#BROKEN_SITES + 1] = case end

local BROKEN_GATEWAYS = {
  { "return { lisen = ':0' }", "1: unknown key 'lisen'; did you mean 'listen'?" },
  { "return { listen = 'here' }", '1: listen must be an address such as' },
  { "return { store = 'disk' }", '1: store must be "memory", "sqlite:PATH", "redis://HOST:6379/0" or "unix:///PATH", not "disk"' },
  { "return {\n log = { level = 'all' } }", '2: log.level must be "debug", "info", "warn" or "error", not "all"' },
  { "return { trusted_proxies = 'me' }", "1: trusted_proxies must be addresses or blocks" },
  { "return { listen = 'unix:x' }", '1: listen must name an absolute path of at most 107 bytes behind "unix:", not' },
  { "return { admin = { socket = 'x' } }", '1: admin.socket must be "auto", "off" or an absolute path' },
  { "return { admin = { key = 'too short, and never shown' } }", "1: admin.key must have 32 printable characters or more" },
  { "return { admin = { key = 7 } }", "1: admin.key must be a text\n" },
  { "return { limits = { max = { rpc_timeout = '1s' } } }", "1: limits.max.rpc_timeout is below limits.rpc_timeout" },
  { "return {\nendpoints = { { path = '/io', transport = 'engineio', dialect = 'raw' } } }",
    '2: endpoints[1] is for all sites: its dialect must be "socketio"' },
  { "return { endpoints = { {\npath = '/io', transport = 'engineio', dialect = 'socketio', auth = 'token' } } }",
    "2: endpoints[1].auth is for each site to say: socketio.auth" },
  { "return { endpoints = 1 }", "1: endpoints must be a list of tables" },
  { "return { sites = { a = { script = false, socketio = { namespaces = { '/x' } } },\n" ..
    "b = { script = false, socketio = { namespaces = { '/x' } } } } }",
    "2: site 'b' shares its Socket.IO namespace with site 'a'" },
  { "while true do end", "1: runs for more than a second" },
}

describe("moonlatch check", function()
  for _, case in ipairs(BROKEN_SITES) do
    it("says of a site's file: " .. case[2], function()
      local status, out, log = run("check", with_site(case[1]))
      assert.equal(2, status)
      assert.equal("", out)
      assert.truthy(log:find("conf/sites/a.lua:" .. case[2], 1, true), log)
      assert.equal(1, select(2, log:gsub("\n", "\n")), log)
    end)
  end

  for _, case in ipairs(BROKEN_GATEWAYS) do
    it("says of gateway.lua: " .. case[2], function()
      local status, _, log = run("check", { gateway = case[1] })
      assert.equal(2, status)
      assert.truthy(log:find("conf/gateway.lua:" .. case[2], 1, true), log)
    end)
  end

  it("does not show a key that it refuses", function()
    local _, _, log = run("check", { gateway = "return { admin = { key = 'a secret' } }" })
    assert.falsy(log:find("a secret", 1, true), log)
  end)

  it("shows an API key neither when it refuses nor when it prints it", function()
    local _, _, log = run("check", with_site "return { push = { api_key = { 'short-secret', 'no space' } } }")
    assert.truthy(log:find("push.api_key must", 1, true), log)
    assert.falsy(log:find("short", 1, true) or log:find("no space", 1, true), log)
    local key = ("long-secret-"):rep(3)
    local status, out = run("conf", with_site("return { push = { api_key = { '" .. key .. "', '" .. key .. "2' } } }"))
    assert.equal(0, status)
    assert.falsy(out:find("secret-", 1, true), out)
    local printed = out:match "api_key = (%b{})"
    assert.equal(2, select(2, printed:gsub("sha256:%x+", "")), printed)
    local _, again = run("conf", with_site("return { push = { api_key = " .. printed .. " } }"))
    assert.equal(out, again)
  end)

  it("names all mistakes of all files", function()
    local _, _, log = run("check", {
      gateway = "return { lisen = 1, log = 2 }", sites = { a = "return { x = 1 }", b = "return {" },
      scripts = { a = "return {}" },
    })
    assert.truthy(log:find("unknown key 'lisen'", 1, true), log)
    assert.truthy(log:find("log must be a table", 1, true), log)
    assert.truthy(log:find("a.lua:1: unknown key 'x'", 1, true), log)
    assert.truthy(log:find("b.lua:1: ", 1, true), log)
  end)

  it("refuses two sites in one place", function()
    local status, _, log = run("check", {
      sites = { a = "return { path = '/' }", b = "return {\n path = '/' }" },
      scripts = { a = "return {}", b = "return {}" },
    })
    assert.equal(2, status)
    assert.truthy(log:find("b.lua:2: site 'b' shares its path with site 'a'", 1, true), log)
  end)

  it("finds mistakes in scripts", function()
    local status, _, log = run("check", { sites = { a = "return {}" }, scripts = { a = "\nreturn {" } })
    assert.equal(2, status)
    assert.truthy(log:find("init.lua:2:", 1, true), log)
  end)

  it("has nothing against a good configuration", function()
    local status, out, log = run("check", with_site "return { path = '/' }")
    assert.equal(0, status, log)
    assert.truthy(out:find("1 site, nothing wrong", 1, true), out)
    assert.equal("", log)
  end)

  it("has nothing against the configuration that comes with the program", function()
    local status, _, log = gateway.run { "check" }
    assert.equal(0, status, log)
  end)

  it("names a folder that is not there", function()
    local status, _, log = gateway.run { "check", "--conf", "/nonexistent/conf" }
    assert.equal(2, status)
    assert.truthy(log:find("there is no folder /nonexistent/conf", 1, true), log)
  end)
end)

describe("moonlatch conf", function()
  it("prints what gives the same configuration again", function()
    local options = with_site [[
      return { path = "/", hosts = { "A.example" }, static = "public", slow = "drop",
        options = { text = "a\n\"b\"", list = { 1, 2.5, true }, ["not a name"] = {} },
        limits = { unauth_timeout = "1s" }, token = { ttl = "10s", jsonp = true },
        endpoints = {
          { path = "/raw", transport = "websocket", dialect = "raw", compress = true, protocols = { "x" } },
          { path = "/sockets", transport = "sockjs", heartbeat = "1s" } } }
    ]]
    options.scripts.a = { ["init.lua"] = "return {}", ["public/index.html"] = "" }
    options.gateway = "return { log = { format = 'json' }, limits = { max = { script_memory = '64M' } } }"
    local status, first, log = run("conf", options)
    assert.equal(0, status, log)
    assert.truthy(first:find('hosts = { "a.example" }', 1, true), first)
    assert.truthy(first:find('unauth_timeout = "1s", -- ', 1, true), first)
    options.gateway, options.sites = first, nil
    local _, second = run("conf", options)
    assert.equal(first, second)
  end)

  it("prints what --set and --listen say", function()
    local _, out = run("conf", {}, { "--set", "limits.unauth_timeout=2s", "--set=log.level=debug", "--listen", ":0" })
    assert.truthy(out:find('unauth_timeout = "2s"', 1, true), out)
    assert.truthy(out:find('level = "debug"', 1, true), out)
    assert.truthy(out:find('listen = { ":0" }', 1, true), out)
  end)

  it("reads the environment", function()
    local _, out = run("conf", with_site [[
      return { options = {
        home = env("HOME"), other = env("MOONLATCH_SPEC_NONE", "none"), n = env("MOONLATCH_SPEC_NONE", 5) } }
    ]])
    assert.truthy(out:find(string.format('["home"] = %q', os.getenv("HOME")), 1, true), out)
    assert.truthy(out:find('["other"] = "none"', 1, true), out)
    assert.truthy(out:find('["n"] = 5', 1, true), out)
  end)

  it("prints every key and default that conf/gateway.lua explains", function()
    local _, defaults = run("conf", { gateway = "return {}" })
    local shipped = tmp.read("conf/gateway.lua"):gsub("\n(%s*)%-%- ([%w_]+ = [^\n]+,)\n", "\n%1%2\n")
      :gsub("\n(%s*)%-%- ([%w_]+ = [^\n]+,)\n", "\n%1%2\n")
    local _, explained, log = run("conf", { gateway = shipped })
    assert.equal("", log)
    assert.equal(defaults, explained)
    for name in defaults:gmatch("\n%s*([%w_]+) = [^\n{]") do
      assert.truthy(shipped:find("%f[%w_]" .. name .. " = "), "conf/gateway.lua does not explain " .. name)
    end
  end)
end)

describe("conf/push-service", function()
  local function conf(environment)
    local pipe = io.popen(environment .. " " .. gateway.binary() .. " conf --conf conf/push-service 2>&1")
    local text = pipe:read "a"
    pipe:close()
    return text
  end

  it("is configured from the environment, as the service of old", function()
    local text = conf("SITE_NAME=shop API_KEY=54321 AUTH_URL=http://127.0.0.1:1/auth AUTH_SCHEME=Token USER_ROOM_PREFIX=user_ " ..
      "PUBLIC_CHANNEL=public UPDATE_USER_URL=http://127.0.0.1:1/users/:id DEVICE_TTL=5 PORT=1338 REDIS_URL=redis://127.0.0.1:1/2")
    for _, line in ipairs { 'listen = { "0.0.0.0:1338" }', 'store = "redis://127.0.0.1:1/2"', '["shop"] = {', 'namespaces = { "/shop" }',
      'auth_url = "http://127.0.0.1:1/auth"', 'auth_scheme = "Token"', 'user_room_prefix = "user_"', 'public_channel = "public"',
      'update_user_url = "http://127.0.0.1:1/users/:id"', 'device_ttl = "5s"' } do
      assert.truthy(text:find(line, 1, true), line .. " is not in\n" .. text)
    end
    assert.falsy(text:find("54321", 1, true))
  end)

  it("has what that had where nothing is said", function()
    local text = conf "SITE_NAME=shop"
    for _, line in ipairs { 'listen = { "0.0.0.0:1337" }', 'device_ttl = "1h"', 'store = "memory"', 'auth_scheme = "Bearer"' } do
      assert.truthy(text:find(line, 1, true), line .. " is not in\n" .. text)
    end
  end)
end)

describe("moonlatch", function()
  it("prints its version", function()
    local status, out = gateway.run { "--version" }
    assert.equal(0, status)
    assert.truthy(out:find("^moonlatch %d+%.%d+%.%d+\n$"), out)
  end)

  it("prints its verbs", function()
    for _, words in ipairs { { "--help" }, { "help" } } do
      local status, out, log = gateway.run(words)
      assert.equal(0, status)
      assert.equal("", log)
      for _, verb in ipairs { "serve", "check", "conf" } do assert.truthy(out:find("\n  " .. verb .. " ", 1, true), out) end
    end
  end)

  it("explains each verb", function()
    for _, verb in ipairs { "serve", "check", "conf" } do
      local status, out = gateway.run { verb, "--help" }
      assert.equal(0, status)
      assert.truthy(out:find("usage: moonlatch " .. verb, 1, true), out)
      assert.truthy(out:find("--scripts DIR", 1, true), out)
      assert.equal(out, (select(2, gateway.run { "help", verb })))
    end
  end)

  it("names what may have been meant", function()
    for words, hint in pairs {
      [{ "srve" }] = "unknown verb 'srve'; did you mean 'serve'?",
      [{ "help", "chek" }] = "unknown verb 'chek'; did you mean 'check'?",
      [{ "check", "--cnf", "x" }] = "unknown option '--cnf'; did you mean '--conf'?",
      [{ "check", "--conf" }] = "--conf needs a value: DIR",
      [{ "check", "--dev=1" }] = "--dev takes no value",
      [{ "conf", "--set", "log.levl=debug" }] = "--set: unknown key 'log.levl'; did you mean 'log.level'?",
      [{ "conf", "--set", "log.level" }] = "--set: 'log.level' is not KEY=VALUE",
      [{ "conf", "--set", "limits.rpc_timeout=x" }] = "--set: limits.rpc_timeout must be a duration",
      [{ "conf", "--listen", "x" }] = "--listen: 'x' must be an address",
    } do
      local status, out, log = gateway.run(words)
      assert.equal(2, status)
      assert.equal("", out)
      assert.truthy(log:find(hint, 1, true), log)
    end
  end)

  it("wants a verb", function()
    local status, out, log = gateway.run {}
    assert.equal(2, status)
    assert.equal("", out)
    assert.truthy(log:find("usage: moonlatch VERB", 1, true), log)
  end)

  it("does not serve a wrong configuration", function()
    local status, out, log = run("serve", { gateway = "return { lisen = 1 }" })
    assert.equal(2, status)
    assert.equal("", out)
    assert.truthy(log:find("gateway.lua:1: unknown key 'lisen'", 1, true), log)
  end)

  it("fails with status 1 where an address is taken", function()
    local g = gateway.start {}
    local status, out, log = run("serve", {}, { "--listen", "127.0.0.1:" .. g.port })
    g:stop()
    assert.equal(1, status)
    assert.equal("", out)
    assert.truthy(log:find("127.0.0.1:" .. g.port, 1, true), log)
  end)

  it("finds nothing wrong with the example sites", function()
    local status, out, log = gateway.run { "check", "--conf", "conf/examples", "--scripts", "scripts" }
    assert.are.equal(0, status, log)
    assert.is_truthy(out:find("12 sites, nothing wrong", 1, true), out)
  end)
end)
