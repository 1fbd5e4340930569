-- SPDX-License-Identifier: MIT
-- A TCP proxy with faults, in a process of its own (fault_proxy_main.lua):
--     local p = fault_proxy.start(port)   clients connect to p.port      after_each(fault_proxy.stop_all)
--     p:set("stall")                      when it returns, that is in force
-- Modes: pass; stall, stall_up, stall_down (no bytes in this direction); refuse (new ones are reset);
-- blackhole (new ones are accepted and never answered); half_dead (those open now carry nothing more
-- and are not closed, new ones pass). At once: rst, fin (all that are open). slow N: bytes a second.
-- drop_reply N: swallows N bytes from the server. p:stat(): connections, open, up, down.

local socket = require "socket"
local process = require "spec.support.process"
local tmp = require "spec.support.tmp"

local fault_proxy = {}
local running = {}

local instance = {}
instance.__index = instance

function fault_proxy.start(target)
  local p = setmetatable({}, instance)
  local line
  p.process, p.dir, line = process.program("fault_proxy_main", tostring(target))
  running[p] = true
  local port, control = line:match("(%d+) (%d+)")
  p.port = tonumber(port)
  p.control = assert(socket.connect("127.0.0.1", tonumber(control)))
  p.control:settimeout(5)
  return p
end

function instance:set(command)
  assert(self.control:send(command .. "\n"))
  return assert(self.control:receive("*l"))
end

function instance:stat()
  local figures = {}
  for name, value in self:set("stat"):gmatch("(%w+)=(%d+)") do figures[name] = tonumber(value) end
  return figures
end

function instance:stop()
  running[self] = nil
  self.control:close()
  self.process:stop("KILL")
  tmp.remove(self.dir)
end

function fault_proxy.stop_all()
  for p in pairs(running) do p:stop() end
end

return fault_proxy
