-- SPDX-License-Identifier: MIT
-- What routes and the middleware answer with: res:status(201):set("x-foo", "bar"):json(value). The
-- first answer counts. It only collects; routes.lua and login.lua make of it what their asker reads.

local response = {}

local function check_text(value, what)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" or value:find("[%c]") then
    error(what .. " must be a text without control characters", 3)
  end
  return value
end

local methods = {}

function methods.status(res, code)
  if math.type(code) ~= "integer" or code < 200 or code > 599 then
    error("status must be an integer from 200 to 599", 2)
  end
  res.code = code
  return res
end

-- One header, or a table of them.
function methods.set(res, name, value)
  if type(name) == "table" then
    for each, text in pairs(name) do methods.set(res, each, text) end
    return res
  end
  name = check_text(name, "a header's name")
  if not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then error("bad header name", 2) end
  res.headers[name:lower()] = check_text(value, "a header's value")
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

return response
