-- SPDX-License-Identifier: MIT
-- What routes and the middleware answer with: res:status(201):set("x-foo", "bar"):json(value). The
-- first answer counts. It only collects; routes.lua and login.lua make of it what their asker reads.

local response = {}

-- What says how long the answer is and what becomes of the connection is not for scripts to say.
local FRAMING = {
  ["connection"] = true, ["content-length"] = true, ["keep-alive"] = true, ["te"] = true,
  ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
}

-- The name in lower case and the value as a text; raises for what no header can be.
local function check_header(name, value, level)
  if type(value) == "number" then value = tostring(value) end
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then error("bad header name", level + 1) end
  if type(value) ~= "string" or value:find("%c") then
    error("a header's value must be a text without control characters", level + 1)
  end
  name = name:lower()
  if FRAMING[name] then error("the header " .. name .. " cannot be set", level + 1) end
  return name, value
end

local function check_status(code, level)
  if math.type(code) ~= "integer" or code < 200 or code > 599 then
    error("status must be an integer from 200 to 599", level + 1)
  end
  return code
end

local methods = {}

function methods.status(res, code)
  res.code = check_status(code, 2)
  return res
end

-- One header, or a table of them.
function methods.set(res, name, value)
  if type(name) == "table" then
    for each, text in pairs(name) do methods.set(res, each, text) end
    return res
  end
  name, value = check_header(name, value, 2)
  res.headers[name] = value
  return res
end

function methods.type(res, value)
  return methods.set(res, "content-type", value)
end

local function answer(res, value)
  if res.answered then return end
  res.answered, res.value = true, value
  if res.on_answer then res.on_answer() end
end

function methods.json(res, value)
  answer(res, value)
end

-- As json; over HTTP a text goes out as it is.
function methods.send(res, value)
  res.plain = type(value) == "string" and not res.answered or res.plain
  answer(res, value)
end

function response.new()
  local res = { code = 200, headers = {}, answered = false }
  for name, fn in pairs(methods) do res[name] = fn end
  return res
end

-- Looks at a whole answer again, since its table was in a script's hands: status and headers.
function response.check(res)
  local headers = {}
  for name, value in pairs(res.headers) do
    name, value = check_header(name, value, 2)
    headers[name] = value
  end
  return check_status(res.code, 2), headers
end

return response
