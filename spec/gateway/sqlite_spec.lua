-- SPDX-License-Identifier: MIT
-- The SQLite store: what a single node keeps over a restart and over kill -9.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"

local SCRIPT = [[
  local site = {}
  function site.authentication(req) return { name = req.query.name or "x" } end
  site.controllers = { whoami = function(auth) return auth end }
  return site]]

local SITES = { s = { path = "/", token = { ttl = "1m" }, channels = { ["kept*"] = { history = { size = 5, ttl = "1m" } } } } }

local dir

local function start(options)
  options = options or {}
  local limits = { publish_rate = 100000, publish_burst = 100000 }
  for key, value in pairs(options.limits or {}) do limits[key] = value end
  return gateway.start { gateway = { store = "sqlite:" .. dir .. "/store.db", limits = limits,
    admin = { listen = "127.0.0.1:0" } }, sites = options.sites or SITES, scripts = { s = SCRIPT } }
end

local function kill(g)
  g:signal "KILL"
  assert.equal(137, g:wait_exit(5))
  pcall(g.stop, g)
end

local function rejoin(c, channel, offset, epoch)
  c:send { rpc = "_subscribe", req = { channel = channel, offset = offset, epoch = epoch }, uuid = "r" }
  return assert(c:wait(function(m) return m.internal and m.command == "subscribe" end)).data
end

describe("the SQLite store", function()
  before_each(function() dir = tmp.dir() end)
  after_each(function()
    gateway.stop_all()
    tmp.remove(dir)
  end)

  it("keeps tokens over kill -9, each good once", function()
    local g = start()
    local first, second = token.get(g.port, "/socket/token?name=ann"), token.get(g.port, "/socket/token?name=bob")
    kill(g)
    g = start()
    local ann = assert(token.login(g.port, { token = first }))
    assert.same({ name = "ann" }, ann:rpc "whoami")
    assert.is_nil((token.login(g.port, { token = first })))
    kill(g)
    g = start()
    assert.is_nil((token.login(g.port, { token = first })))
    assert.same({ name = "bob" }, assert(token.login(g.port, { token = second })):rpc "whoami")
  end)

  it("keeps histories over kill -9: who comes back gets what it missed", function()
    local g = start()
    local ann = token.login(g.port)
    local epoch = rejoin(ann, "kept").epoch
    for i = 1, 3 do ann:publish("kept", i) end
    for i = 1, 3 do assert.equal(i, ann:message "kept") end
    kill(g)
    g = start()
    local again = token.login(g.port)
    local data = rejoin(again, "kept", 1, epoch)
    assert.same({ 3, epoch, true }, { data.offset, data.epoch, data.recovered })
    assert.same({ 2, 3 }, { (again:message "kept"), (again:message "kept") })
    again:publish("kept", 4)
    local m = assert(again:wait(function(message) return message.channel == "kept" end))
    assert.same({ 4, 4 }, { m.message, m.offset })
  end)

  it("forgets what is too old", function()
    local sites = { s = { path = "/", token = { ttl = "1s" }, channels = { ["kept*"] = { history = { size = 5, ttl = "1s" } } } } }
    local g = start { sites = sites }
    local ann = token.login(g.port)
    local epoch = rejoin(ann, "kept").epoch
    ann:publish("kept", 1)
    local late = token.get(g.port, "/socket/token")
    ann:close()
    require("spec.support.wait").for_true(function() return false end, 1.3)
    assert.is_nil((token.login(g.port, { token = late })))
    assert.is_not_equal(epoch, rejoin(token.login(g.port), "kept").epoch)
  end)

  it("is one gateway's, and says what is wrong with a file", function()
    start()
    local function refusal(store)
      local status, _, log = gateway.run({ "serve", "--conf", "@conf", "--scripts", "@scripts", "--listen", "127.0.0.1:0" },
        { gateway = { store = store }, sites = SITES, scripts = { s = SCRIPT } })
      assert.equal(2, status)
      return log
    end
    assert.truthy(refusal("sqlite:" .. dir .. "/store.db"):find("in use by another gateway", 1, true))
    tmp.write(dir .. "/text", ("no database "):rep(100))
    assert.truthy(refusal("sqlite:" .. dir .. "/text"):find("file is not a database", 1, true))
    assert.truthy(refusal("sqlite:" .. dir .. "/none/store.db"):find("unable to open database file", 1, true))
    local pipe = io.popen("stat -c %a " .. dir .. "/store.db")
    assert.equal("600", pipe:read("l"))
    pipe:close()
  end)

  it("says unavailable when the file may not grow, and goes on", function()
    local g = start { limits = { sqlite_size = "1M" }, sites = { s = { path = "/",
      channels = { ["kept*"] = { history = { size = 1000, ttl = "1m" } } } } } }
    local ann = token.login(g.port)
    assert.is_true(ann:subscribe "room")
    local refused
    for i = 1, 40 do
      ann:publish("kept" .. i, ("x"):rep(60000))
      refused = refused or ann:wait(function(m) return m.error == "unavailable" end, 0.02)
    end
    assert.is_truthy(refused)
    ann:publish("room", "still here")
    assert.equal("still here", ann:message "room")
    local admin = tonumber(g:output():match("admin on http://[^\n]*:(%d+)"))
    assert.truthy(http.get(admin, "/metrics").body:find('store_errors_total{store="sqlite"} %d+'))
  end)
end)
