-- SPDX-License-Identifier: MIT
-- The admin interface: who may ask, over which door, and what the verbs of the command line make of
-- the answers.

local json = require "dkjson"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local stream = require "spec.support.stream"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local KEY = "0123456789abcdefghijklmnopqrstuvwxyz"
local SITES = { a = { path = "/a" }, b = { path = "/b", hosts = { "b.example" } } }
local SCRIPTS = { a = "return {}", b = "return {}" }

-- Asks a verb at a port or a socket's path: the status, the decoded body, the whole answer.
local function ask(at, verb, body, options)
  options = options or {}
  local headers = { ["Content-Type"] = "application/json" }
  for name, value in pairs(options.headers or {}) do headers[name] = value end
  local answer = http.get(at, "/admin/" .. verb, {
    method = options.method or "POST", host = "moonlatch", headers = headers,
    body = type(body) == "string" and body or json.encode(setmetatable(body or {}, { __jsontype = "object" })),
  })
  return answer.status, json.decode(answer.body), answer
end

local function start(conf, options)
  options = options or {}
  options.gateway, options.sites, options.scripts = conf or {}, options.sites or SITES, options.scripts or SCRIPTS
  return gateway.start(options)
end

local function tcp_port(g)
  return assert(tonumber(g:output():match("admin on http://[^\n]*:(%d+)")), g:output())
end

local function mode_of(path)
  local pipe = assert(io.popen("stat -c '%F %a' " .. tmp.quote(path) .. " 2>&1"))
  local text = pipe:read("l")
  pipe:close()
  return text
end

-- Runs a verb against g: status, standard output, standard error.
local function verb(g, ...)
  local words = { ... }
  words[#words + 1] = "--socket-path"
  words[#words + 1] = g.socket
  return gateway.run(words)
end

describe("the admin socket", function()
  after_each(gateway.stop_all)

  it("is a file that only its owner can connect to, and is gone at the end", function()
    local g = start()
    assert.equal("socket 600", mode_of(g.socket))
    assert.truthy(g:output():find("admin on unix:" .. g.socket, 1, true), g:output())
    assert.equal(200, (ask(g.socket, "sites")))
    local path = g.socket
    g.kept = true -- so that its folder can be looked at
    assert.equal(0, g:stop())
    assert.truthy(mode_of(path):find("No such file", 1, true), mode_of(path))
    tmp.remove(g.dir)
  end)

  it("replaces the file of a gateway that died", function()
    local dir = tmp.dir()
    local socket = dir .. "/x.sock"
    local first = start(nil, { args = { "--set", "admin.socket=" .. socket } })
    first:signal("KILL")
    first:wait_exit(5)
    assert.equal("socket 600", mode_of(socket))
    local second = start(nil, { args = { "--set", "admin.socket=" .. socket } })
    assert.equal(200, (ask(socket, "sites")))
    second:stop()
    tmp.remove(dir)
  end)

  it("is an error where another gateway has it", function()
    local g = start()
    local status, out, log = gateway.run({ "serve", "--conf", "@conf", "--scripts", "@scripts", "--listen", "127.0.0.1:0",
      "--set", "admin.socket=" .. g.socket }, {})
    assert.equal(1, status)
    assert.equal("", out)
    assert.truthy(log:find("unix:" .. g.socket .. ": in use by another gateway", 1, true), log)
    assert.equal(200, (ask(g.socket, "sites")))
  end)

  it("never replaces what is no socket", function()
    local dir = tmp.dir()
    tmp.write(dir .. "/file", "precious")
    local status, _, log = gateway.run({ "serve", "--conf", "@conf", "--scripts", "@scripts", "--listen", "127.0.0.1:0",
      "--set", "admin.socket=" .. dir .. "/file" }, {})
    assert.equal(1, status)
    assert.truthy(log:find("there is a file that is no socket", 1, true), log)
    assert.equal("precious", tmp.read(dir .. "/file"))
    tmp.remove(dir)
  end)

  it("does not remove the file of another", function()
    local g = start()
    os.remove(g.socket)
    tmp.write(g.socket, "another's")
    g.kept = true
    g:stop()
    assert.equal("another's", tmp.read(g.socket))
    tmp.remove(g.dir)
  end)

  it("takes operators also when the gateway is full", function()
    local g = start { limits = { max_connections = 1 } }
    local client = stream.connect(g.port)
    client:write("GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
    assert.truthy(client:take_until("\r\n\r\nok", wait.now() + 2))
    assert.equal(503, http.get(g.port, "/health/live").status)
    assert.equal(200, (ask(g.socket, "stat")))
    client:close()
  end)

  it("may serve clients too: a proxy, whom no limit per address counts", function()
    local dir = tmp.dir()
    local path = dir .. "/site.sock"
    local limits = { count_private = true, max_connections_per_ip = 1, tokens_per_ip = 1, tokens_per_ip_burst = 1 }
    local script = "return { authentication = function(req) return nil, tostring(req.ip) end }"
    local function start_with(trusted)
      return start({ limits = limits, trusted_proxies = trusted },
        { sites = { a = { path = "/", listen = { "unix:" .. path } } }, scripts = { a = script } })
    end
    local function ip_of(forwarded)
      return http.get(path, "/socket/token", { host = "a", headers = { ["X-Forwarded-For"] = forwarded } }).body
    end
    local g = start_with({})
    for _ = 1, 3 do assert.equal('{"error":"nil"}', ip_of("192.0.2.7")) end
    assert.equal(404, http.get(path, "/admin/sites", { host = "a" }).status)
    g:stop()
    g = start_with({ "::" })
    assert.equal('{"error":"192.0.2.7"}', ip_of("192.0.2.7"))
    assert.truthy(ip_of("192.0.2.7"):find("too_many", 1, true)) -- that one is counted
    g:stop()
    tmp.remove(dir)
  end)
end)

describe("admin.socket = auto", function()
  local runtime

  local function start_auto(dir, options)
    return start(nil, { dir = dir, args = { "--set", "admin.socket=auto" }, env = options })
  end

  before_each(function()
    runtime = tmp.dir()
    tmp.write(runtime .. "/conf/sites/a.lua", "return { path = '/' }")
    tmp.write(runtime .. "/scripts/a/init.lua", "return {}")
  end)

  after_each(function()
    gateway.stop_all()
    tmp.remove(runtime)
  end)

  it("is found by verbs that name the same conf, however they spell it", function()
    local g = start_auto(runtime, { XDG_RUNTIME_DIR = runtime })
    local path = g:output():match("admin on unix:(%S+)")
    assert.truthy(path:find("^" .. runtime:gsub("%p", "%%%0") .. "/moonlatch%-%x%x%x%x%x%x%x%x%.sock$"), path)
    for _, conf in ipairs { runtime .. "/conf", runtime .. "/scripts/../conf/" } do
      local command = ("XDG_RUNTIME_DIR=%s %s stat --conf %s 2>&1"):format(runtime, gateway.binary(), conf)
      local pipe = assert(io.popen(command))
      local text = pipe:read("a")
      assert.is_true(pipe:close(), text)
      assert.truthy(text:find("\nstore +memory\n"), text)
    end
  end)

  it("is in a folder of its own below /tmp where there is no XDG_RUNTIME_DIR", function()
    local g = start_auto(runtime, { XDG_RUNTIME_DIR = "" })
    local folder = g:output():match("admin on unix:(/tmp/moonlatch%-%d+)/%x+%.sock\n")
    assert.equal("directory 700", mode_of(folder))
    -- a shell that has one finds it all the same
    local command = ("XDG_RUNTIME_DIR=%s %s stat --conf %s/conf 2>&1"):format(runtime, gateway.binary(), runtime)
    local pipe = assert(io.popen(command))
    local text = pipe:read("a")
    assert.is_true(pipe:close(), text)
  end)

  it("leaves a second gateway of the same conf without one, and says what to set", function()
    local first = start_auto(runtime, { XDG_RUNTIME_DIR = runtime })
    local second = gateway.start { env = { XDG_RUNTIME_DIR = runtime }, -- its own folder is for its log only
      args = { "--conf", runtime .. "/conf", "--scripts", runtime .. "/scripts", "--set", "admin.socket=auto" } }
    assert.is_true(second:wait_log("no admin socket", 2))
    assert.truthy(second:log():find("in use by another gateway", 1, true), second:log())
    assert.truthy(second:log():find("admin.socket to a path, or to off", 1, true), second:log())
    assert.falsy(second:output():find("admin on", 1, true))
    assert.equal(200, http.get(second.port, "/health/live").status)
    local path = first:output():match("admin on unix:(%S+)")
    second:stop()
    assert.equal(200, (ask(path, "sites")))
  end)

  it("says where nobody answers", function()
    local status, out, log = gateway.run { "stat", "--conf", runtime .. "/conf" }
    assert.equal(1, status)
    assert.equal("", out)
    assert.truthy(log:find("no gateway answers at /%S+%.sock.*: is it running with this %-%-conf%?"), log)
  end)
end)

describe("the admin address", function()
  local g, port, bare

  setup(function()
    g = start { admin = { listen = "127.0.0.1:0", key = KEY } }
    port = tcp_port(g)
    bare = start { admin = { listen = "127.0.0.1:0" } }
  end)
  teardown(gateway.stop_all)

  local function with(key) return { headers = { Authorization = key } } end

  it("wants the key", function()
    assert.equal(200, (ask(port, "sites", {}, with("Bearer " .. KEY))))
    assert.equal(200, (ask(port, "sites", {}, with("bearer  " .. KEY))))
    for _, key in ipairs { "", "Bearer", "Bearer ", "Bearer " .. KEY .. "x", "Bearer " .. KEY:sub(2), "Basic " .. KEY, KEY } do
      local status, body, answer = ask(port, "sites", {}, with(key))
      assert.equal(401, status, key)
      assert.equal("unauthorized", body.error)
      assert.equal("Bearer", answer.headers["www-authenticate"])
    end
    assert.equal(401, (ask(port, "sites")))
    assert.equal(401, (ask(port, "nothing")))
    assert.falsy(g:log():find(KEY, 1, true))
  end)

  it("opens for nobody without one", function()
    local status, body = ask(tcp_port(bare), "sites", {}, with("Bearer "))
    assert.equal(403, status)
    assert.equal("no_key", body.error)
    assert.equal(200, http.get(tcp_port(bare), "/metrics").status)
    assert.equal(200, (ask(bare.socket, "sites")))
  end)

  it("shows metrics without", function()
    assert.equal(200, http.get(port, "/metrics").status)
  end)

  it("is where verbs go with --url and --key, or the key of the conf", function()
    local url = "http://127.0.0.1:" .. port
    local status, out = gateway.run { "stat", "--url", url, "--key", KEY }
    assert.equal(0, status)
    assert.truthy(out:find("\nuptime +%d"), out)
    assert.equal(0, (gateway.run { "stat", "--conf", g.dir .. "/conf", "--url", url .. "/" }))
    local refused, _, log = gateway.run { "stat", "--url", url, "--key", KEY .. "x" }
    assert.equal(1, refused)
    assert.truthy(log:find("needs the key of admin.key", 1, true), log)
    for _, wrong in ipairs { "https://a.example", "127.0.0.1:1", "http://127.0.0.1:" .. port .. "/path", "http://" } do
      local code, _, text = gateway.run { "stat", "--url", wrong, "--key", KEY }
      assert.equal(1, code)
      assert.truthy(text:find("is no URL such as", 1, true), text)
    end
    local gone, _, text = gateway.run { "stat", "--url", "http://127.0.0.1:1", "--key", KEY }
    assert.equal(1, gone)
    assert.truthy(text:find("no gateway answers at http://127.0.0.1:1: Connection refused", 1, true), text)
  end)

  it("cannot be driven by a page", function()
    for _, at in ipairs { port, g.socket } do
      local key = "Bearer " .. KEY
      local status, body = ask(at, "sites", {}, { headers = { Authorization = key, Origin = "http://127.0.0.1:" .. port } })
      assert.equal(403, status)
      assert.equal("origin", body.error)
      assert.equal(403, (ask(at, "sites", {}, { method = "OPTIONS", headers = { Origin = "null" } })))
      for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "" } do
        assert.equal(415, (ask(at, "sites", {}, { headers = { Authorization = key, ["Content-Type"] = kind } })), kind)
      end
      assert.equal(415, (ask(at, "sites", {}, { headers = { Authorization = key, ["Content-Type"] = false } })))
      assert.equal(200, (ask(at, "sites", {},
        { headers = { Authorization = key, ["Content-Type"] = "Application/JSON; charset=utf-8" } })))
      local get, _, answer = ask(at, "sites", "", { method = "GET", headers = { Authorization = key } })
      assert.equal(405, get)
      assert.is_nil(answer.headers["access-control-allow-origin"])
    end
  end)
end)

describe("admin verbs", function()
  local g

  setup(function() g = start() end)
  teardown(gateway.stop_all)

  it("want an object", function()
    for _, body in ipairs { "", "{", "[]", "1", '"x"', '{"a":1,"a":2}', '{"site":"\xff"}', "{}x", ("["):rep(600) } do
      local status, answer = ask(g.socket, "sites", body)
      assert.equal(400, status, body)
      assert.equal("bad_json", answer.error)
      assert.equal("string", type(answer.message))
    end
  end)

  it("that there are not", function()
    for _, name in ipairs { "", "nothing", "Stat", "stat/", "stat/x", "%73tat" } do
      local status, answer = ask(g.socket, name)
      assert.equal(404, status, name)
      assert.equal("unknown_verb", answer.error)
    end
    assert.equal(404, http.get(g.socket, "/admin", { host = "a" }).status)
  end)

  it("name a site that there is", function()
    local status, answer = ask(g.socket, "stat", { site = "c" })
    assert.equal(404, status)
    assert.same({ error = "no_such_site", message = "there is no site 'c'; there are: a, b" }, answer)
    assert.equal(400, (ask(g.socket, "stat", { site = 1 })))
    local code, out, log = verb(g, "stat", "--site", "c")
    assert.equal(1, code)
    assert.equal("", out)
    assert.equal("moonlatch: there is no site 'c'; there are: a, b\n", log)
  end)

  it("sites: lists them", function()
    local status, list = ask(g.socket, "sites")
    assert.equal(200, status)
    assert.equal("a", list[1].name)
    assert.equal("/b", list[2].path)
    assert.same({ "b.example" }, { table.unpack(list[2].hosts) })
  end)

  it("stat: says how the process and its sites are", function()
    local status, stat = ask(g.socket, "stat")
    assert.equal(200, status)
    assert.equal(g.pid, stat.pid)
    assert.equal("memory", stat.store)
    assert.is_true(stat.store_up)
    assert.is_false(stat.draining)
    assert.is_true(stat.rss > 1e6 and stat.uptime < 60 and stat.connections >= 1)
    assert.equal(2, #stat.sites)
    assert.equal("b", select(2, ask(g.socket, "stat", { site = "b" })).sites[1].name)
    assert.equal(1, #select(2, ask(g.socket, "stat", { site = "b" })).sites)
  end)

  it("are shown as lines and tables, or as they came with --json", function()
    local status, out = verb(g, "stat")
    assert.equal(0, status)
    assert.truthy(out:find("^version      %d+%.%d+%.%d+\n"), out)
    assert.truthy(out:find("\n\nname  [^\n]*sockets[^\n]*\na  [^\n]*\nb  [^\n]*\n$"), out)
    local code, text = verb(g, "stat", "--json", "--site", "a")
    assert.equal(0, code)
    assert.equal(1, select(2, text:gsub("\n", "\n")))
    assert.equal("a", json.decode(text).sites[1].name)
  end)
end)

local SHOP = [[
local time = require "moonlatch.time"
local site = {}
local server
function site.authentication(req) return req.query.name and { name = req.query.name } end
site.controllers = {
  greet = function(auth, data) return "hello, " .. auth.name .. (type(data) == "string" and data or "") end,
  tell = function(_, data, socket) return { sid = socket.sid, data = data } end,
  no = function() return nil, "not today" end,
  oops = function() error("a secret") end,
  wait = function() time.sleep(60) return "late" end,
  long = function() return ("x"):rep(1048575) .. ("x"):rep(1048575) end,
}
function site.setup(s)
  server = s
  server:on("subscribe", function(socket, data) return data.channel ~= "staff" or socket.auth.name == "ann", "staff only" end)
end
return site
]]

describe("verbs over a site", function()
  local g, ann, bob

  setup(function()
    g = gateway.start { sites = { shop = { path = "/" } }, scripts = { shop = SHOP },
      gateway = { limits = { script_string = "2M" } } }
    ann = assert(token.login(g.port, { query = "name=ann" }))
    bob = assert(token.login(g.port, { query = "name=b%1B%5B2Jb" }))
    assert(ann:subscribe("lobby"))
    assert(ann:subscribe("staff"))
    assert(bob:subscribe("lobby"))
  end)
  teardown(gateway.stop_all)

  -- What a verb prints with --json, decoded.
  local function answer_of(...)
    local words = { ... }
    words[#words + 1] = "--json"
    local status, out, log = verb(g, table.unpack(words))
    assert.equal(0, status, log)
    return json.decode(out)
  end

  local function refused(...)
    local status, out, log = verb(g, ...)
    assert.equal(1, status, out)
    assert.equal("", out)
    return log
  end

  it("sockets: who is connected, or in a channel", function()
    local all, staff = answer_of "sockets", answer_of("sockets", "staff")
    assert.equal(2, #all)
    assert.equal(1, #staff)
    assert.equal("ann", staff[1].auth.name)
    table.sort(staff[1].channels)
    assert.same({ "lobby", "staff" }, { table.unpack(staff[1].channels) })
    local _, out = verb(g, "sockets", "--site", "shop")
    assert.truthy(out:find("^sid +auth +channels +protocol +ip +created\n"), out)
    assert.equal(3, select(2, out:gsub("\n", "\n")), out)
    assert.truthy(out:find("b\\u001b[2Jb", 1, true), out) -- as JSON has it: nothing for the terminal to do
    assert.falsy(out:find("\27", 1, true))
    assert.equal(1, #select(2, ask(g.socket, "sockets", { max = 1 })))
  end)

  it("channels: those that have members", function()
    local names = {}
    for _, row in ipairs(answer_of "channels") do names[#names + 1] = row.channel end
    table.sort(names)
    assert.same({ "lobby", "staff" }, names)
  end)

  it("publish: to the members of a channel, JSON or text", function()
    local message = { text = "soon", n = 1 }
    assert.same({ published = true }, answer_of("publish", "lobby", json.encode(message)))
    assert.same(message, bob:message("lobby"))
    assert.equal(0, (verb(g, "publish", "lobby", "{not json")))
    assert.equal("{not json", bob:message("lobby"))
    assert.equal(0, (verb(g, "publish", "lobby", "-5")))
    assert.equal(-5, bob:message("lobby"))
    assert.truthy(refused("publish", "", "x"):find("bad_channel", 1, true))
  end)

  it("call: as a client, or as one with that auth", function()
    local _, out = verb(g, "call", "greet", "--auth", '{"name":"cat"}')
    assert.equal("hello, cat\n", out)
    local sid = answer_of("sockets", "staff")[1].sid
    assert.same({ sid = sid, data = { 1, 2 } }, answer_of("call", "tell", "[1,2]", "--socket", sid).result)
    assert.equal("hello, ann!", answer_of("call", "greet", "!", "--socket", sid).result)
    assert.equal("moonlatch: not today\n", refused("call", "no"))
    assert.truthy(refused("call", "nothing"):find("not found", 1, true))
    assert.truthy(refused("call", "greet", "--socket", "nobody"):find("there is no socket nobody", 1, true))
    assert.truthy(refused("call", "oops"):find("init.lua:%d+: a secret"))
  end)

  it("explain: what the rules would decide, and where they stand", function()
    local sid
    for _, row in ipairs(answer_of "sockets") do sid = row.auth.name ~= "ann" and row.sid or sid end
    local rows = answer_of("explain", "subscribe", "staff", "--socket", sid)
    assert.equal("scripts/shop/init.lua:15", rows[1].at)
    assert.equal("refused: staff only", rows[1].answer)
    assert.equal("refused", rows[#rows].answer)
    local _, out = verb(g, "explain", "subscribe", "lobby", "--socket", sid)
    assert.truthy(out:find("^stage +at +answer +ms\non +scripts/shop/init.lua:15 +allowed +[%d.]+\n"), out)
    assert.equal("allowed: there is no listener", answer_of("explain", "broadcast", "x", "--auth", "{}")[1].answer)
    assert.equal("hello, x", answer_of("explain", "call", "greet", "--auth", '{"name":"x"}')[1].answer)
  end)

  it("console: runs code, given or read", function()
    local _, out = verb(g, "console", "-e", "1 + 1, site.authentication({ query = { name = 'x' } })")
    assert.equal('2\n{ name = "x" }\n', out)
    local status, none, log = verb(g, "console", "-e", "error('so')")
    assert.same({ 1, "", "console:1: so\n" }, { status, none, log })
    status, none, log = verb(g, "console", "-e", "for i = 1, 2 do")
    assert.same({ 1, "" }, { status, none })
    assert.truthy(log:find("'end' expected near <eof>", 1, true), log)
    local pipe = assert(io.popen(("printf 'seen = 4\\nfor i = 1, 2 do\\n  print(i + seen)\\nend\\nerror(\"x\")\\nseen\\n' | "
      .. "%s console --socket-path %s 2>&1; echo $?"):format(gateway.binary(), g.socket)))
    assert.equal("5\n6\nconsole:1: x\n4\n1\n", pipe:read("a"))
    pipe:close()
  end)

  it("token: a login for a client", function()
    local _, given = ask(g.socket, "token", { auth = { name = "dan" } })
    local dan = assert(token.login(g.port, { token = given.token }))
    assert.equal("hello, dan", (dan:rpc("greet", {})))
    dan:close()
    assert.equal(400, (ask(g.socket, "token", { auth = 1 })))
  end)

  it("answer at most a megabyte", function()
    local status, answer = ask(g.socket, "call", { name = "long" })
    assert.is_true(status == 422 or status == 500, status)
    assert.equal("string", type(answer.error))
  end)

  it("are given up when nobody waits for the answer", function()
    local st = stream.connect(g.socket)
    local body = '{"name":"wait"}'
    st:write("POST /admin/call HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: " .. #body
      .. "\r\n\r\n" .. body)
    local function tasks() return select(2, ask(g.socket, "stat")).sites[1].tasks end
    assert.is_truthy(wait.for_true(function() return tasks() == 1 end))
    st:close()
    assert.is_truthy(wait.for_true(function() return tasks() == 0 end))
    assert.equal(200, (ask(g.socket, "sites")))
  end)

  it("reload, rollback: the files as they are, and back", function()
    local path = g.dir .. "/scripts/shop/init.lua"
    tmp.write(path, (SHOP:gsub("hello, ", "good day, ")))
    local _, out = verb(g, "reload")
    assert.equal("site  generation\nshop           2\n", out)
    assert.equal("good day, ann", (ann:rpc("greet", {})))
    tmp.write(path, "return {")
    local log = refused("reload", "shop")
    assert.truthy(log:find("^moonlatch: scripts/shop/init.lua:1: "), log)
    assert.equal("good day, ann", (ann:rpc("greet", {})))
    assert.truthy(refused("reload", "nothing"):find("there is no site nothing", 1, true))
    assert.same({ { site = "shop", generation = 1 } }, answer_of("rollback", "shop"))
    assert.equal("hello, ann", (ann:rpc("greet", {})))
    refused("rollback", "shop")
    assert.equal(1, answer_of("stat").sites[1].generation)
  end)

  it("take a site that is new", function()
    tmp.write(g.dir .. "/conf/sites/later.lua", "return { path = '/later', script = false }")
    tmp.write(g.dir .. "/scripts/shop/init.lua", SHOP)
    assert.equal("later", answer_of("reload", "later")[1].site)
    assert.equal("moonlatch: which site? There are: shop, later\n", refused("sockets"))
    assert.is_true(#answer_of("sockets", "--site", "shop") >= 2)
    assert.equal(0, #answer_of("sockets", "--site", "later"))
  end)
end)
