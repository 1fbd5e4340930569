-- SPDX-License-Identifier: MIT
-- Listeners of a site's script, as clients feel them: votes, changes, refusals, order, life cycle.

local gateway = require "spec.support.gateway"
local token = require "spec.support.token"

local SITE = [[
local time = require "moonlatch.time"
local site = {}

function site.authentication(req) return { name = req.query.user, role = req.query.role } end

local log = {}
local function note(text) log[#log + 1] = text end

site.controllers = {
  log = function() local seen = log; log = {}; return table.concat(seen, " ") end,
}

function site.setup(server)
  server:on("subscribe", function(socket, data)
    local c = data.channel
    if c == "staff" then return socket.auth.role == "staff", "staff only" end
    if c == "table" then return nil, { code = "E1" } end
    if c == "false" then return false end
    if c == "nothing" then return end
    if c == "raise" then error("secret") end
    if c == "loop" then while true do end end
    if c == "slow" then time.sleep(0.15) end
    if c == "ask" then return (socket:rpc("may", { channel = c })) end
    return true
  end)
  server:on("unsubscribe", function(_, data) return data.channel ~= "stay", "no way out" end)

  server:before("publish", function(_, data)
    if data.channel == "censor" then return { data = (data.data:gsub("damn", "d***")) } end
    if data.channel == "refused" then return false, "not here" end
    if data.channel == "badly" then return nil, "bad" end
    if data.channel == "order" then return { data = data.data .. "1" } end
    if data.channel == "function" then return { data = print } end
  end)
  server:before("publish", function(_, data)
    if data.channel == "order" then return { data = data.data .. "0" } end
  end, { priority = 5 })

  -- three votes on publish
  server:on("publish", function(_, data)
    if data.channel == "votes" then time.sleep(0.3); note("slow"); return true end
    return true
  end)
  server:on("publish", function(_, data)
    if data.channel == "votes" then note(data.data.text); return data.data.ok, "second says no" end
    return true
  end)
  server:on("publish", function(_, data)
    if data.channel == "boom" then error("secret") end
    if data.channel == "hang" then while true do end end
    if data.channel == "silent" then return end
    return true
  end)
  server:on("broadcast", function(socket) return socket.auth.role == "staff" end)
  server:after("publish", function(_, data) if data.channel == "seen" then note("after:" .. data.data) end end)
  server:after("subscribe", function(_, data) if data.channel == "seen" then note("sub:" .. data.channel) end end)

  server:on("authentication", function(socket, auth)
    note("auth:" .. auth.name)
    if auth.name == "asked" then note("answer:" .. tostring(socket:rpc("hello", { n = 1 }, { timeout = 2 }))) end
    if auth.name == "broken" then error("secret") end
    return false
  end)
  server:on("authentication", function(_, auth) if auth.name == "slowly" then time.sleep(0.1) end end)
  server:after("authentication", function(_, auth) note("done:" .. auth.name) end)
  server:on("connect", function(socket) note("connect:" .. tostring(socket.auth and socket.auth.name)) end)
  server:on("disconnect", function(socket, code)
    note("disconnect:" .. socket.auth.name .. ":" .. code .. ":" .. tostring(socket:send_test()))
  end)
  server:on("occupied", function(channel) note("occupied:" .. channel) end)
  server:on("vacated", function(channel) note("vacated:" .. channel) end)
  server:once("occupied", function(channel) note("once:" .. channel) end)
end

return site
]]

SITE = SITE:gsub("tostring%(socket:send_test%(%)%)", "tostring(select(2, socket:subscribe('x')))")

for _, how in ipairs { "SockJS", "plain WebSocket" } do
  describe("listeners, over " .. how, function()
    local g, c

    local function login(query)
      return assert(token.login(g.port, { query = query, plain = how ~= "SockJS" }))
    end

    -- What a publish comes to: the message, or the error.
    local function publish(channel, data)
      local uuid = c:publish(channel, data)
      local m = assert(c:wait(function(m) return m.uuid == uuid or m.channel == channel end, 5))
      if m.uuid then return nil, m.error end
      return m.message
    end

    setup(function() g = gateway.start { sites = { main = { path = "/" } }, scripts = { main = SITE } } end)
    teardown(function() assert.equal(0, g:stop()) end)
    before_each(function()
      c = login("user=ann")
      c:rpc("log")
    end)
    after_each(function() c:close() end)

    it("decide about a subscription", function()
      assert.equal("staff only", (select(2, c:subscribe("staff"))))
      local boss = login("user=eve&role=staff")
      assert.is_true((boss:subscribe("staff")))
      boss:close()
      assert.same({ code = "E1" }, (select(2, c:subscribe("table"))))
      assert.equal("Forbidden", (select(2, c:subscribe("false"))))
      assert.is_true((c:subscribe("other")))
    end)

    it("refuse when they return nothing, raise or do not end", function()
      assert.equal("Forbidden", (select(2, c:subscribe("nothing"))))
      assert.is_true(g:wait_log("returned nothing", 5))
      assert.is_truthy(g:log():find('a listener of \\"subscribe\\", scripts/[%w_]+/init%.lua:%d+, returned nothing'), g:log())
      assert.equal("Internal error", (select(2, c:subscribe("raise"))).message)
      assert.equal("script_timeout", (select(2, c:subscribe("loop"))))
      for _, channel in ipairs { "nothing", "raise", "loop" } do c:publish(channel, 1) end
      c:rpc("log")
      assert.is_nil(c:message("nothing", 0.05))
    end)

    it("decide about unsubscribing", function()
      assert(c:subscribe("stay"))
      assert.equal("no way out", (select(2, c:unsubscribe("stay"))))
      assert.equal(1, publish("stay", 1))
      assert(c:subscribe("go"))
      assert.is_true((c:unsubscribe("go")))
    end)

    it("may ask the client back before they decide", function()
      c:send { rpc = "_subscribe", req = { channel = "ask" }, uuid = "s1" }
      local name, args, fid = c:call()
      assert.equal("may", name)
      assert.equal("ask", args.channel)
      c:answer(fid, { data = true })
      assert(c:wait(function(m) return m.internal and m.data.channel == "ask" end))
      assert(c:unsubscribe("ask"))
      c:send { rpc = "_subscribe", req = { channel = "ask" }, uuid = "s2" }
      local _, _, fid2 = c:call()
      c:answer(fid2, { error = "never" })
      assert.equal("Forbidden", c:wait(function(m) return m.uuid == "s2" end).error)
    end)

    it("keep the order of what a socket asked for, also when one waits", function()
      assert(c:subscribe("order2"))
      c:send { rpc = "_subscribe", req = { channel = "slow" }, uuid = "o1" }
      c:send { rpc = "_publish", req = { channel = "slow", data = "first" }, uuid = "o2" }
      c:send { rpc = "_publish", req = { channel = "order2", data = "middle" }, uuid = "o6" }
      c:wait(function(m) return m.message == "middle" end)
      c:send { rpc = "_unsubscribe", req = { channel = "slow" }, uuid = "o3" }
      c:send { rpc = "_publish", req = { channel = "slow", data = "second" }, uuid = "o4" }
      c:send { rpc = "_publish", req = { channel = "order2", data = "end" }, uuid = "o5" }
      local seen = {}
      repeat
        local m = assert(c:receive(3))
        seen[#seen + 1] = m.internal and m.command or m.message
      until m.message == "end"
      assert.same({ "subscribe", "first", "unsubscribe", "end" }, seen)
    end)

    it("change what is published before it is, by priority", function()
      for _, channel in ipairs { "censor", "order", "free" } do assert(c:subscribe(channel)) end
      assert.equal("d*** it", publish("censor", "damn it"))
      assert.equal("x01", publish("order", "x"))
      assert.equal("as it is", publish("free", "as it is"))
    end)

    it("refuse before", function()
      assert.equal("not here", (select(2, publish("refused", 1))))
      assert.equal("bad", (select(2, publish("badly", 1))))
      assert.equal("Internal error", (select(2, publish("function", 1))).message)
    end)

    it("vote side by side; the first refusal decides at once", function()
      assert(c:subscribe("votes"))
      c:rpc("log")
      assert.equal("second says no", (select(2, publish("votes", { ok = false, text = "fast" }))))
      assert.equal("fast", (c:rpc("log")))
      assert.same({ ok = true, text = "both" }, publish("votes", { ok = true, text = "both" }))
      local seen = c:rpc("log")
      assert.is_truthy(seen:find("both.*slow.*slow"), seen)
    end)

    it("refuse when one of several fails", function()
      assert.equal("Internal error", (select(2, publish("boom", 1))).message)
      assert.equal("script_timeout", (select(2, publish("hang", 1))))
      assert.equal("Forbidden", (select(2, publish("silent", 1))))
    end)

    it("allow broadcasts to whom they will", function()
      assert(c:subscribe("b1"))
      local uuid = c:broadcast("all")
      assert.equal("Forbidden", c:wait(function(m) return m.uuid == uuid end).error)
      local boss = login("user=eve&role=staff")
      boss:broadcast({ x = 1 })
      assert.same({ x = 1 }, c:message("b1"))
      boss:close()
    end)

    it("observe after it took effect", function()
      assert(c:subscribe("seen"))
      assert.equal("x", publish("seen", "x"))
      local seen = c:rpc("log")
      assert.is_truthy(seen:find("sub:seen", 1, true), seen)
      assert.is_truthy(seen:find("after:x", 1, true), seen)
    end)

    it("hear of authentication, and the reply waits for them", function()
      for _, name in ipairs { "bob", "slowly", "broken" } do
        login("user=" .. name):close()
        local seen = assert(c:rpc("log"))
        assert.is_truthy(seen:find("connect:" .. name .. ".*auth:" .. name), seen)
      end
      local asked = token.connect(g.port, { plain = how ~= "SockJS" })
      asked:send { rpc = "auth", token = token.get(g.port, "/socket/token?user=asked"), uuid = "a" }
      local name, args, fid = asked:call()
      assert.equal("hello", name)
      assert.same({ n = 1 }, args)
      assert.is_nil(asked:receive(0.1))
      asked:answer(fid, { data = "fine" })
      assert.equal("success", asked:wait(function(m) return m.uuid == "a" end).resp)
      local seen = c:rpc("log")
      assert.is_truthy(seen:find("answer:fine.*done:asked"), seen)
      asked:close()
    end)

    it("hear of the life of channels and sockets", function()
      local d = login("user=dan")
      assert(d:subscribe("x1"))
      assert(d:subscribe("x2"))
      assert(d:unsubscribe("x1"))
      d:close()
      local seen = ""
      repeat
        seen = seen .. " " .. c:rpc("log")
      until seen:find("disconnect:dan", 1, true)
      for _, part in ipairs { "connect:dan auth:dan", "occupied:x1", "vacated:x1", "occupied:x2", "vacated:x2",
        "disconnect:dan:1000:closed" } do
        assert.is_truthy(seen:find(part, 1, true), part .. " in " .. seen)
      end
      assert.is_nil(seen:find("once:x2", 1, true))
    end)
  end)
end

describe("a vote without a listener", function()
  it("allows", function()
    local g = gateway.start { sites = { main = { path = "/" } },
      scripts = { main = "return { authentication = function() return {} end }" } }
    local c = assert(token.login(g.port))
    assert.is_true((c:subscribe("free")))
    c:publish("free", 1)
    assert.equal(1, c:message("free"))
    assert.equal("Function not found", (select(2, c:rpc("any"))))
    assert.equal("pong", (c:rpc("_ping")).message)
    c:close()
    assert.equal(0, g:stop())
  end)
end)
