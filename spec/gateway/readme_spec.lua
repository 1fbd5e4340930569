-- SPDX-License-Identifier: MIT
-- What the README says is what happens: its files are written, and its commands are run.

local gateway = require "spec.support.gateway"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

-- The fenced blocks of the README: { kind = "sh", name = what stands behind it, text = }.
local function blocks()
  local list = {}
  for kind, name, text in tmp.read("README.md"):gmatch("\n```(%w+) ?([^\n]*)\n(.-)\n```") do
    list[#list + 1] = { kind = kind, name = name, text = text }
  end
  return list
end

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a")
  return select(3, pipe:close()), text
end

describe("the README", function()
  local dir, here

  setup(function()
    dir = tmp.dir()
    here = select(2, run("pwd")):gsub("\n", "")
    for _, name in ipairs { "build", "lua" } do
      run(("ln -s '%s/%s' '%s/%s'"):format(here, name, dir, name))
    end
    run(("cp -r conf scripts '%s'"):format(dir))
    for _, block in ipairs(blocks()) do
      if block.name ~= "" then tmp.write(dir .. "/" .. block.name, block.text .. "\n") end
    end
  end)

  after_each(gateway.stop_all)
  teardown(function() tmp.remove(dir) end)

  for _, block in ipairs(blocks()) do
    if block.kind == "sh" then
      for command in block.text:gmatch("[^\n]+") do
        it("runs " .. command, function()
          local status, text = run(("cd '%s' && %s"):format(dir, command))
          assert.are.equal(0, status, text)
        end)
      end
    end
  end

  it("starts two nodes as it says, and the chat works across", function()
    local lines, ports, started = {}, {}, {}
    for _, block in ipairs(blocks()) do
      if block.kind == "bash" then
        for line in block.text:gmatch("[^\n]+") do lines[#lines + 1] = line end
      end
    end
    assert.are.equal(3, #lines)
    for _, port in ipairs { "6380", "8001", "8002" } do ports[port] = redis.free_port() end
    for i, line in ipairs(lines) do
      local command = line:gsub(" &$", ""):gsub("%d%d%d%d", function(port) return ports[port] and tostring(ports[port]) end)
      started[i] = process.start({ "bash", "-c", ("cd '%s' && exec %s"):format(dir, command) }, dir .. "/out" .. i,
        dir .. "/log" .. i)
    end
    local ok, err = pcall(function()
      for i = 2, 3 do
        assert.is_truthy(wait.for_true(function() return (tmp.read(dir .. "/log" .. i) or ""):find("moonlatch%-pushes") end))
      end
      local ann = assert(token.login(ports["8001"], { query = "name=ann" }))
      local bob = assert(token.login(ports["8002"], { query = "name=bob" }))
      assert(ann:subscribe("lobby") and bob:subscribe("lobby"))
      ann:publish("lobby", { text = "hello" })
      assert.are.equal("hello", bob:message("lobby").text)
      bob:publish("lobby", { text = "hello, ann" })
      assert.are.equal("hello", ann:message("lobby").text)
      assert.are.equal("hello, ann", ann:message("lobby").text)
      assert.are.equal(2, ann:rpc("rooms")[1].people)
    end)
    for i = #started, 1, -1 do started[i]:stop() end
    assert(ok, err)
  end)

  it("names files, and shows a conversation that works", function()
    local names = {}
    for _, block in ipairs(blocks()) do names[block.name] = true end
    assert.is_true(names["conf/sites/hello.lua"] and names["scripts/hello/init.lua"] and names["scripts/hello/init_spec.lua"])
    local g = gateway.start {
      sites = { hello = tmp.read(dir .. "/conf/sites/hello.lua") },
      scripts = { hello = tmp.read(dir .. "/scripts/hello/init.lua") },
    }
    local c = token.login(g.port, { path = "/hello/sockets", token_path = "/hello/socket/token", query = "name=ann" })
    assert.are.equal("hello, ann", c:rpc("greet", {}))
  end)

  it("names make targets that there are, and `make run` serves", function()
    local status, help = run("make help")
    assert.are.equal(0, status)
    for target in tmp.read("README.md"):gmatch("`make ([a-z]+)`") do
      assert.is_truthy(help:find("make " .. target, 1, true) or target == "help", target)
    end
    local pipe = assert(io.popen("echo $$; exec setpriv --pdeathsig TERM make run ARGS='--listen 127.0.0.1:0' 2>&1"))
    local pid = pipe:read("n", "l")
    local line
    repeat line = pipe:read("l") until not line or line:find("listening on http://127.0.0.1:%d+")
    run("kill -TERM $(pgrep -P " .. pid .. ")")
    pipe:close()
    assert.is_truthy(line)
  end)
end)
