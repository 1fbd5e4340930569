-- SPDX-License-Identifier: MIT
-- Limits that no other spec comes upon by itself: each answers as its table says, and who is within is served.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local stream = require "spec.support.stream"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SCRIPT = [[
local time = require "moonlatch.time"
return {
  authentication = function() return { name = "ann" } end,
  controllers = {
    echo = function(_, data) return data end,
    sleep = function(_, seconds) time.sleep(seconds) return "slept" end,
    rep = function(_, n) return #string.rep("x", n) end,
    concat = function(_, n)
      local t = {}
      for i = 1, n do t[i] = "x" end
      return #table.concat(t)
    end,
    load = function(_, n) return load("return " .. ("1 + "):rep(n) .. "1") ~= nil end,
  },
}
]]

local function start(limits, process)
  return gateway.start {
    gateway = { limits = process or {} },
    sites = { site = { path = "/", limits = limits }, other = { path = "/other" } },
    scripts = { site = SCRIPT, other = SCRIPT },
  }
end

local function login(g, site)
  return assert(token.login(g.port, { path = site and "/other/ws" or "/ws", plain = true,
    token_path = site and "/other/socket/token" or nil }))
end

-- The error of one of the client's own messages.
local function refusal(c, message)
  c:send(message)
  local answer = c:wait(function(m) return m.uuid == message.uuid or m.error ~= nil or m.internal end, 2)
  return answer and answer.error
end

local function subscribe(channel) return { rpc = "_subscribe", req = { channel = channel }, uuid = channel } end

describe("the limit", function()
  after_each(gateway.stop_all)

  it("max_connections_per_site refuses the next socket, not the next site's", function()
    local g = start({ max_connections_per_site = 1 })
    login(g)
    assert.are.equal(503, ws.connect(g.port, "/ws").status)
    assert.are.equal(101, ws.connect(g.port, "/other/ws").status)
  end)

  it("max_connections refuses before anything is parsed", function()
    local g = start({}, { max_connections = 2 })
    local first, second = stream.connect(g.port), stream.connect(g.port)
    local got = stream.connect(g.port):take_all(wait.now() + 2)
    assert.is_truthy(got:find("^HTTP/1.1 503 .*Retry%-After: 5"))
    first:close()
    second:close()
    assert.is_true(wait.for_true(function() return http.get(g.port, "/health/live").status == 200 end, 2))
  end)

  it("new_connections_per_ip ends a burst with 429", function()
    local g = start({}, { count_private = true, new_connections_per_ip = 1, new_connections_per_ip_burst = 3 })
    local refused = 0
    for _ = 1, 6 do
      if stream.connect(g.port):take_all(wait.now() + 0.2):find("^HTTP/1.1 429") then refused = refused + 1 end
    end
    assert.is_true(refused >= 2)
  end)

  it("unauth_bytes closes who says too much before it has a token", function()
    local g = start({ unauth_bytes = 64 })
    local w = ws.connect(g.port, "/ws")
    w:send(("x"):rep(65))
    assert.are.equal(4401, (w:wait_close(2)))
  end)

  it("channel_name, channels_per_site and channels_per_node refuse a channel", function()
    local g = start({ channel_name = 8, channels_per_site = 2 }, { channels_per_node = 3 })
    local c = login(g)
    assert.are.equal("bad_channel", refusal(c, subscribe("123456789")))
    assert.is_nil(refusal(c, subscribe("12345678")) or refusal(c, subscribe("b")))
    assert.are.equal("overload", refusal(c, subscribe("c")))
    local other = login(g, "other")
    assert.is_nil(refusal(other, subscribe("a")))
    assert.are.equal("overload", refusal(other, subscribe("b")))
  end)

  it("site_publish_rate bounds all clients of a site together", function()
    local g = start({ site_publish_rate = 1 })
    local a, b = login(g), login(g)
    a:send { rpc = "_publish", req = { channel = "c", data = 1 }, uuid = "1" }
    assert.are.equal("echo", (a:rpc("echo", "echo")))
    assert.are.equal("rate", refusal(b, { rpc = "_publish", req = { channel = "c", data = 1 }, uuid = "2" }))
  end)

  it("rpc_per_site bounds the calls that run", function()
    local g = start({ rpc_per_site = 1 })
    local a, b = login(g), login(g)
    a:send { rpc = "sleep", req = 0.3, uuid = "long" }
    assert.is_true(wait.for_true(function() return select(2, b:rpc("echo", 1)) == "overload" end, 2))
    assert.are.equal("slept", a:wait(function(m) return m.uuid == "long" end, 2).resp)
    assert.are.equal(1, (b:rpc("echo", 1)))
  end)

  it("json_values, json_keys and json_depth bound a message", function()
    for name, message in pairs {
      json_values = '{"rpc":"echo","req":[1,2,3,4,5,6,7,8]}',
      json_keys = '{"rpc":"echo","req":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7}}',
      json_depth = '{"rpc":"echo","req":[[[[[[1]]]]]]}',
    } do
      local g = start({ [name] = 6 })
      local c = login(g)
      c.ws:send(message)
      assert.are.equal("Invalid message", c:wait(function(m) return m.error end, 2).error, name)
      assert.are.equal(1, (c:rpc("echo", 1)))
      gateway.stop_all()
    end
  end)

  it("script_string, script_table_ops and script_load raise in the script", function()
    local g = start({ script_string = 4096, script_table_ops = 100, script_load = 1024 })
    local c = login(g)
    assert.are.same({ 4000, 100, true }, { (c:rpc("rep", 4000)), (c:rpc("concat", 100)), (c:rpc("load", 100)) })
    for name, n in pairs { rep = 5000, concat = 101, load = 500 } do
      local answer, err = c:rpc(name, n)
      assert.are.same({ nil, "Internal error" }, { answer, err and err.message }, name)
    end
  end)

  it("script_file refuses a site whose script is larger", function()
    local dir = tmp.dir()
    finally(function() tmp.remove(dir) end)
    tmp.write(dir .. "/conf/gateway.lua", "return {}")
    tmp.write(dir .. "/conf/sites/site.lua", "return { limits = { script_file = 1024 } }")
    tmp.write(dir .. "/scripts/site/init.lua", "return {} --" .. ("x"):rep(1024))
    local status, out, log = gateway.run { "check", "--conf", dir .. "/conf", "--scripts", dir .. "/scripts" }
    assert.are.equal(2, status)
    assert.is_truthy((out .. log):find("scripts/site/init.lua", 1, true), out .. log)
  end)
end)
