-- SPDX-License-Identifier: MIT
-- Socket.IO close to the bytes: who gets into which namespace, events and acks of both protocols, rooms
-- on one node and on two, and what breaks the protocol.

local figures = require "spec.support.figures"
local fleet = require "spec.support.fleet"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local socketio = require "spec.support.socketio"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local CHAT = [[
local json = require "moonlatch.json"
local site, server, ends = {}, nil, {}

function site.authentication(req)
  local auth = req.auth or {}
  if auth.fail == "data" then return nil, { message = "nope", data = { code = 7 } } end
  if auth.fail then return nil, "no way" end
  if auth.refuse then return false end
  if auth.wait then require("moonlatch.time").sleep(auth.wait) end
  return { name = auth.name or req.query.name or "anon", url = req.query.url }
end

function site.setup(s)
  server = s
  server:on("connect", function(socket) if socket.auth.name == "greet" then socket:emit("hello", socket.sid) end end)
  server:on("disconnect", function(socket, code, reason) ends[#ends + 1] = { socket.auth.name, code, reason } end)
  for _, event in ipairs { "subscribe", "publish" } do server:on(event, function() return true end) end
end

site.events = {
  echo = function(_, ...) return ... end,
  nothing = function() end,
  me = function(socket) return socket.auth, socket.handshake.auth or json.null, socket.endpoint end,
  fail = function() error("on purpose") end,
  join = function(socket, room) return socket:subscribe(room) end,
  kick = function(socket) socket:close(4000, "kicked") end,
  kickAll = function(socket) socket:close(4000, "kicked", true) end,
  ask = function(socket, ...) return socket:rpc("question", ...) end,
  ends = function() return ends end,
  bytes = function(_, a, b) return a.bytes .. b.deep.bytes, json.bytes("\0\1"), { b.deep } end,
  say = function(socket, room, ...) return server:to(room):except(socket):emit("said", ...) end,
  sayAll = function(_, ...) return server:emit("said", ...) end,
  union = function(_, a, b, c) return server:to(a):to(b):except(c):emit("said", "union") end,
  publish = function(_, channel, value) return server:publish(channel, value) end,
  reserved = function(socket) return (pcall(socket.emit, socket, "disconnect")), (pcall(server.emit, server, "connect")),
    (pcall(socket.rpc, socket, "disconnect")) end,
  binary = function(socket, text) return socket:emit("bin", json.bytes(text)) end,
  rest = function(socket) socket:emit("later", 1) socket:close() return (select(2, socket:emit("never"))) end,
}
site.controllers = { add = function(_, data) if not data then return nil, "no data" end return data.a + data.b end }
return site
]]

local function sites(more)
  local all = {
    chat = { socketio = { namespaces = { "/", "/chat" } } },
    open = { socketio = { auth = "none" } },
    tokens = { socketio = { auth = "token" } },
    none = { socketio = { namespaces = {} } },
    own = { path = "/own", endpoints = { { path = "/socket.io/", transport = "engineio", dialect = "socketio" } } },
    plain = { script = false },
  }
  for name, conf in pairs(more or {}) do all[name] = conf end
  return all
end

local OPEN = [[return { events = { echo = function(_, ...) return ... end } }]]
local TOKENS = [[return { authentication = function() return { name = "token" } end,
  events = { me = function(socket) return socket.auth end } }]]

local SCRIPTS = { chat = CHAT, open = OPEN, tokens = TOKENS, none = "return {}", own = OPEN }

local g

local function start(options)
  options = options or {}
  local conf = { admin = { listen = "127.0.0.1:0" } }
  for key, value in pairs(options.gateway or {}) do conf[key] = value end
  return gateway.start { gateway = conf, sites = sites(options.sites),
    scripts = SCRIPTS }
end

local function broken()
  return figures.get(g, 'bad_messages_total{reason="socketio",site="socket.io"}')
end

local function open(options) return socketio.open(g, options) end

local function joined(ns, auth)
  local c = open()
  c.sid = c:join(ns, auth)
  return c
end

-- The arguments of the ack of an event sent with this id.
local function ack(c, id, packet, ...)
  c:send(packet, ...)
  local answer = c:receive()
  local args = answer:match("^3[^%d%[]*" .. id .. "(%[.*)$")
  assert(args, "no ack " .. id .. ": " .. tostring(answer))
  return args
end

-- The same, decoded: null is "null".
local function acked(...)
  return (json.decode(ack(...), 1, "null"))
end

describe("a client of Socket.IO", function()
  setup(function() g = start() end)
  teardown(gateway.stop_all)

  it("gets into the namespaces of sites, each with a sid of its own", function()
    local c = open()
    local one, two, three = c:join(), c:join("/chat"), c:join("/open")
    assert.not_equal(one, two)
    assert.equal(22, #three)
    assert.same({ { name = "anon" }, "null", "/chat" }, acked(c, 7, '2/chat,7["me"]'))
    c:close()
  end)

  it("is told why it does not get in, and may ask again", function()
    local c = open()
    assert.equal('4/nope,{"message":"Invalid namespace"}', c:connect "/nope")
    assert.equal('4/none,{"message":"Invalid namespace"}', c:connect "/none")
    assert.equal('4{"message":"nope","data":{"code":7}}', c:connect(nil, { fail = "data" }))
    c:join "/open"
    assert.equal('4/chat,{"message":"no way"}', c:connect("/chat", { fail = true }))
    assert.equal('4/chat,{"message":"Forbidden"}', c:connect("/chat", { refuse = true }))
    assert.equal(22, #c:join "/chat")
    assert.equal('4/plain,{"message":"Forbidden"}', c:connect "/plain")
    c:close()
  end)

  it("logs in with what its CONNECT brings", function()
    local c = joined("/chat", { name = "ada", deep = { list = json.decode "[]" } })
    assert.same({ { name = "ada" }, { name = "ada", deep = { list = {} } }, "/chat" }, acked(c, 0, '2/chat,0["me"]'))
    c:close()
    c = open { query = "&name=bob&url=1" }
    c:join "/chat"
    assert.same({ name = "bob", url = "1" }, acked(c, 0, '2/chat,0["me"]')[1])
    c:close()
  end)

  it("hears of its namespace before any event of it", function()
    local c = open()
    local sid = json.decode(c:connect(nil, { name = "greet" }):sub(2)).sid
    assert.equal('2["hello","' .. sid .. '"]', c:receive())
    c:close()
  end)

  it("gets what handlers return as the ack, and nothing where it asks for none", function()
    local c = joined()
    assert.equal('[1,"zwei",[],{"a":null}]', ack(c, 3, '23["echo",1,"zwei",[],{"a":null}]'))
    assert.equal("[]", ack(c, 4, '24["nothing"]'))
    assert.equal("[null,3]", ack(c, 5, '25["add",{"a":1,"b":2}]'))
    assert.equal('["no data"]', ack(c, 6, '26["add"]'))
    assert.equal('["Function not found"]', ack(c, 8, '28["nix"]'))
    local err = json.decode(ack(c, 9, '29["fail"]'))
    assert.equal("Internal error", err[1].message)
    c:send '2["echo",1]'
    c:send '2["add",{"a":1,"b":2}]'
    c:send '2["nix"]'
    assert.equal("[2]", ack(c, 10, '210["echo",2]'))
    c:close()
  end)

  it("sends bytes and gets bytes", function()
    local c = joined()
    c:send('52-1["bytes",{"_placeholder":true,"num":0},{"deep":{"_placeholder":true,"num":1}}]', "ab", "cd")
    assert.equal('62-1["abcd",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]', c:receive())
    assert.same({ "\0\1", "bytes" }, { c:receive() })
    assert.same({ "cd", "bytes" }, { c:receive() })
    assert.equal("[true]", (function()
      c:send '22["binary","xyz"]'
      assert.equal('51-["bin",{"_placeholder":true,"num":0}]', c:receive())
      assert.equal("xyz", (c:receive()))
      return c:receive():match "^32(.*)$"
    end)())
    assert.same({ { _placeholder = true, num = 0 } }, acked(c, 3, '23["echo",{"_placeholder":true,"num":0}]'))
    assert.same({ { _placeholder = true, num = 5 } }, acked(c, 4, '51-4["echo",{"_placeholder":true,"num":5}]', "x"))
    c:close()
  end)

  it("answers what the server asks", function()
    local c = joined()
    c:send '21["ask",{"n":1}]'
    assert.equal('20["question",{"n":1}]', c:receive())
    c:send '30["fine",2]'
    assert.equal('31["fine"]', c:receive())
    c:send '22["ask"]'
    assert.equal('21["question"]', c:receive())
    c:send('61-1[{"_placeholder":true,"num":0}]', "raw")
    assert.equal('61-2[{"_placeholder":true,"num":0}]', c:receive())
    assert.equal("raw", (c:receive()))
    c:send '31["again"]' -- once is enough
    c:send '399["never asked"]'
    assert.equal("[1]", ack(c, 3, '23["echo",1]'))
    c:close()
  end)

  it("shares rooms with sockets of other namespaces, and gets each event once", function()
    local a, b, c = joined(), joined "/chat", joined()
    for _, room in ipairs { "red", "blue" } do
      ack(a, 0, '20["join","' .. room .. '"]')
      ack(b, 0, '2/chat,0["join","' .. room .. '"]')
    end
    ack(c, 0, '20["join","green"]')
    ack(c, 1, '21["join","blue"]')
    assert.equal("[true]", ack(a, 1, '21["say","red","hi",{"x":1}]'))
    assert.equal('2/chat,["said","hi",{"x":1}]', b:receive())
    assert.equal("[true]", ack(a, 2, '22["union","red","blue","green"]'))
    assert.equal('2["said","union"]', a:receive())
    assert.equal('2/chat,["said","union"]', b:receive())
    ack(a, 3, '23["say","' .. c.sid .. '","just you"]')
    assert.equal('2["said","just you"]', c:receive())
    ack(c, 4, '24["publish","blue",{"v":1}]')
    assert.equal('2["blue",{"v":1}]', a:receive())
    assert.equal('2/chat,["blue",{"v":1}]', b:receive())
    assert.equal('2["blue",{"v":1}]', c:receive())
    for _, each in ipairs { a, b, c } do each:close() end
  end)

  it("is in no room of another site", function()
    local a, b = joined(), joined "/open"
    ack(a, 0, '20["sayAll","x"]')
    assert.equal('2["said","x"]', a:receive())
    assert.equal("[1]", ack(b, 0, '2/open,0["echo",1]'))
    a:close()
    b:close()
  end)

  it("leaves a namespace, and is sent out of one, and the rest goes on", function()
    local c = open()
    c:join(nil, { name = "leaver" })
    c:join("/chat", { name = "kicked" })
    c:send "1"
    c:send '2["echo"]' -- too late, and no harm
    c:send '2/chat,["kick"]'
    assert.equal("1/chat,", c:receive())
    c:send '2/chat,["echo"]'
    assert.equal(22, #c:join(nil, { name = "back" }))
    local ends = ack(c, 0, '20["ends"]')
    assert.truthy(ends:find('["leaver",1000,"client namespace disconnect"]', 1, true))
    assert.truthy(ends:find('["kicked",4000,"kicked"]', 1, true))
    assert.equal(22, #c:join "/chat")
    c:send '2/chat,["kickAll"]'
    assert.same({ ["1"] = true, ["1/chat,"] = true }, { [c:receive()] = true, [c:receive()] = true })
    assert.equal(4000, c:closed())
  end)

  it("gets what was emitted before its socket was closed, and nothing after", function()
    local c = joined()
    c:send '20["rest"]'
    assert.equal('2["later",1]', c:receive())
    assert.equal("1", c:receive())
    c:join "/open"
    assert.equal("[1]", ack(c, 1, '2/open,1["echo",1]'))
    c:close()
  end)

  it("may not be sent an event with a name of the protocol's", function()
    local c = joined()
    assert.equal("[false,false,false]", ack(c, 0, '20["reserved"]'))
    c:close()
  end)

  it("logs in by a token, in its auth or its query", function()
    local function issue() return (token.get(g.port, "/tokens/socket/token")) end
    local c = open()
    assert.equal(22, #c:join("/tokens", { token = issue() }))
    assert.equal('[{"name":"token"}]', ack(c, 0, '2/tokens,0["me"]'))
    c:close()
    c = open { version = 3 }
    assert.equal("0", c:receive())
    c:send("0/tokens?token=" .. issue())
    assert.equal("0/tokens,", c:receive())
    c:close()
    c = open()
    assert.equal('4/tokens,{"message":"Forbidden"}', c:connect("/tokens", { token = "nonsense" }))
    c:close()
  end)

  it("of protocol 4 is in / without asking, and says its query with a namespace", function()
    local c = open { version = 3, query = "&name=url&url=1" }
    assert.equal("0", c:receive())
    assert.same({ name = "url", url = "1" }, acked(c, 0, '20["me"]')[1])
    c:send "0/chat?name=own"
    assert.equal("0/chat,", c:receive())
    assert.same({ name = "own", url = "1" }, acked(c, 0, '2/chat,0["me"]')[1])
    c:send "0/nope,"
    assert.equal('4/nope,"Invalid namespace"', c:receive())
    c:send('51-1["echo",{"_placeholder":true,"num":0}]', "v3")
    assert.equal('61-1[{"_placeholder":true,"num":0}]', c:receive())
    assert.same({ "v3", "bytes" }, { c:receive() })
    c:close()
  end)

  it("of a site's own endpoint is in that site", function()
    local c = socketio.open(g, { path = "/own/socket.io" })
    assert.equal('4/chat,{"message":"Invalid namespace"}', c:connect "/chat")
    assert.equal('4{"message":"Forbidden"}', c:connect()) -- its script admits nobody
    c:close()
  end)

  it("that breaks the protocol is closed, and nobody else", function()
    local bystander = joined()
    local before = broken()
    local hostile = {
      "", "9", "x", "2", '2["connect"]', '2["disconnect"]', "2[", "2{}", "0[]", '0"x"', "1[]", "3[]", "30{}", '5["x"]',
      '511-["x"]', '51-["x"', '2["a"]x', '2["\\ud800"]', "2[" .. ("["):rep(500),
    }
    for i, packet in ipairs(hostile) do
      local c = joined()
      c:send(packet)
      assert.equal(1002, c:closed(), i .. ": " .. packet)
    end
    assert.equal(before + #hostile, broken())
    for _, misuse in ipairs {
      function(c) c:send '51-["echo",{"_placeholder":true,"num":0}]' c:send '2["echo"]' end, -- a text for bytes
      function(c) c.ws:send_binary "bytes of nothing" end,
      function(c) c:send "0" end, -- twice
    } do
      local c = joined()
      misuse(c)
      assert.equal(1002, c:closed())
    end
    assert.equal("[1]", ack(bystander, 0, '20["echo",1]'))
    bystander:close()
  end)

  it("that talks before it is in a namespace is closed", function()
    local c = open()
    c:send '2["echo"]'
    assert.equal(1002, c:closed())
    c = open()
    for _ = 1, 4 do c:connect "/nope" end
    c:send "0/nope,"
    assert.equal(4401, c:closed())
  end)

  it("may be in four namespaces", function()
    local c = open()
    c:join()
    c:join "/chat"
    c:join "/open"
    c:join("/tokens", { token = token.get(g.port, "/tokens/socket/token") })
    assert.equal('4/plain,{"message":"too many namespaces"}', c:connect "/plain")
    c:close()
  end)

  it("of a page that its site does not know is kept out, where cookies could let it in", function()
    local function connect(headers)
      local c = open { headers = headers }
      local answer = c:connect "/chat"
      c:connect "/open"
      c:close()
      return answer
    end
    assert.equal('4/chat,{"message":"Forbidden"}', connect { Origin = "https://evil.example" })
    assert.equal("0/chat,{", connect({ Origin = "http://127.0.0.1:" .. g.port }):sub(1, 8))
    assert.equal("0/chat,{", connect({}):sub(1, 8))
  end)

  it("whose connection goes while it is judged leaves nothing behind", function()
    local c = open()
    c:send '0{"wait":0.2,"name":"gone"}'
    c:close()
    local other = joined()
    assert.equal("[1]", ack(other, 0, '20["echo",1]'))
    assert(wait.for_true(function() return figures.get(g, 'sockets{site="chat"}') == 1 end))
    other:close()
  end)
end)

describe("the recovery of Socket.IO clients", function()
  local RECOVERY = { chat = { socketio = { namespaces = { "/" }, recovery = "5s", recovery_messages = 5 } } }

  -- A client that is in a room: what it was told when it got in.
  local function in_room()
    local c = open()
    c.told = json.decode(c:connect():sub(2))
    assert.equal("[true]", ack(c, 0, '20["join","room"]'))
    return c
  end

  -- The last argument of an event.
  local function offset_of(packet) return packet:match '"([^"]*)"%]$' end

  -- Asks to be who it was: the events that come before the answer, and that, decoded.
  local function return_as(told, offset, more)
    local c, missed = open(), {}
    local auth = { pid = told.pid, offset = offset }
    for key, value in pairs(more or {}) do auth[key] = value end
    c:send("0" .. json.encode(auth))
    while true do
      local packet = c:receive()
      if packet:sub(1, 1) ~= "2" then return c, missed, json.decode(packet:sub(2)) end
      missed[#missed + 1] = json.decode(packet:sub(2))
    end
  end

  local function drop(c)
    c.ws:drop()
    assert(wait.for_true(function() return figures.get(g, 'sockets{site="chat"}') == 1 end))
  end

  local function say(c, room, text) assert.equal("[true]", ack(c, 7, ('27["say","%s","%s"]'):format(room, text))) end

  after_each(gateway.stop_all)
  after_each(fleet.stop_all)

  it("gives back sid, rooms and what was missed, once", function()
    g = start { sites = RECOVERY }
    local a, b = in_room(), in_room()
    say(b, "room", "one")
    local last = offset_of(a:receive())
    drop(a)
    say(b, "room", "two")
    say(b, a.told.sid, "three")
    say(b, "elsewhere", "not for a")
    ack(b, 1, '21["sayAll","four"]')
    b:receive()
    local back, missed, told = return_as(a.told, last)
    assert.same({ "two", "three", "four" }, { missed[1][2], missed[2][2], missed[3][2] })
    assert.same(a.told, told)
    say(b, "room", "five")
    assert.truthy(back:receive():find '^2%["said","five"')
    drop(back)
    local other, nothing, anew = return_as(a.told, "somebody-1")
    assert.same({}, nothing)
    assert.not_equal(a.told.pid, anew.pid)
    other:close()
    b:close()
  end)

  it("is refused to who has left, to unknown pids and where too much was missed", function()
    g = start { sites = RECOVERY }
    local a, b = in_room(), in_room()
    say(b, "room", "one")
    local last = offset_of(a:receive())
    for _, pid in ipairs { a.told.pid, "53932aab-fbc1-4d14-9f1b-bb8a38dfaef4", "nonsense" } do -- the first is in use
      local c, missed, told = return_as({ pid = pid }, last)
      assert.same({}, missed)
      assert.not_equal(pid, told.pid)
      c:close()
    end
    drop(a)
    for i = 1, 6 do say(b, "room", "more " .. i) end
    local c, missed, told = return_as(a.told, last)
    assert.same({}, missed)
    assert.not_equal(a.told.sid, told.sid)
    c:close()
    local d = in_room()
    say(b, "room", "two")
    last = offset_of(d:receive())
    d:send "1"
    d:close()
    c, missed, told = return_as(d.told, last)
    assert.same({}, missed)
    assert.not_equal(d.told.sid, told.sid)
    c:close()
    b:close()
  end)

  it("judges anew, and keeps no secrets for others", function()
    g = start { sites = RECOVERY }
    local a, b = in_room(), in_room()
    say(b, "room", "one")
    local last = offset_of(a:receive())
    drop(a)
    local c = open()
    assert.equal('4{"message":"no way"}', c:connect(nil, { pid = a.told.pid, offset = last, fail = true }))
    c:close()
    local back, _, told = return_as(a.told, last, { name = "eve" })
    assert.equal(a.told.pid, told.pid)
    assert.same({ name = "eve" }, acked(back, 1, '21["me"]')[1])
    back:close()
    b:close()
  end)

  it("adds nothing for clients of protocol 4", function()
    g = start { sites = RECOVERY }
    local c, b = open { version = 3 }, in_room()
    assert.equal("0", c:receive())
    ack(c, 0, '20["join","room"]')
    say(b, "room", "plain")
    assert.equal('2["said","plain"]', c:receive())
    c:close()
    b:close()
  end)

  it("is there on another node", function()
    local f = fleet.start { nodes = 2, sites = sites(RECOVERY), scripts = SCRIPTS, gateway = { admin = { listen = "127.0.0.1:0" } } }
    g = f[2]
    local b = in_room()
    g = f[1]
    local a = in_room()
    say(b, "room", "one")
    local last = offset_of(a:receive())
    a.ws:drop()
    assert(wait.for_true(function() return figures.get(g, 'sockets{site="chat"}') == 0 end))
    say(b, "room", "two")
    say(b, a.told.sid, "three")
    g = f[2]
    local back, missed, told = return_as(a.told, last)
    assert.same({ "two", "three" }, { missed[1][2], missed[2][2] })
    assert.equal(a.told.pid, told.pid)
    say(b, "room", "four")
    assert.truthy(back:receive():find '^2%["said","four"')
    back:close()
    b:close()
  end)
end)

describe("Socket.IO", function()
  after_each(gateway.stop_all)
  after_each(fleet.stop_all)

  it("closes who is in no namespace for too long", function()
    g = start { gateway = { limits = { unauth_timeout = "100ms" } } }
    local c = open()
    assert.equal(4408, c:closed())
    c = joined()
    c:send "1"
    assert.equal(4408, c:closed())
  end)

  it("bounds the attachments of a packet and their bytes", function()
    g = start { gateway = { limits = { sio_attachments = 2, ws_max_message = 1024 } } }
    local c = joined()
    c:send '53-["echo"]'
    assert.equal(1002, c:closed())
    c = joined()
    c:send('52-["echo"]', ("x"):rep(1000), ("x"):rep(1000))
    assert.equal(1002, c:closed())
  end)

  it("lets clients come back when the gateway goes", function()
    g = start()
    local c = joined()
    g:signal "TERM"
    assert.equal(1012, c:closed()) -- without a disconnect packet, after which clients stay away
  end)

  it("serves the client's scripts where it has some", function()
    local folder = tmp.dir()
    tmp.write(folder .. "/socket.io.js", "var io;")
    g = start { gateway = { endpoints = { { path = "/socket.io/", transport = "engineio", dialect = "socketio", client = folder } } } }
    local answer = http.get(g.port, "/socket.io/socket.io.js")
    assert.same({ 200, "var io;" }, { answer.status, answer.body })
    assert.truthy(answer.headers["content-type"]:find "javascript")
    assert.equal(400, http.get(g.port, "/socket.io/other.js").status)
    local c = joined()
    assert.equal("[1]", ack(c, 0, '20["echo",1]'))
    c:close()
    tmp.remove(folder)
  end)

  it("keeps sockets over a reload", function()
    g = start()
    local c = joined(nil, { name = "stays" })
    g:signal "HUP"
    assert(g:wait_log("reloaded", 5))
    assert.same({ { name = "stays" }, { name = "stays" }, "/" }, acked(c, 0, '20["me"]'))
    c:close()
  end)

  it("reaches rooms on two nodes", function()
    local f = fleet.start { nodes = 2, sites = sites(), scripts = SCRIPTS }
    local function on(node)
      g = f[node]
      return joined()
    end
    local a, b = on(1), on(2)
    ack(a, 0, '20["join","room"]')
    ack(b, 0, '20["join","room"]')
    ack(a, 1, '21["say","room",1]')
    assert.equal('2["said",1]', b:receive())
    ack(b, 1, '21["say","' .. a.sid .. '",2]')
    assert.equal('2["said",2]', a:receive())
    ack(a, 2, '22["sayAll",3]')
    assert.equal('2["said",3]', a:receive())
    assert.equal('2["said",3]', b:receive())
    a:close()
    b:close()
  end)
end)
