-- SPDX-License-Identifier: MIT
-- An HTTP backend that behaves and misbehaves as its paths say, in a process of its own (backend_main.lua):
--     local b = backend.start()    b.url .. "/echo"    b:requests()    after_each(backend.stop_all)

local process = require "spec.support.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local backend = {}
local running = {}

local instance = {}
instance.__index = instance

function backend.start()
  local b = setmetatable({ dir = tmp.dir() }, instance)
  b.process = process.start({ "lua5.4", "spec/support/backend_main.lua" }, b.dir .. "/out", b.dir .. "/log")
  running[b] = true
  assert(wait.for_true(function() return (tmp.read(b.dir .. "/out") or ""):find("\n") end, 5),
    "no backend: " .. (tmp.read(b.dir .. "/log") or ""))
  b.port = tonumber(tmp.read(b.dir .. "/out"):match("%d+"))
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
