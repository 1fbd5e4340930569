-- SPDX-License-Identifier: MIT
-- Scripts of one site on two nodes over Redis: who is there, and calls to sockets of the other node.

local fleet = require "spec.support.fleet"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SCRIPT = [[
  local site = {}
  function site.authentication(req) return { name = req.query.user } end
  local server
  local function names(list)
    local all = {}
    for i, s in ipairs(list) do all[i] = s.auth.name end
    table.sort(all)
    return table.concat(all, " ")
  end
  site.controllers = {
    sid = function(_, _, socket) return socket.sid end,
    who = function(_, max)
      local list, more = server:sockets(max)
      if not list then return nil, more end
      return { names(list), more }
    end,
    room = function(_, channel)
      local list, code = server:channelSockets(channel)
      if not list then return nil, code end
      return names(list)
    end,
    channels = function()
      local list = server:channels()
      table.sort(list)
      return list
    end,
    call = function(_, data)
      local value, code, detail = server:rpc(data.sid, "prompt", { "args", 1 }, { timeout = data.timeout })
      return { value = value, code = code, detail = detail }
    end,
    find = function(_, name)
      for _, s in ipairs((server:sockets())) do
        if s.auth.name == name then
          return { ip = s.ip, endpoint = s.endpoint, protocol = s.protocol, channels = s.channels, host = s.host ~= nil,
            path = s.session.name }
        end
      end
    end,
    move = function(_, data)
      for _, s in ipairs((server:sockets())) do
        if s.auth.name == data.name then
          if data.close then return s:close(4001, "asked to") end
          return { s:subscribe(data.to), s:unsubscribe(data.from) }
        end
      end
    end,
  }
  function site.setup(s)
    server = s
    for _, event in ipairs { "subscribe", "publish" } do server:on(event, function() return true end) end
  end
  return site]]

local function login(node, user) return assert(token.login(node.port, { query = "user=" .. user })) end

describe("scripts on two nodes", function()
  local f

  before_each(function()
    f = fleet.start { sites = { s = { path = "/" } }, scripts = { s = SCRIPT },
      gateway = { limits = { store_timeout = "500ms", redis_heartbeat = "200ms", call_timeout = "1s" } } }
  end)
  after_each(fleet.stop_all)

  it("know the sockets and channels of both", function()
    local ann, bob, carol = login(f[1], "ann"), login(f[2], "bob"), login(f[2], "carol")
    assert.are.same({ "ann bob carol", false }, ann:rpc("who"))
    assert.are.same({ "ann bob carol", false }, carol:rpc("who"))
    assert.is_true(ann:rpc("who", 2)[2])
    assert(ann:subscribe("room") and bob:subscribe("room") and carol:subscribe("other"))
    assert.are.equal("ann bob", carol:rpc("room", "room"))
    assert.are.equal("carol", ann:rpc("room", "other"))
    assert.are.same({ "other", "room" }, ann:rpc("channels"))
    assert.are.same({ ip = "127.0.0.1", endpoint = "/sockets", protocol = "websocket", channels = { "room" }, host = true,
      path = "bob" }, ann:rpc("find", "bob"))
    assert.are_not.equal(ann:rpc("sid"):sub(1, 6), bob:rpc("sid"):sub(1, 6))
    assert.are.equal(carol:rpc("sid"):sub(1, 6), bob:rpc("sid"):sub(1, 6))
  end)

  it("call clients of the other node", function()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    local sid = bob:rpc("sid")
    ann:send { rpc = "call", req = { sid = sid, timeout = 1 }, uuid = "c1" }
    local name, args, fid = bob:call()
    assert.are.same({ "prompt", { "args", 1 } }, { name, args })
    bob:answer(fid, { data = { fine = true } })
    assert.are.same({ value = { fine = true } }, ann:wait(function(m) return m.uuid == "c1" end).resp)
    ann:send { rpc = "call", req = { sid = sid, timeout = 1 }, uuid = "c2" }
    fid = select(3, bob:call())
    bob:answer(fid, { error = "no" })
    assert.are.same({ code = "refused", detail = "no" }, ann:wait(function(m) return m.uuid == "c2" end).resp)
    assert.are.same({ code = "timeout" }, ann:rpc("call", { sid = sid, timeout = 0.1 }))
    assert.are.same({ code = "closed" }, ann:rpc("call", { sid = "nobody" .. sid:sub(7), timeout = 0.1 }))
    bob:drop()
    assert.is_truthy(wait.for_true(function() return ann:rpc("call", { sid = sid, timeout = 0.1 }).code == "closed" end))
  end)

  it("move and close sockets of the other node", function()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    assert(bob:subscribe("old"))
    assert.are.same({ true, true }, ann:rpc("move", { name = "bob", from = "old", to = "new" }))
    assert(bob:wait(function(m) return m.internal and m.command == "subscribe" and m.data.channel == "new" end))
    assert(bob:wait(function(m) return m.internal and m.command == "unsubscribe" and m.data.channel == "old" end))
    ann:publish("new", 1)
    assert.are.equal(1, bob:message("new"))
    assert.is_true(ann:rpc("move", { name = "bob", close = true }))
    assert.are.same({ 4001, "asked to" }, { bob:wait_close() })
    assert.is_truthy(wait.for_true(function() return ann:rpc("who")[1] == "ann" end))
  end)

  it("have no ghosts when a node is killed", function()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    assert(ann:subscribe("room") and bob:subscribe("room"))
    assert.are.equal("ann bob", ann:rpc("room", "room"))
    local sid = bob:rpc("sid")
    f[2]:signal("KILL")
    f[2]:wait_exit()
    assert.is_truthy(wait.for_true(function() return ann:rpc("room", "room") == "ann" end, 3))
    assert.are.same({ code = "closed" }, ann:rpc("call", { sid = sid, timeout = 1 }))
  end)

  it("get what there is of a node that hangs, and are told that it is not all", function()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob") -- held: what is collected is closed
    f[2]:signal("STOP")
    assert.are.same({ "ann", true }, ann:rpc("who"))
    f[2]:signal("CONT")
    assert.is_truthy(wait.for_true(function() return ann:rpc("who")[1] == "ann bob" end, 3))
    bob:close()
  end)

  it("are told when Redis is away", function()
    local ann = login(f[1], "ann")
    f.redis:kill()
    assert.is_truthy(wait.for_true(function() return select(2, ann:rpc("who")) == "unavailable" end, 3))
    assert.are.equal("unavailable", select(2, ann:rpc("room", "room")))
  end)

  it("do not fall for forged words", function()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    local node = ann:rpc("sid"):sub(1, 6)
    for _, word in ipairs { "ask {}", "ask []", "ask {\"id\":1,\"node\":2,\"ask\":{}}", "answer {}", "answer {\"id\":\"x\"}",
      "ask {\"id\":\"0123456789abcdef\",\"node\":\"" .. node .. "\",\"ask\":5}",
      "ask {\"id\":\"0123456789abcdef\",\"node\":\"" .. node .. "\",\"ask\":{\"what\":\"__index\"}}",
      "ask {\"id\":\"0123456789abcdef\",\"node\":\"" .. node .. "\",\"ask\":{\"what\":\"rpc\",\"sid\":[]}}",
      "ask {\"id\":\"0123456789abcdef\",\"node\":\"" .. node .. "\",\"ask\":{\"what\":\"sockets\",\"max\":-1}}",
      "answer {\"id\":\"0123456789abcdef\",\"answer\":{\"list\":5}}" } do
      f.redis:call("PUBLISH", "moonlatch:{s}:all", word)
      f.redis:call("PUBLISH", "moonlatch:{s}:node:" .. node, word)
    end
    assert.are.same({ "ann bob", false }, ann:rpc("who"))
    assert.are.same({ "ann bob", false }, bob:rpc("who"))
  end)
end)
