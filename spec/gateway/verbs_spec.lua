-- SPDX-License-Identifier: MIT
-- The command line: what each verb takes and says, and the two that are for authors, new and test.

local gateway = require "spec.support.gateway"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"

local VERBS = { "serve", "check", "conf", "new", "test", "reload", "rollback", "call", "publish", "sockets", "channels", "stat",
  "explain", "console" }

-- Runs a command line of the shell in dir, where $MOONLATCH is the binary: its status and all output.
local function shell(dir, command)
  local binary = gateway.binary()
  if not binary:find("^/") then
    local pwd = assert(io.popen("pwd"))
    binary = pwd:read("l") .. "/" .. binary
    pwd:close()
  end
  local pipe = assert(io.popen(("cd %s && MOONLATCH=%s && { %s; } 2>&1"):format(tmp.quote(dir), tmp.quote(binary), command)))
  local text = pipe:read("a")
  return select(3, pipe:close()), text
end

describe("the command line", function()
  it("has help for each verb, with its own options", function()
    for _, name in ipairs(VERBS) do
      local status, out, log = gateway.run { name, "--help" }
      assert.equal(0, status, log)
      assert.truthy(out:find("^usage: moonlatch " .. name), out)
      assert.truthy(out:find("\n  --help ", 1, true), out)
      assert.equal(out, (select(2, gateway.run { "help", name })))
      for line in out:gmatch("[^\n]+") do assert.is_true(#line <= 96, line) end
    end
    local function offers(name, option) return (select(2, gateway.run { name, "--help" })):find("  " .. option .. " ", 1, true) ~= nil end
    assert.is_true(offers("serve", "--listen"))
    assert.is_false(offers("stat", "--listen"))
    assert.is_true(offers("call", "--auth"))
    assert.is_false(offers("publish", "--auth"))
    assert.is_true(offers("test", "--live"))
    assert.is_true(offers("console", "-e"))
  end)

  it("takes options before and behind words, and what begins with a digit or stands behind -- as words", function()
    local where = { "--socket-path", "/nonexistent/socket" }
    for _, words in ipairs {
      { "publish", "lobby", "x" }, { "publish", "--site", "a", "lobby", "x" }, { "publish", "lobby", "--site=a", "-5" },
      { "publish", "--", "--lobby", "-x" }, { "publish", "-", "" },
    } do
      table.insert(words, 2, where[2])
      table.insert(words, 2, where[1])
      local status, _, log = gateway.run(words)
      assert.equal(1, status, table.concat(words, " ") .. ": " .. log)
      assert.truthy(log:find("no gateway answers at /nonexistent/socket", 1, true), log)
    end
  end)

  it("says what is wrong with it, with status 2", function()
    for words, hint in pairs {
      [{ "publish", "lobby" }] = "usage: moonlatch publish CHANNEL DATA [OPTION]",
      [{ "rollback" }] = "usage: moonlatch rollback SITE [OPTION]",
      [{ "stat", "x" }] = "usage: moonlatch stat [OPTION]",
      [{ "serve", "x" }] = "usage: moonlatch serve [OPTION]",
      [{ "stat", "--sitee", "a" }] = "unknown option '--sitee'; did you mean '--site'?",
      [{ "stat", "--listen", ":0" }] = "unknown option '--listen'",
      [{ "call", "x", "--auth", "{" }] = "--auth must be JSON",
      [{ "call", "x", "--auth", "{}", "--socket", "s" }] = "--socket or --auth, not both",
      [{ "explain", "subscrib", "x" }] = "unknown event 'subscrib'; did you mean 'subscribe'?",
      [{ "explain", "subscribe" }] = "explain subscribe takes CHANNEL [DATA]",
      [{ "explain", "broadcast", "x", "y" }] = "explain broadcast takes [DATA]",
      [{ "console", "-e" }] = "-e needs a value: CODE",
      [{ "consol" }] = "unknown verb 'consol'; did you mean 'console'?",
      [{ "stat", "--conf", "/nonexistent" }] = "there is no folder /nonexistent",
      [{ "stat", "--set", "admin.socket=off" }] = "admin.socket is off; use --url and --key",
      [{ "publish", "lobby", "\xff" }] = "arguments must be UTF-8",
      [{ "new", "../x" }] = "'../x' must be a name of at most 64 letters",
      [{ "test", "--scripts", "/nonexistent" }] = "there is no folder scripts here",
    } do
      local status, out, log = gateway.run(words)
      assert.equal(2, status, table.concat(words, " "))
      assert.equal("", out)
      assert.truthy(log:find(hint, 1, true), log)
    end
  end)
end)

describe("moonlatch new", function()
  local dir
  before_each(function() dir = tmp.dir() end)
  after_each(function() tmp.remove(dir) end)

  it("writes a site that passes check, and says how to go on", function()
    local status, text = shell(dir, "$MOONLATCH new shop")
    assert.equal(0, status, text)
    assert.equal([[
wrote conf/sites/shop.lua
wrote scripts/shop/init.lua
wrote scripts/shop/init_spec.lua

now:
  moonlatch check
  moonlatch test
  moonlatch serve --dev
]], text)
    for _, file in ipairs { "conf/sites/shop.lua", "scripts/shop/init.lua", "scripts/shop/init_spec.lua" } do
      local source = tmp.read(dir .. "/" .. file)
      assert.truthy(source:find("shop", 1, true), file)
      assert.falsy(source:find("NAME", 1, true) or source:find("SPDX", 1, true), file)
    end
    status, text = shell(dir, "$MOONLATCH check")
    assert.equal("conf: 1 site, nothing wrong\n", text)
    assert.equal(0, status)
    assert.equal(0, (shell(dir, "luacheck -q --std lua54+busted scripts conf")))
  end)

  it("writes rules that do what they say", function()
    shell(dir, "$MOONLATCH new shop")
    local g = gateway.start { dir = dir }
    local path = { path = "/shop/sockets", token_path = "/shop/socket/token" }
    local function login(name)
      path.query = "name=" .. name
      return token.login(g.port, path)
    end
    local ann, bob = assert(login("ann")), assert(login("bob"))
    assert.is_nil((login("")))
    assert.is_true((ann:subscribe("staff")))
    assert.equal("staff only", select(2, bob:subscribe("staff")))
    assert(bob:subscribe("lobby"))
    assert.equal("hello, ann", (ann:rpc("hello", { room = "lobby" })))
    assert.same({ text = "ann says hello" }, bob:message("lobby"))
    assert.equal("which room?", select(2, ann:rpc("hello", {})))
    gateway.stop_all()
  end)

  it("writes a spec that passes, and that notices when a rule is gone", function()
    shell(dir, "$MOONLATCH new shop")
    local status, text = shell(dir, "$MOONLATCH test")
    assert.equal(0, status, text)
    assert.truthy(text:find("3 successes / 0 failures / 0 errors", 1, true), text)
    local path = dir .. "/scripts/shop/init.lua"
    local source, count = tmp.read(path):gsub('return data.channel ~= "staff" or is_staff%(socket.auth%)', "return true")
    assert.equal(1, count)
    tmp.write(path, source)
    status, text = shell(dir, "$MOONLATCH test")
    assert.equal(1, status, text)
    assert.truthy(text:find("shop keeps the staff room for the staff", 1, true), text)
  end)

  it("writes where it is told to, beside what there is", function()
    local status, text = shell(dir, "$MOONLATCH new a --conf etc --scripts lib/rules && $MOONLATCH new b-2 --conf etc --scripts lib/rules")
    assert.equal(0, status, text)
    assert.truthy(text:find("  moonlatch test --conf etc --scripts lib/rules\n", 1, true), text)
    status, text = shell(dir, "$MOONLATCH check --conf etc --scripts lib/rules")
    assert.equal(0, status, text)
    assert.equal("etc: 2 sites, nothing wrong\n", text)
  end)

  it("overwrites nothing, and then writes nothing", function()
    tmp.write(dir .. "/scripts/shop/init.lua", "precious")
    local status, text = shell(dir, "$MOONLATCH new shop")
    assert.equal(1, status)
    assert.equal("moonlatch: scripts/shop/init.lua: is there already; nothing was written\n", text)
    assert.equal("precious", tmp.read(dir .. "/scripts/shop/init.lua"))
    assert.is_nil(tmp.read(dir .. "/conf/sites/shop.lua"))
    assert.equal(0, (shell(dir, "$MOONLATCH new other")))
    assert.equal(1, (shell(dir, "$MOONLATCH new other")))
  end)
end)

describe("moonlatch test", function()
  local dir

  local SPEC = [[
describe("it", function()
  it("is told where things are", function()
    assert.equal(DIR .. "/conf", os.getenv("MOONLATCH_CONF"))
    assert.equal(DIR .. "/scripts", os.getenv("MOONLATCH_SCRIPTS"))
    assert.equal("5.4", _VERSION:match("%d.%d"))
    assert.is_function(require("moonlatch.lookup").find)
    LIVE
  end)
end)
]]

  local function write_spec(name, live)
    local values = { DIR = ("%q"):format(dir), LIVE = live or "assert.is_nil(os.getenv('MOONLATCH_LIVE'))" }
    tmp.write(dir .. "/scripts/" .. name, (SPEC:gsub("%f[%w_]%u+%f[^%w_]", values)))
  end

  before_each(function()
    dir = tmp.dir()
    tmp.write(dir .. "/conf/sites/.keep", "")
  end)
  after_each(function() tmp.remove(dir) end)

  it("runs the specs beside the scripts, or those that are named", function()
    write_spec("a/init_spec.lua")
    write_spec("b/more_spec.lua")
    tmp.write(dir .. "/scripts/b/other.lua", "error('no spec')")
    local status, text = shell(dir, "$MOONLATCH test")
    assert.equal(0, status, text)
    assert.truthy(text:find("2 successes / 0 failures / 0 errors", 1, true), text)
    status, text = shell(dir, "$MOONLATCH test scripts/b/more_spec.lua")
    assert.equal(0, status, text)
    assert.truthy(text:find("1 success /", 1, true), text)
  end)

  it("fails with a spec that fails", function()
    tmp.write(dir .. "/scripts/a/init_spec.lua", "it('fails', function() assert.is_true(false) end)")
    local status, text = shell(dir, "$MOONLATCH test")
    assert.equal(1, status, text)
  end)

  it("names the binary to specs with --live", function()
    write_spec("a/init_spec.lua", [[assert.truthy(io.popen(os.getenv("MOONLATCH_LIVE") .. " --version"):read("a"):find("^moonlatch %d"))]])
    local status, text = shell(dir, "$MOONLATCH test --live")
    assert.equal(0, status, text)
  end)

  it("says what is missing", function()
    tmp.write(dir .. "/scripts/.keep", "")
    local status, text = shell(dir, "$MOONLATCH test")
    assert.equal(2, status)
    assert.truthy(text:find("there are no specs: scripts/NAME/init_spec.lua", 1, true), text)
    write_spec("a/init_spec.lua")
    status, text = shell(dir, "PATH=/nonexistent $MOONLATCH test")
    assert.equal(2, status)
    assert.equal("moonlatch: busted is not installed: apt-get install lua-busted\n", text)
  end)
end)
