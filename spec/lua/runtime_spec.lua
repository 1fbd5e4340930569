-- SPDX-License-Identifier: MIT
-- The runtime library as a whole, over a fake core: calls, routes, logins, and what it says of scripts
-- that are wrong.

local fake = require "spec.support.core"
local runtime = require "moonlatch.runtime"

local function start(site, files)
  local core = fake.new()
  return runtime.start(core, site, files or {}, "scripts/x/init.lua"), core
end

-- The results of a task that has ended.
local function results(task)
  assert(task.results, "the task still waits")
  if not task.results[1] then error(task.results[2], 0) end
  return table.unpack(task.results, 2, task.results.n)
end

describe("calls", function()
  it("go to routes, then controllers, then files", function()
    local function answer(text) return function() return text end end
    local entries = start({
      routes = { a = function(_, res) res:json("route") end },
      controllers = { a = answer "table", b = answer "table", c = { x = answer "table" } },
    }, { a = answer "file", b = answer "file", c = { y = answer "file" }, d = answer "file" })
    for name, expected in pairs { a = "route", b = "table", ["c.x"] = "table", ["c.y"] = "file", d = "file" } do
      assert.equal(expected, (entries.call(name, {}, nil, fake.socket {})))
    end
  end)

  it("give auth, data and socket, and take all results", function()
    local entries = start { controllers = { f = function(...) return nil, { ... } end } }
    local socket = fake.socket {}
    assert.same({ nil, { "auth", "data", socket } }, { entries.call("f", "auth", "data", socket) })
  end)

  it("find nothing by names that are too long or have too many parts", function()
    local name = ("x"):rep(129)
    local entries = start { controllers = { [name] = print } }
    assert.same({ nil, "Function not found" }, { entries.call(name) })
    assert.same({ nil, "Function not found" }, { entries.call(("a."):rep(8) .. "a") })
  end)
end)

describe("routes", function()
  local function route(f, data, auth)
    local entries, core = start { routes = { r = f } }
    local task = core.run(entries.call, "r", auth, data, fake.socket(auth))
    return task, core
  end
  local json_headers = { ["content-type"] = "application/json" }

  it("see the call as a request", function()
    local seen
    route(function(req, res) seen = req; res:json() end, { id = 1 }, { name = "ann" })
    assert.equal(seen.body, seen.query)
    assert.equal(seen.body, seen.params)
    assert.equal(seen.user, seen.session)
    assert.same({ "post", "ws", "/", 1, "ann", "chat.example.com:8080", "chat.example.com", "192.0.2.1" },
      { seen.method, seen.protocol, seen.originalUrl, seen.body.id, seen.user.name, seen.host, seen.hostname, seen.ip })
    route(function(req) seen = req end)
    assert.same({}, seen.params)
  end)

  it("shape what was answered", function()
    assert.same({ a = 1, _code = 200, _headers = json_headers }, (results(route(function(_, res) res:json { a = 1 } end))))
    assert.same({ 1, 2 }, (results(route(function(_, res) res:json { 1, 2 } end))))
    assert.same({ nil, "no" }, { results(route(function(_, res) res:status(500):json { error = "no", x = 1 } end)) })
    assert.same({ nil, { x = 1, _code = 404, _headers = json_headers } },
      { results(route(function(_, res) res:status(404):json { x = 1 } end)) })
    assert.same({ nil, { 1 } }, { results(route(function(_, res) res:status(300):json { 1 } end)) })
    assert.same({ _code = 200, _headers = { ["content-type"] = "text/plain", ["x-a"] = "1" } },
      (results(route(function(_, res) res:type("text/plain"):set { ["X-A"] = 1 }:json {} end))))
  end)

  it("do not change the table that was answered", function()
    local value = { a = 1 }
    route(function(_, res) res:json(value) end)
    assert.same({ a = 1 }, value)
  end)

  it("may answer later, but not too late", function()
    local later
    local task = route(function(_, res) later = res end)
    assert.is_nil(task.results)
    later:json("now")
    assert.equal("now", (results(task)))
    local silent, core = route(function() end)
    core.pass(11)
    assert.same({ nil, "timeout" }, { results(silent) })
  end)

  it("refuse what no header or status can be", function()
    for _, misuse in ipairs {
      function(res) res:status(99) end, function(res) res:status("200") end, function(res) res:set("a b", "x") end,
      function(res) res:set("a", "x\r\ny: z") end, function(res) res:set("a", nil) end, function(res) res:set("Content-Length", "1") end,
    } do
      assert.has_error(function() results(route(function(_, res) misuse(res) end)) end)
    end
  end)
end)

describe("logins", function()
  local function login(site, request, token_route)
    local entries = start(site)
    request = request or {}
    request.headers = request.headers or {}
    return entries.login(request, token_route ~= false)
  end

  it("are judged by the results of authentication", function()
    local function with(...)
      local given = table.pack(...)
      return { authentication = function() return table.unpack(given, 1, given.n) end }
    end
    assert.same({ "admitted", { a = 1 } }, { login(with { a = 1 }) })
    assert.same({ "refused" }, { login(with(false)) })
    assert.same({ "refused" }, { login(with(nil)) })
    assert.same({ "refused" }, { login(with()) })
    assert.same({ "failed", "why" }, { login(with(nil, "why")) })
    assert.same({ "failed", "7" }, { login(with(nil, 7)) })
    assert.same({ "failed", "why" }, { login(with(nil, { message = "why" })) })
    assert.has_error(function() login(with(true)) end)
  end)

  it("take the session for true, for a field's name, and by default for auth", function()
    local function site(authentication, session)
      return { authentication = authentication, customMiddleware = function(req) req.session = session end }
    end
    assert.same({ "admitted", { x = 1 } }, { login(site(function() return true end, { x = 1 })) })
    assert.same({ "admitted", { user = 1 } }, { login(site("user", { user = 1 })) })
    assert.same({ "refused" }, { login(site("user", { user = false })) })
    assert.same({ "refused" }, { login(site("user", nil)) })
    assert.same({ "admitted", { auth = true } }, { login(site(nil, { auth = true })) })
    assert.same({ "refused" }, { login({}) })
  end)

  it("see the query and the cookies", function()
    local seen
    login({ authentication = function(req) seen = req end },
      { querystring = "a[b]=1", headers = { cookie = "c=d" } })
    assert.same({ { a = { b = "1" } }, { c = "d" } }, { seen.query, seen.cookies })
    assert.same({ "answered", 400, { ["content-type"] = "application/json; charset=utf-8" },
      '{"error":"too many parameters"}' }, { login({}, { querystring = ("a&"):rep(33) }) })
  end)

  it("may be answered by the middleware, on the token route only", function()
    local site = { customMiddleware = function(_, res) res:status(418):set("X-A", "b"):send("tea") end,
      authentication = function() return {} end }
    assert.same({ "answered", 418, { ["x-a"] = "b", ["content-type"] = "text/plain; charset=utf-8" }, "tea" }, { login(site) })
    assert.equal("admitted", (login(site, {}, false)))
  end)
end)

describe("a site's table", function()
  it("is checked when it starts", function()
    for field, value in pairs { authentication = 5, customMiddleware = "x", controllers = print, routes = 1, filter = {},
      setup = true, ping = "yes" } do
      local ok, err = pcall(start, { [field] = value })
      assert.is_false(ok)
      assert.is_truthy(err:find("scripts/x/init.lua: site." .. field, 1, true), err)
    end
  end)

  it("sets the filter and the listeners", function()
    local function filter() end
    local _, core = start { filter = filter, setup = function(server) server:on("connect", print) end }
    assert.equal(filter, core.hooks.filter)
    assert.is_true(core.hooks.connect)
    core.server:publishFilter(nil)
    assert.is_false(core.hooks.filter)
    assert.has_error(function() core.server:publishFilter("x") end)
  end)
end)
