-- SPDX-License-Identifier: MIT
-- A rate for each user: so many expensive calls in so many seconds, on all their sockets together. What is above is
-- answered with an error that a program can read.
--   six times client.rpc("report", null, function (err) { ... })    ->    err.code is "rate"

local cache = require "moonlatch.cache"

local site = {}

function site.authentication(req) return type(req.query.name) == "string" and { name = req.query.name } end

-- A controller that each user may call options.calls times in options.seconds.
local function limited(fn)
  return function(auth, data, socket)
    local used = cache.incr("calls:" .. auth.name, 1, site.options.seconds) -- its time begins with the first
    if used > site.options.calls then
      return nil, { code = "rate", message = ("%d calls in %d seconds"):format(site.options.calls, site.options.seconds) }
    end
    return fn(auth, data, socket)
  end
end

site.controllers = {
  report = limited(function(auth) return "a long report for " .. auth.name end),
  cheap = function() return "as often as you like" end,
}

return site
