-- SPDX-License-Identifier: MIT
-- Nodes are killed at random while messages are sent and acknowledged: what was answered with 200 comes,
-- nothing that was acknowledged in peace comes again. KILLS says how often (6).

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local redis = require "spec.support.redis"
local socketio = require "spec.support.socketio"

local KILLS = tonumber(os.getenv "KILLS") or 6
local KEY = ("k"):rep(32)

local SCRIPT = [[return { authentication = function() return { rooms = { "user_1", "staff" } } end }]]

local SITES = { shop = { push = { api_key = KEY, user_room_prefix = "user_" } } }

local function start_node(r)
  local node = gateway.start { gateway = { store = r:url() }, sites = SITES, scripts = { shop = SCRIPT } }
  assert(node:wait_log("connection=moonlatch-commands", 5))
  assert(node:wait_log("connection=moonlatch-pushes", 5))
  return node
end

-- Whether the node has taken the message; a node that is gone has not, or nobody knows.
local function send(node, n)
  local ok, answer = pcall(http.get, node.port, "/send?site=shop", {
    method = "POST", headers = { ["X-Api-Key"] = KEY, ["Content-Type"] = "application/json" },
    body = json.encode { rooms = n % 2 == 0 and "staff" or "user_1", event = n % 3 == 0 and "news" or "other", args = { n } } })
  return ok and answer and answer.status == 200
end

local device = {}
device.__index = device

local function device_open(seen)
  return setmetatable({ seen = seen, times = {} }, device)
end

function device:connect(node)
  self.c = socketio.open(node, { query = "&deviceId=A" })
  self.c:join "/shop"
  assert(self.c:receive():find "_settings", "no settings") -- the store knows it; a batch follows at once
end

function device:note(n)
  self.seen[n] = true
  self.times[n] = (self.times[n] or 0) + 1
end


-- Takes all that is there: the answer to a question of its own ends it.
function device:drain()
  pcall(self.c.send, self.c, '2/shop,7["end"]')
  while true do
    local packet = self.c:receive()
    if not packet then return false end
    if packet:find "^3/shop,7%[" then return true end
    local id, items = packet:match "^2/shop,(%d+)(.*)$"
    if id then
      local event = json.decode(items)
      for _, message in ipairs(event[1] == "_batch" and event[2] or { event }) do self:note(message[2]) end
      if not pcall(self.c.send, self.c, "3/shop," .. id .. "[]") then return false end
    end
  end
end

describe("messages that were accepted", function()
  after_each(gateway.stop_all)
  after_each(redis.stop_all)

  it("come, whichever node is killed", function()
    local r = redis.start()
    local nodes, accepted, seen, n = { start_node(r), start_node(r) }, {}, {}, 0
    local d = device_open(seen)
    d:connect(nodes[1])
    for _ = 1, KILLS do
      local victim = math.random(2)
      local at = math.random(20)
      for i = 1, 20 do
        n = n + 1
        if send(nodes[math.random(2)], n) then accepted[n] = true end
        if i == at then nodes[victim]:signal "KILL" end
      end
      nodes[victim]:wait_exit(5)
      nodes[victim] = start_node(r)
      if not d:drain() then d:connect(nodes[math.random(2)]) end
    end
    d:connect(nodes[1]) -- whatever is left comes as a batch
    assert.is_true(d:drain())
    local lost, count = {}, 0
    for i in pairs(accepted) do
      count = count + 1
      if not seen[i] then lost[#lost + 1] = i end
    end
    assert.same({}, lost)
    assert.is_true(count >= KILLS * 10, count .. " were accepted")
  end)
end)
