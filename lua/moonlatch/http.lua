-- SPDX-License-Identifier: MIT
-- moonlatch.http: requests to backends, which wait for the answer while others run. What a client gave may
-- stand in a query, a form, a JSON body, or in a place {name} of the path: there it is encoded, so that it
-- can change neither the host nor the shape of the path. Redirects are answers like any other.

local json = require "moonlatch.json"
local wire = require "moonlatch.http_wire"

local http = {}

-- ---- encoding ------------------------------------------------------------------------------------

-- escape("a/b c"): "a%2Fb%20c", as one part of a path or a query.
function http.escape(text)
  if type(text) ~= "string" then error("a text expected, got " .. type(text), 2) end
  return (text:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function plain(value, what, level)
  local kind = math.type(value) or type(value)
  if kind == "string" then return value end
  if kind == "integer" or kind == "boolean" then return tostring(value) end
  if kind == "float" then return ("%.17g"):format(value) end
  error(what .. ": a text or a number expected, got " .. kind, level + 1)
end

local function want_table(value, what, level)
  if value ~= nil and type(value) ~= "table" then error(what .. ": a table expected, got " .. type(value), level + 1) end
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function add_pairs(list, prefix, value, depth, level)
  if type(value) ~= "table" then
    list[#list + 1] = prefix .. "=" .. http.escape(plain(value, "query", level + 1))
    return
  end
  if depth > 8 then error("query: nested too deeply", level + 1) end
  for _, key in ipairs(sorted_keys(value)) do
    local name = http.escape(plain(key, "query", level + 1))
    add_pairs(list, prefix == "" and name or prefix .. "%5B" .. name .. "%5D", value[key], depth + 1, level + 1)
  end
end

-- encode { a = 1, b = { c = "x y" } }: "a=1&b%5Bc%5D=x%20y".
function http.encode(values)
  if type(values) ~= "table" then error("a table expected, got " .. type(values), 2) end
  local list = {}
  add_pairs(list, "", values, 1, 2)
  return table.concat(list, "&")
end

-- ---- requests ------------------------------------------------------------------------------------

-- One part of a path: nothing that leads elsewhere.
local function segment(value, name, level)
  local text = plain(value, "params." .. name, level + 1)
  if text == "" or text == "." or text == ".." then error("params." .. name .. " cannot stand in a path", level + 1) end
  return http.escape(text)
end

local function fill(path, params, level)
  local segments = {}
  for name in path:gmatch("{([%w_]+)}") do
    local value = params and params[name]
    if value == nil then error("params." .. name .. " is missing", level + 1) end
    segments[name] = segment(value, name, level + 1)
  end
  return (path:gsub("{([%w_]+)}", segments))
end

-- "http://host:port/path?query" in its parts. Places in the host are not filled: it is the author's.
local function parse(url, level)
  if type(url) ~= "string" then error("url: a text expected, got " .. type(url), level + 1) end
  local scheme, authority, rest = url:match("^(https?)://([^/?#]*)([^#]*)$")
  local host, port = (authority or ""):match("^([%w%-._]+):?(%d*)$")
  if not host then host, port = (authority or ""):match("^(%[[%x:.]+%]):?(%d*)$") end
  port = port ~= "" and tonumber(port) or (scheme == "https" and 443 or 80)
  if not host or port < 1 or port > 65535 or rest:find("[^!-~]") then
    error("url: not http://host[:port]/path: " .. url, level + 1)
  end
  if not rest:find("^/") then rest = "/" .. rest end
  return { tls = scheme == "https", host = host:match("^%[(.*)%]$") or host, authority = authority, port = port,
    path = rest:match("^[^?]*"), query = rest:match("%?(.*)$") }
end

-- What says where the request ends is not for scripts to say.
local FRAMING = { host = true, connection = true, ["content-length"] = true, ["transfer-encoding"] = true, upgrade = true,
  te = true, trailer = true, ["keep-alive"] = true, expect = true }

local function add_header(lines, name, value, level)
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then error("headers: bad name", level + 1) end
  if FRAMING[name:lower()] then error("headers: " .. name .. " cannot be set", level + 1) end
  value = plain(value, "headers." .. name, level + 1)
  if value:find("%c") then error("headers." .. name .. ": a control character", level + 1) end
  lines[#lines + 1] = name .. ": " .. value
end

local function has_header(headers, wanted)
  for name in pairs(headers or {}) do
    if type(name) == "string" and name:lower() == wanted then return true end
  end
  return false
end

-- The body and its type.
local function body_of(options, level)
  if options.json ~= nil then return json.encode(options.json), "application/json" end
  if options.form ~= nil then
    local list = {}
    add_pairs(list, "", options.form, 1, level + 1)
    return table.concat(list, "&"), "application/x-www-form-urlencoded"
  end
  if options.body ~= nil and type(options.body) ~= "string" then error("body: a text expected", level + 1) end
  return options.body
end

local METHODS = { GET = true, HEAD = true, POST = true, PUT = true, PATCH = true, DELETE = true, OPTIONS = true }

local function render(options, method, at, level)
  for _, name in ipairs { "query", "params", "headers", "form" } do want_table(options[name], name, level + 1) end
  local body, kind = body_of(options, level + 1)
  local query = at.query
  if options.query then
    local list = {}
    add_pairs(list, "", options.query, 1, level + 1)
    query = (query and query ~= "" and query .. "&" or "") .. table.concat(list, "&")
  end
  local path = fill(at.path, options.params, level + 1) .. (query and "?" .. query or "")
  local lines = { method .. " " .. path .. " HTTP/1.1", "host: " .. at.authority }
  for _, name in ipairs(sorted_keys(options.headers or {})) do add_header(lines, name, options.headers[name], level + 1) end
  if kind and not has_header(options.headers, "content-type") then lines[#lines + 1] = "content-type: " .. kind end
  if not has_header(options.headers, "user-agent") then lines[#lines + 1] = "user-agent: moonlatch" end
  if body or method == "POST" or method == "PUT" or method == "PATCH" then
    lines[#lines + 1] = "content-length: " .. #(body or "")
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

local function timeout_of(options, level)
  local seconds = options.timeout
  if seconds == nil then return wire.timeout end
  if type(seconds) ~= "number" or seconds <= 0 or seconds ~= seconds then error("timeout: seconds expected", level + 1) end
  return math.min(seconds, wire.timeout)
end

local function read_json(response)
  local ok, value = pcall(json.decode, response.body)
  if ok then return value end
  return nil, "not JSON"
end

local function send(who, options, level)
  if type(options) ~= "table" then error("a table expected, got " .. type(options), level + 1) end
  local method = options.method or (options.json ~= nil or options.form ~= nil or options.body ~= nil) and "POST" or "GET"
  if not METHODS[method] then error("method: " .. tostring(method) .. " is none", level + 1) end
  local at = parse(options.url, level + 1)
  local bytes = render(options, method, at, level + 1)
  local seconds = timeout_of(options, level + 1)
  local status, headers, body = wire.send(who, at.host, at.port, at.tls, method, bytes, seconds)
  if not status then return nil, headers, body end
  return { status = status, headers = headers, body = body, json = read_json }
end

-- request { url =, method =, headers =, query =, params =, json = | form = | body =, timeout = seconds }:
-- { status =, headers =, body = }, with response:json(); nil, code, why: "timeout", "too_large", "busy" (too
-- many requests of this site wait), "unavailable". The method is GET, or with a body POST. No tail calls here: an
-- error counts the functions between it and the script.
function http.request(options)
  local response, code, why = send("http.request", options, 2)
  return response, code, why
end

local function with_url(who, url, options, method)
  local all = { url = url, method = method }
  for key, value in pairs(options or {}) do all[key] = value end
  local response, code, why = send(who, all, 3)
  return response, code, why
end

-- get(url, options), post(url, options): the same.
function http.get(url, options)
  local response, code, why = with_url("http.get", url, options, "GET")
  return response, code, why
end

function http.post(url, options)
  local response, code, why = with_url("http.post", url, options, "POST")
  return response, code, why
end

return http
