-- SPDX-License-Identifier: MIT
-- An HTTP backend that behaves and misbehaves as its paths say, in a process of its own (backend_main.lua):
--     local b = backend.start()    b.url .. "/echo"    b:requests()    after_each(backend.stop_all)

local process = require "spec.support.process"
local tmp = require "spec.support.tmp"

local backend = {}
local running = {}

local instance = {}
instance.__index = instance

function backend.start()
  local b = setmetatable({}, instance)
  local line
  b.process, b.dir, line = process.program("backend_main")
  running[b] = true
  b.port = tonumber(line)
  b.url = "http://127.0.0.1:" .. b.port
  return b
end

-- What came so far, one text each: "GET /path", and the number of connections.
function instance:requests()
  local list, connections = {}, 0
  for line in tmp.read(self.dir .. "/out"):gmatch("[^\n]+") do
    if line:find("^request ") then list[#list + 1] = line:sub(9) end
    if line == "connection" then connections = connections + 1 end
  end
  return list, connections
end

function instance:stop()
  running[self] = nil
  self.process:stop("KILL")
  tmp.remove(self.dir)
end

function backend.stop_all()
  for b in pairs(running) do b:stop() end
end

return backend
