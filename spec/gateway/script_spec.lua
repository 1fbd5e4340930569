-- SPDX-License-Identifier: MIT
-- What a client sees of a site's script: controllers, routes, errors, filters.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local token = require "spec.support.token"
local ws = require "spec.support.ws"

local SITE = [[
local json = require "moonlatch.json"
local time = require "moonlatch.time"
local site = {}

function site.authentication(req)
  return { name = req.query.user or "nobody", role = req.query.role }
end

local function recurse() return recurse() + 1 end

site.controllers = {
  echo = function(_, data) return data end,
  who = function(auth, data, socket) return { auth.name, data == nil, socket.auth == auth } end,
  options = function() return site.options end,
  nothing = function() end,
  nilled = function() return nil end,
  nulled = function() return json.null end,
  falsed = function() return false end,
  emptied = function() return json.empty_array end,
  refuse = function(_, data) return nil, data end,
  raise = function() error("the secret of the house") end,
  raise_table = function() error({ code = "E42", message = "secret" }) end,
  raise_nil = function() error() end,
  raise_trap = function() error(setmetatable({}, { __tostring = function() while true do end end })) end,
  raise_huge = function() error(("x"):rep(500000)) end,
  index = function() local t = nil; return t.x end,
  loop = function() while true do end end,
  hog = function() local t = {} for i = 1, 1e9 do t[i] = { i } end end,
  deep = function() return recurse() end,
  cycle = function() local t = {}; t.t = t; return t end,
  callback = function() return { f = print } end,
  utf8 = function() return "\xff" end,
  nan = function() return 0/0 end,
  count = function() site.count = (site.count or 0) + 1; return site.count end,
  sleep = function(_, seconds) time.sleep(seconds); return "slept" end,
  never = function() time.sleep(60) end,
  a = { b = { c = function() return "abc" end }, list = { function() return 1 end } },
  inherited = setmetatable({}, { __index = function() return function() return "no" end end }),
  add = function() site.controllers.added = function() return "added" end end,
  drop = function() site.controllers.added = nil end,
  clash = function() return "controller" end,
  files = { over = function() return "table" end },
  again = function() return require("helper").word end,
}

site.routes = {
  clash = function(_, res) res:json { from = "route" } end,
  user = {
    read = function(_, res) res:status(200):set("X-Foo", "bar"):json { users = { 1 } } end,
    create = function(req, res) res:status(201):json { id = req.params.id, m = req.method, p = req.protocol,
      u = req.originalUrl, same = req.body == req.query, name = req.user.name, s = req.session.name,
      host = req.hostname, type = req.headers["content-type"] } end,
    fail = function(_, res) res:status(500):json { error = "db down" } end,
    lost = function(_, res) res:status(404):json { nothing = true } end,
    moved = function(_, res) res:status(301):json { to = "there" } end,
    list = function(_, res) res:json { 1, 2, 3 } end,
    text = function(_, res) res:json("hello") end,
    send = function(_, res) res:send("sent") end,
    twice = function(_, res) res:json { n = 1 }; res:json { n = 2 } end,
    later = function(_, res) site.server:delay(0.05, function() res:json { late = true } end) end,
    forget = function() end,
    empty = function(_, res) res:status(404):json() end,
    bad = function(_, res) res:set("x", "a\r\nb: c"):json {} end,
  },
  socket = { read = function(_, res) res:json { no = 1 } end },
  public = function(_, res) res:json { no = 1 } end,
}

function site.filter(socket, channel, message)
  if channel == "plain" then return true end
  if channel == "none" then return nil end
  if channel == "wait" then time.sleep(1); return true end
  if channel == "raise" then error("no") end
  if channel == "loop" then while true do end end
  if type(message) == "table" then
    message.seen = (message.seen or 0) + 1
    message.by = socket.auth.name
  end
  return message
end

function site.setup(server) site.server = server end

return site
]]

local FILES = {
  ["init.lua"] = SITE,
  ["helper.lua"] = [[return { word = "helped" }]],
  ["controllers/single.lua"] = [[return function(auth) return "single for " .. auth.name end]],
  ["controllers/files.lua"] = [[return {
    over = function() return "file" end, only = function() return "only" end }]],
  ["controllers/clash.lua"] = [[return function() return "file" end]],
  ["controllers/README.md"] = "no controller",
}

for _, how in ipairs { "SockJS", "plain WebSocket" } do
  describe("a script, over " .. how, function()
    local g, c

    setup(function()
      g = gateway.start {
        sites = { main = { path = "/", options = { colour = "red", sizes = { 1, 2 } }, limits = { rpc_timeout = "600ms" } } },
        scripts = { main = FILES },
      }
    end)
    teardown(function() assert.equal(0, g:stop()) end)
    before_each(function()
      c = assert(token.login(g.port, { query = "user=ann", plain = how ~= "SockJS" }))
    end)
    after_each(function()
      c:close()
      assert.is_true(g:alive())
    end)

    local function raw_answer(name, req)
      local message = { rpc = name, uuid = "u-" .. name, req = req }
      local _, _, answer = c:ask(message)
      return answer
    end

    it("answers with a controller's value", function()
      for _, value in ipairs { "text", 12, 1.5, true, false, { a = { b = 1 } }, { 1, 2 } } do
        assert.same(value, (c:rpc("echo", value)))
      end
    end)

    it("gives a controller auth, data and the socket", function()
      assert.same({ "ann", true, true }, (c:rpc("who")))
    end)

    it("keeps numbers, null and empty lists as they are", function()
      for _, text in ipairs { "9007199254740993", "1.0", "[]", "{}", "null", "[null]", "-0.5", "1e+300",
        "123456789012345678", "\"\\u0000\"", "[[],{},[{}]]" } do
        c:send_text(('{"rpc":"echo","uuid":"%s","req":%s}'):format("n" .. #text, text))
        local payload = c.ws:receive(2)
        local expected = how == "SockJS" and text:gsub("[\"\\]", "\\%0") or text
        assert.is_truthy(payload and payload:find(expected, 1, true), text .. " came back as " .. tostring(payload))
      end
    end)

    it("leaves resp out when a controller returns nothing or nil", function()
      assert.same({ rpc = "nothing", uuid = "u-nothing" }, raw_answer("nothing"))
      assert.same({ rpc = "nilled", uuid = "u-nilled" }, raw_answer("nilled"))
    end)

    it("tells null, false and an empty list from nothing", function()
      assert.equal(json.null, raw_answer("nulled").resp)
      assert.is_false(raw_answer("falsed").resp)
      assert.same({}, raw_answer("emptied").resp)
    end)

    it("answers nil, err with the error, as it is", function()
      for _, err in ipairs { "text", 17, { code = "E1", list = { 1 } } } do
        assert.same({ rpc = "refuse", uuid = "u-refuse", error = err }, raw_answer("refuse", err))
      end
    end)

    it("hides what was raised behind an id that the log has", function()
      for _, name in ipairs { "raise", "raise_table", "raise_nil", "raise_trap", "raise_huge", "index" } do
        local answer = raw_answer(name)
        assert.equal("Internal error", answer.error.message, name)
        assert.is_nil(json.encode(answer):find("secret", 1, true))
        assert.is_true(g:wait_log("id=" .. answer.error.id, 5), name)
      end
      assert.is_truthy(g:log():find("init.lua:", 1, true))
    end)

    it("refuses results that JSON has no form for", function()
      for _, name in ipairs { "cycle", "callback", "utf8", "nan" } do
        assert.equal("Internal error", raw_answer(name).error.message, name)
      end
    end)

    it("stops a controller that does not end, or takes all memory", function()
      assert.equal("script_timeout", raw_answer("loop").error)
      assert.is_truthy(raw_answer("deep").error)
      local err = raw_answer("hog").error
      assert.is_true(err == "script_memory" or err == "script_timeout", tostring(err))
      assert.equal(1, (c:rpc("echo", 1)))
    end)

    it("finds nested names, and only own functions at the end of the path", function()
      assert.equal("abc", (c:rpc("a.b.c")))
      for _, name in ipairs { "a", "a.b", "a.b.c.d", "echo.more", ".", "..", "a..b", ".a", "a.", "a.b.c.", ".echo",
        "inherited.x", "a.list.1", "constructor", "__proto__", "__index", "__gc", "_G", "_G.os", "string.rep",
        "toString", "auth", "echo\0", "a.b.c\0", ("a."):rep(8) .. "a", ("x"):rep(129), "site", "controllers.echo" } do
        local _, err = c:rpc(name)
        assert.equal("Function not found", err, name)
      end
    end)

    it("takes controllers from files, under those of the table", function()
      assert.equal("single for ann", (c:rpc("single")))
      assert.equal("only", (c:rpc("files.only")))
      assert.equal("table", (c:rpc("files.over")))
      assert.equal("helped", (c:rpc("again")))
    end)

    it("sees controllers that come and go at run time", function()
      assert.equal("Function not found", select(2, c:rpc("added")))
      c:rpc("add")
      assert.equal("added", (c:rpc("added")))
      c:rpc("drop")
      assert.equal("Function not found", select(2, c:rpc("added")))
    end)

    it("has the options of the conf", function()
      assert.same({ colour = "red", sizes = { 1, 2 } }, (c:rpc("options")))
    end)

    it("runs calls side by side", function()
      c:send { rpc = "sleep", req = 0.2, uuid = "slow" }
      assert.equal(5, (c:rpc("echo", 5)))
      local slow = c:wait(function(m) return m.uuid == "slow" end)
      assert.equal("slept", slow.resp)
    end)

    it("answers timeout, once, when a controller takes too long", function()
      assert.equal("timeout", select(2, c:rpc("never")))
    end)

    it("shapes the answers of routes", function()
      local headers = { ["content-type"] = "application/json", ["x-foo"] = "bar" }
      assert.same({ users = { 1 }, _headers = headers, _code = 200 }, raw_answer("user.read").resp)
      headers["x-foo"] = nil
      assert.same({ id = 7, m = "post", p = "ws", u = "/", same = true, name = "ann", s = "ann", host = "127.0.0.1",
        type = "application/json", _headers = headers, _code = 201 }, raw_answer("user.create", { id = 7 }).resp)
      assert.equal("db down", raw_answer("user.fail").error)
      assert.same({ nothing = true, _headers = headers, _code = 404 }, raw_answer("user.lost").error)
      assert.same({ to = "there", _headers = headers, _code = 301 }, raw_answer("user.moved").error)
      assert.same({ _headers = headers, _code = 404 }, raw_answer("user.empty").error)
      assert.same({ 1, 2, 3 }, raw_answer("user.list").resp)
      assert.equal("hello", raw_answer("user.text").resp)
      assert.equal("sent", raw_answer("user.send").resp)
      assert.equal(1, raw_answer("user.twice").resp.n)
    end)

    it("lets routes win over controllers, and skips socket and public", function()
      assert.equal("route", raw_answer("clash").resp.from)
      assert.equal("Function not found", raw_answer("socket.read").error)
      assert.equal("Function not found", raw_answer("public").error)
    end)

    it("waits for a route that answers later, and times out for one that never does", function()
      assert.is_true(raw_answer("user.later").resp.late)
      assert.equal("timeout", raw_answer("user.forget").error)
      assert.equal("Internal error", raw_answer("user.bad").error.message)
    end)

    it("gives every filter call a message of its own", function()
      local d = assert(token.login(g.port, { query = "user=bob" }))
      assert(c:subscribe("room"))
      assert(d:subscribe("room"))
      c:publish("room", { text = "hi" })
      assert.same({ text = "hi", seen = 1, by = "ann" }, c:message("room"))
      assert.same({ text = "hi", seen = 1, by = "bob" }, d:message("room"))
      c:publish("room", "text")
      assert.equal("text", d:message("room"))
      d:close()
    end)

    it("sends nothing where the filter says nil, raises, waits or does not end", function()
      for _, channel in ipairs { "none", "raise", "wait", "loop", "plain" } do assert(c:subscribe(channel)) end
      for _, channel in ipairs { "none", "raise", "wait", "loop", "plain" } do c:publish(channel, { n = 1.0 }) end
      local message = c:wait(function(m) return m.channel ~= nil end)
      assert.equal("plain", message.channel)
      assert.is_true(g:wait_log("may not wait in filter", 5))
    end)

    it("answers malformed messages and survives them", function()
      for _, text in ipairs { "null", "1", "\"x\"", "[]", "true", "{}", "{\"rpc\":5}", "{\"rpc\":null,\"uuid\":[1]}",
        "{\"rpc\":[]}", "{\"rpc\":\"\"}" } do
        c:send_text(text)
        local answer = assert(c:receive(2), text)
        assert.is_truthy(answer.error, text)
      end
      for _, command in ipairs { "_subscribe", "_unsubscribe", "_publish", "_broadcast" } do
        for _, req in ipairs { "null", "5", "\"x\"", "[]", "{}", "{\"channel\":5}", "{\"channel\":{}}",
          "{\"channel\":null,\"data\":1}" } do
          if not (command == "_broadcast" and req:find("data")) then
            c:send_text(('{"rpc":"%s","uuid":"q","req":%s}'):format(command, req))
            assert.is_truthy(assert(c:receive(2), command .. req).error, command .. req)
          end
        end
      end
      assert.equal(3, (c:rpc("echo", 3)))
    end)
  end)
end

describe("a script that is wrong", function()
  local function check(files, sites)
    return gateway.run({ "serve", "--conf", "@conf", "--scripts", "@scripts", "--listen", "127.0.0.1:0" },
      { sites = sites or { bad = { path = "/" } }, scripts = { bad = files }, wait = 10 })
  end

  local cases = {
    { "return {", "init.lua:1:" },
    { "return 5", "must return a table" },
    { "local t = nil\nreturn t.x", "init.lua:2:" },
    { "return { controllers = 5 }", "scripts/bad/init.lua: site.controllers" },
    { "return { authentication = {} }", "site.authentication" },
    { "return { setup = function(server)\n server:on('nothing', print) end }", "init.lua:2:" },
    { "return { setup = function(server)\n server:on('publish', 5) end }", "init.lua:2:" },
    { "return { setup = function()\n require('moonlatch.time').sleep(1) end }", "init.lua:2:" },
    { "while true do end", "init.lua:1:" },
    { { ["init.lua"] = "return {}", ["controllers/x.lua"] = "return 5" }, "controllers/x.lua" },
    { { ["init.lua"] = "return {}", ["controllers/x.lua"] = "retrun 5" }, "controllers/x.lua:1:" },
    { { ["init.lua"] = "return {}\n", ["controllers/x.lua"] = "\nerror('oops')" }, "controllers/x.lua:2:" },
  }
  for i, case in ipairs(cases) do
    it("is refused at start, with the place and the reason: " .. i .. " " .. case[2], function()
      local status, _, log = check(case[1])
      assert.equal(2, status)
      assert.is_truthy(log:find(case[2], 1, true), log)
    end)
  end
end)

describe("a raw endpoint", function()
  local g
  setup(function()
    g = gateway.start {
      sites = { main = { path = "/", endpoints = {
        { path = "/raw", transport = "websocket", dialect = "raw", auth = "none" },
        { path = "/sock", transport = "sockjs", dialect = "raw", auth = "none" },
      } } },
      scripts = { main = [[
        local site = {}
        function site.setup(server)
          server:on("message", function(socket, data, binary)
            if data == "bad" then return socket:send("\xff") end
            if data == "table" then return socket:send { a = 1 } end
            if data == "field" then socket.seen = (socket.seen or 0) + 1; return socket:send(tostring(socket.seen)) end
            if data == "bye" then return socket:close(4001, "as you wish") end
            if data == "auth" then return socket:send(tostring(socket.auth)) end
            if data == "rpc" then return socket:send(select(2, socket:rpc("x"))) end
            socket:send(data, binary)
          end)
        end
        return site
      ]] },
    }
  end)
  teardown(function() assert.equal(0, g:stop()) end)

  it("gives messages to the script and sends what it says", function()
    local w = ws.connect(g.port, "/raw")
    w:send("hello")
    assert.equal("hello", w:receive(2))
    w:send_binary("\0\xff")
    local data, opcode = w:receive(2)
    assert.equal("\0\xff", data)
    assert.equal(2, opcode)
    w:send("table")
    assert.equal('{"a":1}', w:receive(2))
    w:send("field")
    w:send("field")
    assert.equal("1", w:receive(2))
    assert.equal("2", w:receive(2))
    w:send("auth")
    assert.equal("nil", w:receive(2))
    w:send("rpc")
    assert.equal("unavailable", w:receive(2))
    w:send("bad")
    assert.is_true(g:wait_log("must be UTF-8", 5))
    w:send("still here")
    assert.equal("still here", w:receive(2))
    w:send("bye")
    local code, reason = w:wait_close(2)
    assert.equal(4001, code)
    assert.equal("as you wish", reason)
  end)

  it("has the same over SockJS", function()
    local w = ws.connect(g.port, "/sock/000/abcdefgh/websocket")
    assert.equal("o", w:receive(2))
    w:send('["hello","two"]')
    assert.equal('a["hello"]', w:receive(2))
    assert.equal('a["two"]', w:receive(2))
    w:close(1000)
    assert.equal(200, http.get(g.port, "/sock/info").status)
  end)
end)
