-- SPDX-License-Identifier: MIT
-- The gateway of live specs ends with the process that runs them, however that ends.

local socket = require "socket"

local RUN = [[
local conf = require "moonlatch.spec.conf"
local started = require("moonlatch.spec.gateway").start("demo", conf.merged("demo", {}, {}), "memory")
print(started.process.pid, started.dir)
io.stdout:flush()
require("socket").sleep(10)
]]

local function alive(pid)
  local file = io.open("/proc/" .. pid .. "/stat")
  if not file then return false end
  local stat = file:read("a")
  file:close()
  return not stat:find("%) [ZX] ")
end

describe("a live gateway", function()
  it("ends when the process that runs the specs is killed", function()
    local pipe = assert(io.popen(([[echo $$; LUA_PATH='./lua/?.lua;;' MOONLATCH_LIVE='%s' exec lua5.4 -e '%s' 2>/dev/null]])
      :format(os.getenv "MOONLATCH", RUN)))
    local runner = pipe:read("n")
    local pid, dir = pipe:read("n"), pipe:read("l"):match("%S+")
    finally(function()
      if alive(pid) then os.execute("kill " .. pid) end
      os.execute("rm -rf '" .. dir .. "'")
      pipe:close()
    end)
    assert.is_true(alive(pid))
    os.execute("kill -9 " .. runner)
    local ends = socket.gettime() + 5
    while alive(pid) and socket.gettime() < ends do socket.sleep(0.01) end
    assert.is_false(alive(pid))
  end)
end)
