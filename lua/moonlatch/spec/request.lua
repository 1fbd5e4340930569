-- SPDX-License-Identifier: MIT
-- Requests of clients for specs: { query, headers, cookies, ip, method, body } as the core hands them on.

local request = {}

function request.escape(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function add(list, name, value)
  if type(value) ~= "table" then
    list[#list + 1] = name .. "=" .. request.escape(value)
    return
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    add(list, name == "" and request.escape(key) or name .. "%5B" .. request.escape(key) .. "%5D", value[key])
  end
end

-- { a = 1, b = { c = 2 } } as "a=1&b%5Bc%5D=2"; a text is taken as it is.
function request.query(query)
  if type(query) == "string" then return query end
  local list = {}
  add(list, "", query or {})
  return table.concat(list, "&")
end

-- Lower-case names, cookies among them.
function request.headers(options)
  local headers, cookies = {}, {}
  for name, value in pairs(options.headers or {}) do headers[name:lower()] = tostring(value) end
  for name, value in pairs(options.cookies or {}) do cookies[#cookies + 1] = name .. "=" .. request.escape(value) end
  table.sort(cookies)
  if #cookies > 0 then headers.cookie = table.concat(cookies, "; ") end
  return headers
end

-- As lua/moonlatch/login.lua gets it.
function request.raw(options, path)
  local ip = options.ip or "127.0.0.1"
  return { method = options.method or "GET", path = path, querystring = request.query(options.query), headers = request.headers(options),
    ip = ip, ips = options.ip and { ip } or {}, host = "127.0.0.1", body = options.body }
end

return request
