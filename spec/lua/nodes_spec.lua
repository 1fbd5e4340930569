-- SPDX-License-Identifier: MIT
-- lua/moonlatch/nodes.lua: a site on two nodes, each a fake core that asks the other.

local fake = require "spec.support.core"
local nodes = require "moonlatch.nodes"

-- Two cores; what one asks, both (or the named one) answer.
local function pair()
  local cores, asked = {}, {}
  for i = 1, 2 do
    local core = fake.new()
    core.node, core.sockets, core.gone = "node-" .. i, {}, {}
    function core.ask(_, node, question)
      local all = {}
      for j, other in ipairs(cores) do
        if (not node or node == other.node) and not other.dead then all[#all + 1] = asked[j](question) end
      end
      return all, not core.late
    end
    local function list()
      local sockets = {}
      for _, s in pairs(core.sockets) do sockets[#sockets + 1] = s end
      return sockets, false
    end
    core.server.sockets, core.server.channelSockets = list, list
    core.server.channels = function() return { "both", "only" .. i }, false end
    core.server.rpc = function(_, socket, ...) return socket:rpc(...) end
    core.server.subscribe = function(_, socket, channel) return socket.subscribe(socket, channel) end
    core.server.unsubscribe = core.server.subscribe
    cores[i], asked[i] = core, nodes.start(core)
  end
  return cores[1], cores[2]
end

local function join(core, name, calls)
  local socket = fake.socket({ name = name }, calls)
  socket.sid = core.node .. ("%016d"):format(#name)
  function socket.subscribe(self, channel)
    self.subscribed = channel
    return true
  end
  core.sockets[socket.sid] = socket
  return socket
end

describe("a site on several nodes", function()
  it("lists the sockets and channels of all, each once", function()
    local here, there = pair()
    local ann, carol = join(here, "ann"), join(there, "carol")
    local list, more = here.server:sockets()
    table.sort(list, function(a, b) return a.sid < b.sid end)
    assert.equal(ann, list[1])
    assert.equal(carol.sid, list[2].sid)
    assert.same({ name = "carol" }, list[2].auth)
    assert.is_false(more)
    list, more = here.server:sockets(1)
    assert.same({ 1, true }, { #list, more })
    list = here.server:channels()
    assert.same({ "both", "only1", "only2" }, { table.unpack(list) })
  end)

  it("says that there may be more when a node is late", function()
    local here = pair()
    here.late = true
    assert.is_true(select(2, here.server:channels()))
  end)

  it("calls a socket on another node, and tells what became of it", function()
    local here, there = pair()
    local carol = join(there, "carol", { greet = "hello" })
    assert.equal("hello", here.server:rpc(carol.sid, "greet", { 1 }, { timeout = 3 }))
    assert.same({ { "greet", { 1 } } }, carol.asked)
    assert.same({ nil, "timeout" }, { here.server:rpc(carol.sid, "sleep") })
    local remote = here.server:sockets()[1]
    assert.equal("hello", remote:rpc("greet"))
    assert.is_true(remote:subscribe("room"))
    assert.equal("room", carol.subscribed)
    assert.is_true(here.server:subscribe(carol.sid, "other"))
    assert.equal("other", carol.subscribed)
    there.sockets[carol.sid] = nil
    assert.same({ nil, "closed" }, { remote:rpc("greet") })
    assert.same({ nil, "closed" }, { remote:close() })
  end)

  it("takes a node that is gone for closed, and one that does not answer for late", function()
    local here, there = pair()
    local carol = join(there, "carol")
    there.dead = true
    assert.same({ nil, "closed" }, { here.server:rpc(carol.sid, "greet") })
    here.late = true
    assert.same({ nil, "timeout" }, { here.server:rpc(carol.sid, "greet") })
    assert.same({ nil, "closed" }, { here.server:rpc("node-1" .. ("0"):rep(16), "greet") })
  end)

  it("does not take everything for a socket", function()
    local here = pair()
    for _, wrong in ipairs { 1, true, {} } do
      assert.has_error(function() here.server:rpc(wrong, "x") end)
    end
    assert.has_error(function() here.server:sockets(0) end)
    assert.has_error(function() here.server:channelSockets() end)
    assert.has_error(function() here.server:rpc("node-2" .. ("0"):rep(16), "x", nil, { timeout = -1 }) end)
  end)
end)
