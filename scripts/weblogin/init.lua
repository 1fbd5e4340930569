-- SPDX-License-Identifier: MIT
-- Login by HTTP: the backend that knows the session says who it is. What it said is kept for some seconds, so that
-- a page with many tabs asks once.
--   GET /weblogin/socket/token    cookie: session=...    ->   GET LOGIN_API/sessions/... -> { "name": "ann" }

local cache = require "moonlatch.cache"
local http = require "moonlatch.http"

local site = {}

function site.authentication(req)
  local session = req.cookies.session
  if not session or not session:find("^[%w_-]+$") or #session > 100 then return nil, "not logged in" end
  local user = cache.get("session:" .. session)
  if user then return user end
  local res, code = http.get(site.options.api .. "/sessions/{id}", { params = { id = session }, timeout = 2 })
  if not res then return nil, code end -- timeout, unavailable, busy: the visitor may try again
  if res.status ~= 200 then return false end
  user = res:json()
  if type(user) ~= "table" then return nil, "unavailable" end -- it is not itself
  cache.set("session:" .. session, user, 10)
  return user
end

site.controllers = { whoami = function(auth) return auth end }

return site
