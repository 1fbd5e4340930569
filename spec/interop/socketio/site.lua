-- SPDX-License-Identifier: MIT
-- What the clients talk to; reference.mjs does the same on a server from npm.

local json = require "moonlatch.json"
local time = require "moonlatch.time"

local site, server = {}, nil

-- Who connects: a client of Socket.IO 3 and 4 says it in its auth, an older one in its query.
function site.authentication(req)
  local name = req.auth and req.auth.name or req.query.name or "anon"
  if name == "unwelcome" then return nil, "not today" end
  if name == "banned" then return nil, { message = "banned", data = { code = 7, list = { "x", 1 } } } end
  if name == "slowly" then time.sleep(0.1) end
  return { name = name, via = req.query.via, header = req.headers["x-moon"] }
end

local function list(value) return type(value) == "table" and value or { value } end

-- To the rooms and not to those excepted; each is a name or a list of them.
local function audience(rooms, except)
  local all = server
  for _, room in ipairs(list(rooms)) do all = all:to(room) end
  for _, room in ipairs(list(except)) do all = all:except(room) end
  return all
end

site.events = {
  echo = function(_, ...) return ... end,
  back = function(socket, ...) socket:emit("back", ...) end,
  me = function(socket)
    local auth = socket.auth
    return { name = auth.name, via = auth.via, header = auth.header, namespace = socket.endpoint, site = site.options.name }
  end,
  sid = function(socket) return socket.sid end,
  slow = function(_, ms)
    time.sleep(ms / 1000)
    return "late"
  end,
  flip = function(_, picture) return #picture.bytes, json.bytes(picture.bytes:reverse()), { deep = { picture } } end,
  ask = function(socket, question, seconds)
    local answer, code = socket:rpc("question", question, { timeout = seconds or 5 })
    if answer == nil then return { failed = code } end
    return { answer = answer }
  end,
  count = function(socket, to)
    for i = 1, to do socket:emit("count", i) end
  end,
  murmur = function(socket, to)
    for i = 1, to do server:to(socket):volatile():emit("count", i) end
    return true
  end,
  join = function(socket, room) return socket:subscribe(room) end,
  leave = function(socket, room) return socket:unsubscribe(room) end,
  say = function(_, rooms, except, ...) return audience(rooms, except):emit("said", ...) end,
  others = function(socket, ...) return server:except(socket):emit("said", ...) end,
  all = function(_, ...) return server:emit("said", ...) end,
  publish = function(_, channel, value) return server:publish(channel, value) end,
  kick = function(socket) socket:close(4000, "kicked") end,
  kickAll = function(socket) socket:close(4000, "kicked", true) end,
  fail = function() error("on purpose") end,
}

site.controllers = {
  add = function(_, data)
    if type(data) ~= "table" or not data.a then return nil, "no numbers" end
    return data.a + data.b
  end,
}

function site.setup(s)
  server = s
  server:on("connect", function(socket)
    if socket.auth.name == "greeted" then socket:emit("hello", socket.endpoint) end
  end)
  server:on("disconnect", function(socket, _, reason)
    server:to("watch:" .. socket.auth.name):emit("gone", reason)
  end)
end

return site
