-- SPDX-License-Identifier: MIT
-- The login by HTTP, without a script: what a backend is asked, what its answers mean for clients of
-- every kind, and that nothing but its answer lets one in.

local backend = require "spec.support.backend"
local figures = require "spec.support.figures"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local socketio = require "spec.support.socketio"
local token = require "spec.support.token"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local KEY = ("key-of-the-site-"):rep(2)

local g, b

local function escape(text) return (text:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end)) end

local function site(more)
  local push = { auth_url = b.url .. "/auth?of=site", api_key = KEY }
  for key, value in pairs(more or {}) do push[key] = value end
  return { script = false, push = push, endpoints = {
    { path = "/ws", transport = "websocket", dialect = "raw", auth = "request" },
    { path = "/token", transport = "websocket", dialect = "token", auth = "token" },
  } }
end

setup(function()
  b = backend.start()
  g = gateway.start { gateway = { admin = { listen = "127.0.0.1:0" } }, sites = {
    shop = site(), users = site { user_room_prefix = "user_", public_channel = "public" },
    undefined = site { missing = "undefined", auth_scheme = "Token" }, hasty = site { auth_timeout = "100ms" },
    told = site { user_room_prefix = "user_", public_channel = "public", update_user_url = b.url .. "/users/:id" },
    away = site { auth_url = "http://127.0.0.1:1/" },
  } }
end)

teardown(function()
  gateway.stop_all()
  backend.stop_all()
end)

-- Asks for the namespace of a site with a token: the answer. options: meta, version, headers.
local function connect(name, said, options)
  options = options or {}
  local query = "&token=" .. escape(said) .. (options.meta and "&meta=" .. escape(options.meta) or "")
  local c = socketio.open(g, { query = query, version = options.version, headers = options.headers })
  if options.version == 3 then assert.equal("0", c:receive()) end
  return c:connect("/" .. name), c
end

-- What a client that is let in is, by a message to its room.
local function assert_member(c, name, room)
  local answer = http.get(g.port, "/send?site=" .. name .. "&apiKey=" .. KEY, { method = "POST",
    headers = { ["Content-Type"] = "application/json" }, body = json.encode { rooms = room, event = "e", args = { room } } })
  assert.equal("OK", answer.body)
  assert.equal(("2/%s,[\"e\",%q]"):format(name, room), c:receive())
end

describe("push.auth_url", function()
  it("asks with the client's token and meta, and puts it into the rooms of the answer", function()
    local answer, c = connect("shop", '200 ["user_5","meta:$meta","scheme:$scheme","cookie:$cookie"]',
      { meta = "app1", headers = { Cookie = "sid=1" } })
    assert.truthy(answer:find('^0/shop,{"sid":'), answer)
    for _, room in ipairs { "user_5", "meta:app1", "scheme:Bearer", "cookie:none" } do assert_member(c, "shop", room) end
    c:close()
    local list = b:requests()
    assert.equal("GET /auth?of=site", list[#list])
  end)

  it("takes the token of a Socket.IO client's auth", function()
    local c = socketio.open(g)
    c:join("/shop", { token = '200 ["a"]' })
    assert_member(c, "shop", "a")
    c:close()
    c = socketio.open(g)
    c:join("/users", { token = '200 ["user_7","staff"]', deviceId = "A" })
    assert.equal('2/users,["_settings",{"device_ttl":3600}]', c:receive())
    local answer = http.get(g.port, "/send?site=users&apiKey=" .. KEY, { method = "POST",
      headers = { ["Content-Type"] = "application/json" }, body = json.encode { rooms = "staff", event = "e", args = { 1 } } })
    assert.equal("OK", answer.body)
    assert.equal('2/users,0["e",1]', c:receive())
    c:close()
  end)

  it("sends what a client does not say as nothing, or as undefined", function()
    local c = socketio.open(g)
    c:join "/shop"
    assert_member(c, "shop", "<>")
    c:close()
    c = socketio.open(g)
    c:join "/undefined"
    assert_member(c, "undefined", "<undefined>")
    c:close()
    local _, other = connect("undefined", '200 ["$meta","$scheme"]')
    assert_member(other, "undefined", "undefined")
    assert_member(other, "undefined", "Token")
    other:close()
  end)

  it("refuses as the backend says", function()
    for _, row in ipairs {
      { '401 {"a":1}', "Authentication failed" }, { "401 nope", "Authentication failed" },
      { "500 {}", "Auth 500 error" }, { '302 ["user_1"]', "Auth 500 error" }, { '201 ["user_1"]', "Auth 500 error" },
      { "200 nope", "Auth error: not JSON" }, { '200 {"a":1}', "Auth error: not a list of rooms" },
      { '200 ["user_1",1]', "Auth error: not a list of rooms" }, { '200 ["user_1","a b"]', "Auth error: not a list of rooms" },
      { '200 ["$evil"]', "Auth error: not a list of rooms" },
      { '200 ["staff"]', "User is missing a private room" }, { "200 []", "User is missing a private room" },
    } do
      local answer, c = connect("users", row[1])
      assert.equal(('4/users,{"message":%q}'):format(row[2]), answer)
      assert.truthy(c:connect("/shop", { token = "200 []" }):find("^0/shop,"))
      c:close()
    end
  end)

  it("refuses a client of protocol 3 in its way", function()
    local answer, c = connect("users", "401 {}", { version = 3 })
    assert.equal('4/users,"Authentication failed"', answer)
    c:close()
    answer, c = connect("users", '200 ["public"]', { version = 3 })
    assert.equal("0/users,", answer)
    c:close()
  end)

  it("lets one in without rooms where there are no users", function()
    local answer, c = connect("shop", "200 []")
    assert.truthy(answer:find "^0/shop,")
    c:close()
  end)

  it("fails closed when the backend does not answer", function()
    local answer, c = connect("hasty", "hang")
    assert.equal('4/hasty,{"message":"Auth error: timeout"}', answer)
    c:close()
    answer, c = connect("away", "x")
    assert.equal('4/away,{"message":"Auth error: unavailable"}', answer)
    c:close()
    assert.equal(1, figures.get(g, 'auth_url_failed_total{code="timeout",site="hasty"}'))
    assert.falsy(g:log():find("token", 1, true))
  end)

  it("lets nothing of a client's out of its header", function()
    local before = #(b:requests())
    for _, query in ipairs { "token=a%0d%0aX-Evil:1", "token=a%00", "token=%", "token=a&meta=b%0ac" } do
      local c = socketio.open(g, { query = "&" .. query })
      assert.equal('4/shop,{"message":"Authentication failed"}', c:connect "/shop")
      c:close()
    end
    assert.equal(before, #(b:requests()))
  end)

  it("judges WebSockets and the token route too", function()
    local ok = escape '200 ["user_5","staff"]'
    assert.equal(101, ws.connect(g.port, "/users/ws?token=" .. ok).status)
    assert.equal(403, ws.connect(g.port, "/users/ws?token=" .. escape "401 {}").status)
    assert.equal(503, ws.connect(g.port, "/users/ws?token=" .. escape "500 {}").status)
    local id, answer = token.get(g.port, "/users/socket/token?token=" .. ok)
    assert.truthy(id, answer.body)
    local refused = select(2, token.get(g.port, "/users/socket/token?token=" .. escape "401 {}"))
    assert.equal(403, refused.status)
    assert.equal('{"error":"Authentication failed"}', refused.body)
    local c = token.connect(g.port, { path = "/users/token", plain = true })
    assert(c:authenticate(id))
    c:close()
  end)

  it("takes pages of any origin, since it hears of no cookie", function()
    local answer, c = connect("shop", "200 []", { headers = { Origin = "https://elsewhere.example" } })
    assert.truthy(answer:find "^0/shop,", answer)
    c:close()
  end)

  it("lets the gateway end while a login waits", function()
    local other = gateway.start { sites = { shop = site() } }
    local before = #(b:requests())
    socketio.open(other, { query = "&token=hang" }):send "0/shop,"
    assert.truthy(wait.for_true(function() return #(b:requests()) > before end))
    assert.equal(0, other:stop())
  end)
end)

describe("push.update_user_url", function()
  local told = 0

  -- What the backend is told next.
  local function next_told()
    local list
    assert.truthy(wait.for_true(function()
      list = json.decode(http.get(b.port, "/users").body)
      return #list > told
    end), "it is told nothing")
    told = told + 1
    return list[told]
  end

  local function assert_told(path, id, member)
    local t = next_told()
    assert.equal(path, t.path)
    assert.equal("application/json", t.type)
    local body = json.decode(t.body)
    assert.equal(id, body.id)
    assert.truthy(body.user[member]:find("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$"), t.body)
    return t
  end

  it("hears of users that come and go, and of nobody else", function()
    local said = '200 ["staff","public","user_a#b/../c_admin","user_"]'
    local answer, c = connect("told", said)
    assert.truthy(answer:find "^0/told,", answer)
    local t = assert_told("/users/a%23b%2F..%2Fc", "a#b/../c", "last_connected")
    assert.equal("Bearer " .. said, t.authorization)
    c:close()
    assert_told("/users/a%23b%2F..%2Fc", "a#b/../c", "last_disconnected")
    answer, c = connect("told", '200 ["public"]')
    assert.truthy(answer:find "^0/told,", answer)
    c:close()
    answer, c = connect("told", '200 ["user_5"]')
    assert.truthy(answer:find "^0/told,", answer)
    assert_told("/users/5", "5", "last_connected")
    c:close()
    assert_told("/users/5", "5", "last_disconnected")
  end)

  it("that does not take it changes nothing but a counter", function()
    local answer, c = connect("told", '200 ["user_fail"]')
    assert.truthy(answer:find "^0/told,", answer)
    assert_told("/users/fail", "fail", "last_connected")
    assert.truthy(wait.for_true(function() return figures.get(g, 'update_user_failed_total{site="told"}') == 1 end))
    assert.truthy(c:connect "/shop")
    c:close()
  end)
end)
