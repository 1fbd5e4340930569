-- SPDX-License-Identifier: MIT
-- moonlatch.spec: tests of a site's script, without a server or against a real one. For busted:
--
--   local spec = require "moonlatch.spec"
--   describe("shop", function()
--     local site
--     before_each(function() site = spec.site "shop" end)
--     after_each(function() site:close() end)
--     it("greets", function()
--       local ann = assert(site:connect { query = { name = "ann" } })
--       assert.equal("hello, ann", ann:rpc "greet")
--     end)
--   end)
--
-- The script and the runtime library are the ones that ship. Without a server time is virtual: it jumps to
-- what comes next. With MOONLATCH_LIVE=path of the gateway (moonlatch test --live) the same calls go to a
-- gateway on a free port, over real connections.
--
-- Which files: scripts/NAME (MOONLATCH_SCRIPTS/NAME), and sites/NAME.lua in MOONLATCH_CONF, conf or
-- conf/examples.

local spec = {}

-- Whether specs run against a real gateway.
spec.live = (os.getenv "MOONLATCH_LIVE" or "") ~= ""

local driver = require(spec.live and "moonlatch.spec.live" or "moonlatch.spec.world")
local backends = spec.live and driver or require "moonlatch.spec.http"

-- json.null, empty_array, array_mt, encode and decode, as scripts have them.
spec.json = require "moonlatch.spec.json"

-- Loads the site. options: { options = members of site.options that differ, conf = keys of its conf that
-- differ, store = "redis" }. Raises "file:line: reason" when the gateway would not load it. The site:
--
--   site:connect { query =, headers =, cookies =, ip =, endpoint =, auth = }   a client that is logged in, or nil, reason. auth:
--                                         this is socket.auth, without asking authentication
--   site:token { query =, ... }           a login token, or nil, status, body
--   site:pass(seconds), site:now()        time
--   site:publish(channel, value), site:broadcast(value)   as the script would
--   site:sockets(), site:channels(), site:members(channel)   sids and names
--   site.log                              what the script wrote, and errors: { level =, text =, traceback = }
--   site:close { leaks = true }           ends it; raises when the script left tasks, delays or calls behind, unless told
--                                         to let it
--
-- A client:
--
--   client.sid, client.auth, client.closed   { code =, reason = } once it is closed
--   client:rpc(name, data)                value, or nil and the error
--   client:start(name, data)              the same without waiting: call.done, call:result()
--   client:on(name, fn)                   answers socket:rpc(name): fn(args) gives a value, or nil and an error
--   client:subscribe(channel), unsubscribe(channel), publish(channel, data), broadcast(data)   true, or nil and the error
--   client:receive(seconds)               { channel =, data = }; of a raw endpoint the data, and whether it is binary; or
--                                         nil, "timeout" or "closed". Without seconds: until one comes
--   client:messages()                     all that came and were not received
--   client:send(data, binary)             on a raw endpoint
--   client:close()
function spec.site(name, options)
  local ok, site = pcall(driver.new, name, options or {})
  if not ok then error(site, 2) end
  return site
end

-- A backend for moonlatch.http: its URL. answer(req) gets { method =, path =, query =, headers =, body =, json = } and gives
-- { status = 200, headers =, json = | body = }, or nil: it never answers.
function spec.backend(answer)
  return backends.backend(answer)
end

return spec
