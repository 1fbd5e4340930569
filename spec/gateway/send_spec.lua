-- SPDX-License-Identifier: MIT
-- POST /send, to the byte: what backends of the push service send, and what they are answered; and that
-- what was answered 200 reaches the rooms.

local figures = require "spec.support.figures"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local socketio = require "spec.support.socketio"

local KEY, NEXT = ("key-of-the-site-"):rep(2) .. "1", ("key-of-the-site-"):rep(2) .. "2"

local SCRIPT = [[
local site = {}
function site.authentication(req) return { name = req.query.name } end
site.events = { join = function(socket, room) return socket:subscribe(room) end }
function site.setup(server) server:on("subscribe", function() return true end) end
return site
]]

local SITES = {
  shop = { push = { api_key = { KEY, NEXT } } },
  strict = { push = { api_key = KEY, api_key_in_query = false } },
  old = { push = { api_key = 54321, weak_api_key = true } },
  none = {},
}

local g

local function start(options)
  options = options or {}
  local conf = { admin = { listen = "127.0.0.1:0" }, limits = options.limits, send = options.send }
  local scripts = {}
  for name in pairs(SITES) do scripts[name] = SCRIPT end
  g = gateway.start { gateway = conf, sites = SITES, scripts = scripts }
end

-- Sends a body (a table: as JSON). options: query, path, headers, type, method.
local function send(body, options)
  options = options or {}
  local headers = { ["Content-Type"] = options.type or "application/json" }
  for name, value in pairs(options.headers or {}) do headers[name] = value end
  if type(body) == "table" then body = json.encode(body) end
  return http.get(g.port, (options.path or "/send") .. (options.query or "?site=shop&apiKey=" .. KEY),
    { method = options.method or "POST", headers = headers, body = body })
end

local function assert_answer(r, status, text)
  assert.equal(status, r.status, r.body)
  assert.equal(text, r.body)
  assert.equal(status == 200 and "text/plain; charset=utf-8" or "text/html; charset=utf-8", r.headers["content-type"])
  assert.equal("nosniff", r.headers["x-content-type-options"])
end

local function assert_sent(r) assert_answer(r, 200, "OK") end

-- A client of Socket.IO in a room of site shop.
local function member(room)
  local c = socketio.open(g)
  c:join "/shop"
  c:send('2/shop,1["join",' .. json.encode(room) .. "]")
  assert.equal("3/shop,1[true]", c:receive())
  return c
end

local MESSAGE = { rooms = { "r" }, event = "message", args = { "x" } }
local FORM = "application/x-www-form-urlencoded"

describe("POST /send", function()
  setup(start)
  teardown(gateway.stop_all)

  it("is OK, also when nobody is there", function()
    assert_sent(send(MESSAGE))
    assert_sent(send { rooms = "nowhere", event = "e" })
    assert_sent(send { rooms = json.decode "[]", event = "e" })
  end)

  it("reaches each member of the rooms once", function()
    local a, b = member "a", member "b"
    b:send '2/shop,2["join","a"]'
    assert.equal("3/shop,2[true]", b:receive())
    assert_sent(send { rooms = { "a", "b", "a", "nowhere" }, event = "update_store", args = { "user", { id = 1 } } })
    assert_sent(send { rooms = json.decode "[]", event = "to nobody" })
    assert_sent(send { rooms = { "a", "b" }, event = "last", args = {} })
    for _, c in ipairs { a, b } do
      assert.equal('2/shop,["update_store","user",{"id":1}]', c:receive())
      assert.equal('2/shop,["last"]', c:receive())
      c:close()
    end
  end)

  it("takes one room for a list, one argument for a list, and none for null", function()
    local c = member "a"
    for _, row in ipairs {
      { '{"rooms":"a","event":"e","args":"x"}', '["e","x"]' },
      { '{"rooms":"a","event":"e","args":{"b":[1]}}', '["e",{"b":[1]}]' },
      { '{"rooms":"a","event":"e","args":[[1],2]}', '["e",[1],2]' },
      { '{"rooms":"a","event":"e","args":null}', '["e",null]' },
      { '{"rooms":"a","event":"e","args":[]}', '["e"]' },
      { '{"rooms":"a","event":"e"}', '["e",null]' },
      { '{"rooms":"a","event":"\\u0065\\n","args":[1.0,12345678901234567890,"\\u00e4"],"more":1}',
        '["e\\n",1.0,12345678901234567890,"\\u00e4"]' },
    } do
      assert_sent(send(row[1]))
      assert.same(json.decode(row[2]), json.decode(c:receive():match "^2/shop,(.*)$"))
    end
    c:close()
  end)

  it("takes forms, with nested names", function()
    local c = member "user_8"
    for _, row in ipairs {
      { "rooms[]=user_8&event=message&args[]=txt&args[][id]=1", '["message","txt",{"id":"1"}]' },
      { "rooms%5B%5D=user_8&rooms%5B%5D=x&event=a+b&args=%C3%A4", '["a b","ä"]' },
      { "rooms=user_8&event=e&args[0]=x&args[1][n]=1&args[1][m][]=2", '["e","x",{"n":"1","m":["2"]}]' },
      { "event=e&rooms=user_8", '["e",null]' },
    } do
      assert_sent(send(row[1], { type = FORM .. "; charset=UTF-8" }))
      assert.same(json.decode(row[2]), json.decode(c:receive():match "^2/shop,(.*)$"))
    end
    c:close()
  end)

  it("says what is wrong with the body, before anything else", function()
    for _, body in ipairs { "{", "nope", '"text"', "1", "null", '{"rooms":"a","rooms":"b"}', "\xff", ("["):rep(70) .. ("]"):rep(70) } do
      assert_answer(send(body, { query = "" }), 400, "The body is not JSON.")
    end
    for _, body in ipairs { "a=%", "a=%ff", "a[b=1", "a[]=1&a[b]=2", "[]=1", ("&a=1"):rep(1001), "a[1][2][3][4][5][6]=1" } do
      assert_answer(send(body, { query = "", type = FORM }), 400, "The body is not a form.")
    end
    for _, kind in ipairs { "text/plain", "multipart/form-data; boundary=x", "application/json; charset=latin1" } do
      assert_answer(send("{}", { type = kind, query = "" }), 415, "Send application/json or application/x-www-form-urlencoded.")
    end
    assert.equal(415, send("{}", { headers = { ["Content-Encoding"] = "gzip" } }).status)
  end)

  it("takes 100 kB, and no more", function()
    local function of(n) return '{"rooms":"r","event":"e","args":"' .. ("x"):rep(n - 35) .. '"}' end
    assert.equal(102400, #of(102400))
    assert_sent(send(of(102400)))
    assert.equal(413, send(of(102401)).status)
    assert.equal(413, send(of(102400), { path = "/shop/socket/token" }).status)
  end)

  it("misses a site and a key", function()
    for _, query in ipairs { "", "?site=shop", "?site=shop&apiKey=", "?apiKey=" .. KEY, "?site=&apiKey=x", "?site=%&apiKey=x" } do
      assert_answer(send(MESSAGE, { query = query }), 400, "Missing query param 'site' or 'apiKey'.")
    end
  end)

  it("answers an unknown site and a wrong key alike", function()
    for _, query in ipairs { "?site=shop&apiKey=wrong", "?site=nope&apiKey=" .. KEY, "?site=__proto__&apiKey=x", "?site=none&apiKey=x",
      "?site=shop&apiKey=" .. KEY .. "x", "?site=old&apiKey=" .. KEY, "?site=strict&apiKey=" .. KEY,
      "?site=shop&apiKey=sha256:" .. ("0"):rep(64) } do
      assert_answer(send(MESSAGE, { query = query }), 401, "ApiKey invalid.")
    end
    assert.falsy(g:log():find(KEY, 1, true))
    assert.truthy(g:log():find("push.api_key_in_query is false", 1, true))
  end)

  it("takes each of several keys, in the query or a header", function()
    assert_sent(send(MESSAGE, { query = "?apiKey=" .. NEXT .. "&site=shop" }))
    assert_sent(send(MESSAGE, { query = "?site=old&apiKey=54321" }))
    for _, site in ipairs { "shop", "strict" } do
      assert_sent(send(MESSAGE, { query = "?site=" .. site, headers = { Authorization = "bearer " .. KEY } }))
      assert_sent(send(MESSAGE, { query = "?site=" .. site, headers = { ["X-Api-Key"] = KEY } }))
    end
    local both = send(MESSAGE, { headers = { ["X-Api-Key"] = "wrong" } })
    assert_answer(both, 401, "ApiKey invalid.")
  end)

  it("misses rooms and an event", function()
    for _, body in ipairs { "", "{}", "[]", '{"rooms":"r"}', '{"event":"e"}', '{"rooms":1,"event":"e"}', '{"rooms":[1],"event":"e"}',
      '{"rooms":{"a":1},"event":"e"}', '{"rooms":null,"event":"e"}', '{"rooms":"r","event":""}', '{"rooms":"r","event":["e"]}' } do
      assert_answer(send(body), 400, "Missing rooms or event.")
    end
    assert_answer(send("rooms=r&event=a&event=b", { type = FORM }), 400, "Missing rooms or event.")
    assert_answer(send { rooms = "r", event = ("e"):rep(129) }, 400, "The event's name is too long.")
  end)

  it("is for POST", function()
    for _, method in ipairs { "GET", "PUT", "DELETE", "OPTIONS" } do
      local r = send(nil, { method = method })
      assert_answer(r, 405, "Use POST.")
      assert.equal("POST", r.headers.allow)
      assert.is_nil(r.headers["access-control-allow-origin"])
    end
  end)

  it("counts what it sends and what it refuses, by reason", function()
    local function refused(reason, site)
      return figures.get(g, ('push_refused_total{reason="%s"%s}'):format(reason, site and ',site="' .. site .. '"' or ""))
    end
    local sent, before = figures.get(g, 'push_total{result="sent",site="shop"}'), refused "unauthorized"
    assert_sent(send(MESSAGE))
    send(MESSAGE, { query = "?site=shop&apiKey=x" })
    assert.equal(sent + 1, figures.get(g, 'push_total{result="sent",site="shop"}'))
    assert.equal(before + 1, refused "unauthorized")
    local empty = refused("no_content", "shop")
    send "{}"
    assert.equal(empty + 1, refused("no_content", "shop"))
  end)
end)

describe("an idempotency key", function()
  setup(start)
  teardown(gateway.stop_all)

  local function with(key, body) return send(body, { headers = { ["Idempotency-Key"] = key } }) end

  it("sends a message once", function()
    local c = member "once"
    local first = { rooms = "once", event = "first" }
    for _ = 1, 3 do assert_sent(with("k1", first)) end
    assert_sent(with("k2", { rooms = "once", event = "second", args = {} }))
    assert.equal('2/shop,["first",null]', c:receive())
    assert.equal('2/shop,["second"]', c:receive())
    c:close()
  end)

  it("is for one message, of one site", function()
    assert_sent(with("k3", MESSAGE))
    assert_answer(with("k3", { rooms = "other", event = "e" }), 422, "Idempotency-Key was used for another message.")
    local resync = send(MESSAGE, { query = "?resync=1&site=shop&apiKey=" .. KEY, headers = { ["Idempotency-Key"] = "k3" } })
    assert.equal(422, resync.status)
    assert_sent(send({ rooms = "other", event = "e" },
      { query = "?site=old&apiKey=54321", headers = { ["Idempotency-Key"] = "k3" } }))
  end)

  it("is not used up by a message that is refused", function()
    assert.equal(400, with("k4", {}).status)
    assert_sent(with("k4", MESSAGE))
    assert_answer(with(("k"):rep(256), MESSAGE), 400, "Idempotency-Key is too long.")
  end)
end)

describe("the push service's limits", function()
  after_each(gateway.stop_all)

  it("answer 429 to one that sends too often", function()
    start { limits = { push_rate = 1, push_burst = 2 } }
    assert_sent(send(MESSAGE))
    assert_sent(send(MESSAGE))
    local r = send(MESSAGE)
    assert_answer(r, 429, "Too many requests.")
    assert.equal("1", r.headers["retry-after"])
    assert_sent(send(MESSAGE, { query = "?site=shop&apiKey=" .. NEXT }))
    assert.equal(1, figures.limit(g, "push_rate", "shop"))
  end)

  it("answer 429 to one that guesses keys", function()
    start { limits = { count_private = true, failed_auth_per_ip = 3 } }
    for _ = 1, 3 do assert.equal(401, send(MESSAGE, { query = "?site=shop&apiKey=guess" }).status) end
    assert_answer(send(MESSAGE), 429, "Too many requests.")
  end)
end)

describe("the paths of the push service", function()
  after_each(gateway.stop_all)

  it("can be others, or none", function()
    start { send = "/push/send" }
    assert_sent(send(MESSAGE, { path = "/push/send" }))
    assert.equal(404, send(MESSAGE).status)
    g:stop()
    start { send = false }
    assert.equal(404, send(MESSAGE).status)
  end)

  it("are free where no site has a key", function()
    g = gateway.start { sites = { a = { path = "/" } }, scripts = { a = SCRIPT } }
    assert.equal(404, send(MESSAGE).status)
  end)

  it("have a health check", function()
    start()
    local r = http.get(g.port, "/healthcheck")
    assert.equal(200, r.status)
    assert.equal("ok", r.body)
  end)
end)
