-- SPDX-License-Identifier: MIT
-- The program of backend.lua. Prints its port, and then a line for each connection and each request.

local json = require "dkjson"
local socket = require "socket"

local server = assert(socket.bind("127.0.0.1", 0, 256))
server:settimeout(0)
local function say(text)
  io.stdout:write(text, "\n")
  io.stdout:flush()
end
say((select(2, server:getsockname())))

local clients = {} -- sock -> { buffer =, out =, drip = }

local function answer(status, body, headers)
  local lines = { "HTTP/1.1 " .. status .. " Whatever", "content-length: " .. #body }
  for _, header in ipairs(headers or {}) do lines[#lines + 1] = header end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

local told = {}

-- path -> function(client, request): the bytes to send, and whether to close then
local PATHS = {
  ["/echo"] = function(_, r) return answer(200, json.encode(r), { "content-type: application/json" }) end,
  ["/hang"] = function() return "" end,
  ["/drip"] = function(c)
    c.drip = answer(200, ("x"):rep(100))
    return ""
  end,
  ["/reset"] = function(c)
    c.sock:setoption("linger", { on = true, timeout = 0 })
    return "", true
  end,
  ["/close"] = function() return "HTTP/1.1 200 OK\r\n\r\nuntil the end", true end,
  ["/cut"] = function() return "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this", true end,
  ["/garbage"] = function() return "\0\1\2 this is no HTTP\r\n\r\n" end,
  ["/extra"] = function() return answer(200, "fine") .. "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil" end,
  ["/chunked"] = function()
    return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n"
  end,
  ["/both"] = function()
    return "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
  end,
  ["/interim"] = function() return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" .. answer(200, "after") end,
  ["/interims"] = function() return ("HTTP/1.1 100 Continue\r\n\r\n"):rep(1000) .. answer(200, "after") end,
  ["/switch"] = function() return "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" end,
  ["/redirect"] = function() return answer(302, "", { "location: http://169.254.169.254/" }) end,
  ["/cookies"] = function() return answer(200, "", { "set-cookie: a=1", "Set-Cookie: b=2", "x-a: 1", "X-A: 2" }) end,
  ["/large"] = function() return "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n" .. ("x"):rep(1000) end,
  ["/endless"] = function() return "HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(3000000) end,
  ["/headers"] = function() return answer(200, "", { ("x-a: " .. ("x"):rep(1000)):rep(1), "x-b: " .. ("y"):rep(20000) }) end,
  -- what the request's body says, to the byte; with ?close the end comes behind it, with ?reset that is none
  ["/raw"] = function(c, r)
    if r.query == "reset" then c.reset = true end
    return r.body, r.query ~= nil
  end,
  -- a moment later comes what nobody asked for: with ?junk an answer, else the end
  ["/late"] = function(c, r)
    c.late = r.query == "junk" and answer(200, "evil") or ""
    return answer(200, "fine")
  end,
  -- judges a login by its token: a status and the body, in which $meta, $scheme and $cookie stand for what came
  ["/auth"] = function(_, r)
    local scheme, said = (r.headers.authorization or ""):match("^(%S+) ?(.*)$")
    local code, body = said:match("^(%d+) (.*)$")
    if said == "hang" then return "" end
    local came = { meta = r.headers["x-meta"], scheme = scheme, cookie = r.headers.cookie or "none", token = said }
    return answer(tonumber(code or 200), ((body or '["user_1","<$token>"]'):gsub("%$(%a+)", came)), { "content-type: application/json" })
  end,
  -- keeps what it is told of users: the answer to GET /users
  ["/users"] = function() return answer(200, json.encode(told)) end,
  ["/once"] = function() return answer(200, "once"), true end, -- keep-alive by its words, and closes
}

local function respond(c, request)
  say("request " .. request.method .. " " .. request.target)
  local status = request.path:match("^/status/(%d+)$")
  if status then return answer(tonumber(status), request.method == "HEAD" and "" or "status " .. status) end
  if request.method == "PUT" and request.path:find("^/users/") then
    told[#told + 1] = { path = request.path, authorization = request.headers.authorization, type = request.headers["content-type"],
      body = request.body }
    return answer(request.path:find "fail" and 500 or 200, "")
  end
  local size = request.path:match("^/size/(%d+)$")
  if size then return answer(200, ("x"):rep(tonumber(size))) end
  local make = PATHS[request.path]
  if make then return make(c, request) end
  return answer(404, "no such page")
end

-- Takes a whole request off the buffer, or nil.
local function take(c)
  local head, rest = c.buffer:match("^(.-\r\n)\r\n(.*)$")
  if not head then return nil end
  local headers = {}
  for name, value in head:gmatch("\r\n([^:\r\n]+): ?([^\r\n]*)") do headers[name:lower()] = value end
  local length = tonumber(headers["content-length"] or 0)
  if #rest < length then return nil end
  c.buffer = rest:sub(length + 1)
  local method, target = head:match("^(%S+) (%S+)")
  return { method = method, target = target, path = target:match("^[^?]*"), query = target:match("%?(.*)$"), headers = headers,
    body = rest:sub(1, length) }
end

local function close(c)
  clients[c.sock] = nil
  c.sock:close()
end

local function read(c)
  local bytes, err, partial = c.sock:receive(65536)
  c.buffer = c.buffer .. (bytes or partial or "")
  local request = take(c)
  while request do
    local out, last = respond(c, request)
    c.out, c.last = c.out .. out, c.last or last
    if c.last and c.out == "" then return close(c) end
    request = take(c)
  end
  if err == "closed" then close(c) end
end

local function say_late(c)
  socket.sleep(0.005)
  if c.late == "" then c.last = true end
  c.sock:send(c.late)
  c.late = nil
end

local function write(c)
  local sent, err, partial = c.sock:send(c.out)
  c.out = c.out:sub((sent or partial or 0) + 1)
  if c.out == "" and c.late then say_late(c) end
  if c.out == "" and c.reset then
    socket.sleep(0.02) -- what was sent is read before the reset comes
    c.sock:setoption("linger", { on = true, timeout = 0 })
  end
  if err == "closed" or (c.out == "" and c.last) then close(c) end
end

while true do
  local readers, writers, patience = { server }, {}, nil
  for sock, c in pairs(clients) do
    readers[#readers + 1] = sock
    if c.drip and c.drip ~= "" then patience = 0.05 end
    if c.out ~= "" then writers[#writers + 1] = sock end
  end
  local readable, writable = socket.select(readers, writers, patience)
  if patience and #readable == 0 then
    for _, c in pairs(clients) do
      if c.drip then
        c.out, c.drip = c.out .. c.drip:sub(1, 1), c.drip:sub(2)
      end
    end
  end
  for _, sock in ipairs(writable) do
    if clients[sock] then write(clients[sock]) end
  end
  for _, sock in ipairs(readable) do
    if sock == server then
      local new = server:accept()
      if new then
        new:settimeout(0)
        clients[new] = { sock = new, buffer = "", out = "" }
        say("connection")
      end
    elseif clients[sock] then read(clients[sock]) end
  end
end
