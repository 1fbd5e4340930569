-- SPDX-License-Identifier: MIT
-- The program of fault_proxy.lua: lua5.4 fault_proxy_main.lua TARGET_PORT. Prints its two ports, that
-- for clients and that for commands.

local socket = require "socket"

local BUFFER = 262144 -- bytes that wait in one direction

local target = tonumber(arg[1])
local clients = assert(socket.bind("127.0.0.1", 0, 1024))
local commands = assert(socket.bind("127.0.0.1", 0))
local mode, rate, swallow = "pass", nil, 0
local count = { connections = 0, up = 0, down = 0 }
local pairs_open = {} -- a pair of sides; a side: sock, other, buffer, direction
local sides = {}      -- sock -> side
local controls = {}

for _, s in ipairs { clients, commands } do s:settimeout(0) end
io.stdout:write(select(2, clients:getsockname()), " ", select(2, commands:getsockname()), "\n")
io.stdout:flush()

local function close(pair, how)
  for _, side in ipairs { pair.client, pair.server } do
    if how == "rst" then side.sock:setoption("linger", { on = true, timeout = 0 }) end
    side.sock:close()
    sides[side.sock] = nil
  end
  pairs_open[pair] = nil
end

local function refuse(sock)
  sock:setoption("linger", { on = true, timeout = 0 })
  sock:close()
end

local function accept()
  local sock = clients:accept()
  if not sock then return end
  count.connections = count.connections + 1
  if mode == "refuse" then return refuse(sock) end
  local server = socket.connect("127.0.0.1", target)
  if not server then return refuse(sock) end
  for _, s in ipairs { sock, server } do
    s:settimeout(0)
    s:setoption("tcp-nodelay", true)
  end
  local client = { sock = sock, buffer = "", direction = "up" }
  local back = { sock = server, buffer = "", direction = "down" }
  client.other, back.other = back, client
  local pair = { client = client, server = back, dead = mode == "blackhole" }
  client.pair, back.pair = pair, pair
  sides[sock], sides[server] = client, back
  pairs_open[pair] = true
end

-- Whether bytes that come from this side go nowhere for now.
local function held(side)
  return side.pair.dead or mode == "stall" or mode == "stall_" .. side.direction
end

local function read(side)
  local bytes, err, partial = side.sock:receive(65536)
  bytes = bytes or partial
  if side.direction == "down" and swallow > 0 then
    local n = math.min(swallow, #bytes)
    swallow, bytes = swallow - n, bytes:sub(n + 1)
  end
  count[side.direction] = count[side.direction] + #bytes
  side.other.buffer = side.other.buffer .. bytes
  if err == "closed" then side.ended = true end
end

local function write(side)
  local piece = rate and side.buffer:sub(1, math.max(1, rate // 50)) or side.buffer
  local sent, err, partial = side.sock:send(piece)
  side.buffer = side.buffer:sub((sent or partial or 0) + 1)
  if rate then side.rests_until = socket.gettime() + 0.02 end
  if err == "closed" then close(side.pair, "fin") end
end

local function obey(line)
  local word, number = line:match("^(%S+)%s*(%d*)")
  if word == "rst" or word == "fin" then
    for pair in pairs(pairs_open) do close(pair, word) end
  elseif word == "half_dead" then
    for pair in pairs(pairs_open) do pair.dead = true end
    mode = "pass"
  elseif word == "slow" then
    rate = tonumber(number)
  elseif word == "drop_reply" then
    swallow = tonumber(number)
  elseif word ~= "stat" then
    mode, rate = word, nil
    if word == "pass" then
      for pair in pairs(pairs_open) do pair.dead = false end
    end
  end
  local open = 0
  for _ in pairs(pairs_open) do open = open + 1 end
  return ("mode=%s connections=%d open=%d up=%d down=%d\n"):format(mode, count.connections, open, count.up, count.down)
end

local function command(sock)
  local line, err = sock:receive("*l")
  if line then sock:send(obey(line)) end
  if err == "closed" then
    controls[sock] = nil
    sock:close()
  end
end

local function interests()
  local readers, writers, now, patience = { clients, commands }, {}, socket.gettime(), nil
  for sock in pairs(controls) do readers[#readers + 1] = sock end
  for sock, side in pairs(sides) do
    if not held(side) and not side.ended and #side.other.buffer < BUFFER then readers[#readers + 1] = sock end
    if side.buffer ~= "" and not held(side.other) then
      if (side.rests_until or 0) <= now then writers[#writers + 1] = sock else patience = 0.02 end
    end
  end
  return readers, writers, patience
end

while true do
  local readable, writable = socket.select(interests())
  for _, sock in ipairs(writable) do
    if sides[sock] then write(sides[sock]) end
  end
  for _, sock in ipairs(readable) do
    if sock == clients then accept()
    elseif sock == commands then
      local c = commands:accept()
      if c then controls[c] = true end
    elseif controls[sock] then command(sock)
    elseif sides[sock] then read(sides[sock]) end
  end
  for _, side in pairs(sides) do
    if side.ended and side.other.buffer == "" then
      close(side.pair, "fin")
      break
    end
  end
end
