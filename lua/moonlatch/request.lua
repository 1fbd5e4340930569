-- SPDX-License-Identifier: MIT
-- The request that asks to be let in, as site.authentication sees it: method, path, query, headers,
-- cookies, ip, ips, host, session, body. The C core gives the rest; here the query and the cookies
-- are read.

local query = require "moonlatch.query"

local request = {}

-- Completes what the core gave. nil and a reason when the request holds too much.
function request.complete(req, limits)
  local parsed, problem = query.parse(req.querystring or "", limits.max_query_params)
  if not parsed then return nil, problem end
  local cookies
  cookies, problem = query.cookies(req.headers.cookie or "", limits.max_cookie_bytes)
  if not cookies then return nil, problem end
  req.query, req.cookies = parsed, cookies
  return req
end

-- The same for the request that opened a socket, whatever it holds.
function request.describe(req, limits)
  req.query = query.parse(req.querystring or "", limits.max_query_params) or {}
  req.cookies = query.cookies(req.headers.cookie or "", limits.max_cookie_bytes) or {}
  return req
end

return request
