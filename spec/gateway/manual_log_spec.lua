-- SPDX-License-Identifier: MIT
-- "What the log tells" of scripts/README.md: all that its table names is caused here, and each of its lines has to be in
-- the log as it stands there, but for the numbers of lines.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local socketio = require "spec.support.socketio"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"

local SCRIPT = [[
local time = require "moonlatch.time"
local site = {}

function site.authentication() return { name = "ann" } end

site.controllers = {
  greet = function(auth) return nmae end,
  loop = function() while true do end end,
}

function site.filter()
  time.sleep(1)
  return true
end

function site.setup(server)
  server:on("subscribe", function(_, data)
    if data.channel == "lobby" then return true end
  end)
end

return site
]]

-- What the first column of the table shows.
local function shown()
  local section = tmp.read("scripts/README.md"):match "\n## What the log tells\n(.-)\n## "
  local list = {}
  for text in section:gmatch "\n| `([^\n]-)` | " do list[#list + 1] = text end
  return list
end

-- As a pattern for text that numbers may differ in, and where "..." stands for anything.
local function pattern_of(text)
  local pattern = text:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  return (pattern:gsub("%%%.%%%.%%%.", ".-"):gsub("init%%%.lua:%d+", "init%%.lua:%%d+"))
end

local EVIL = { Origin = "https://x.example" }

local function be_wrong(g)
  assert.equal(403, http.get(g.port, "/socket/token", { headers = EVIL }).status)
  assert.equal(403, http.get(g.port, "/socket/token?callback=f").status)
  token.connect(g.port):authenticate("53932aab-fbc1-4d14-9f1b-bb8a38dfaef4")
  token.connect(g.port):authenticate("ann")
  local ann = assert(token.login(g.port, {}))
  ann:rpc("gret")
  ann:rpc("quite.different")
  ann:rpc("greet")
  local io = socketio.open(g)
  io:join "/s"
  io:send '2/s,["mvoe"]'
  ann:subscribe("staff")
  assert.is_true((ann:subscribe("lobby")))
  ann:publish("lobby", "hello")
  for _ = 1, 6 do ann:rpc("loop") end
  assert.is_truthy(g:wait_log("may not wait in filter", 5))
  tmp.write(g.dir .. "/scripts/s/init.lua", "return {\n")
  g:signal("HUP")
  assert.is_truthy(g:wait_log("reload failed", 5))
end

describe("the manual's log", function()
  local g

  setup(function()
    g = gateway.start { sites = { s = { path = "/", token = { jsonp = false } } }, scripts = { s = SCRIPT } }
    be_wrong(g)
  end)
  teardown(gateway.stop_all)

  for _, text in ipairs(shown()) do
    it("has " .. text, function()
      local log = g:log()
      assert.is_truthy(log:find(pattern_of(text)), log)
    end)
  end

  it("shows lines at all", function() assert.is_true(#shown() >= 12) end)
end)
