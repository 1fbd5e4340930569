-- SPDX-License-Identifier: MIT
-- Judges a request that asks to be let in: the token route (after site.customMiddleware), or the
-- opening of an endpoint with auth = "request".
--   authentication(req) returns   a table: it becomes socket.auth     true: req.session does
--                                 false or nil: refused               nil, err: failed; err may be a table
--                                 { message =, data = }, whose data clients of Socket.IO read
--   authentication = "name"       req.session[name] must be true-ish  (nothing given: "auth")

local request = require "moonlatch.request"
local response = require "moonlatch.response"

local login = {}

local function error_text(err)
  if type(err) == "table" then err = err.message end
  if type(err) == "number" then return tostring(err) end
  return type(err) == "string" and err or "authentication failed"
end

-- A result of true, and the string form, take the session's data.
local function session_of(req)
  if type(req.session) ~= "table" then
    error("authentication asks for req.session, which is " .. type(req.session), 0)
  end
  return req.session
end

local function judge(authentication, req)
  if type(authentication) == "function" then
    local auth, err = authentication(req)
    if type(auth) == "table" then return "admitted", auth end
    if auth then return "admitted", session_of(req) end
    if err ~= nil then return "failed", error_text(err), type(err) == "table" and err.data or nil end
    return "refused"
  end
  local session = req.session
  if type(session) == "table" and session[authentication or "auth"] then return "admitted", session end
  return "refused"
end

-- What res holds, for HTTP: status, headers, body.
local function answered(core, res)
  local value = res.value
  local status, headers = response.check(res)
  local kind, body
  if res.plain then
    kind, body = "text/plain; charset=utf-8", value
  else
    kind, body = "application/json; charset=utf-8", value == nil and "" or core.json.encode(value)
  end
  headers["content-type"] = headers["content-type"] or kind
  return "answered", status, headers, body
end

-- The outcome and what belongs to it: "admitted", auth; "refused"; "failed", text, data;
-- "answered", status, headers, body.
function login.judge(core, site, raw, token_route)
  local req, problem = request.complete(raw, core.limits)
  if not req then
    local res = response.new()
    res:status(400):json { error = problem }
    return answered(core, res)
  end
  if token_route and site.customMiddleware then
    local res = response.new()
    site.customMiddleware(req, res)
    if res.answered then return answered(core, res) end
  end
  return judge(site.authentication, req)
end

return login
