-- SPDX-License-Identifier: MIT
-- moonlatch.json in plain Lua, for specs: what a script gets and gives is what it would be in the gateway.
-- Integers stay integers, other numbers keep 17 digits, [] stays [], null is json.null.

local json = {}

local DEPTH = 64

json.null = setmetatable({}, { __tostring = function() return "json.null" end, __name = "json.null",
  __newindex = function() error("json.null cannot be changed", 2) end })
json.array_mt = { __name = "array" }
json.empty_array = setmetatable({}, { __index = json.array_mt, __tostring = function() return "json.empty_array" end })

local bytes_mt = { __name = "bytes", __metatable = false }
local made = setmetatable({}, { __mode = "k" }) -- the values that are bytes
local collected -- the bytes of the event that is being encoded; nil: there may be none

-- Bytes among the values of an event.
function json.bytes(text)
  if type(text) ~= "string" then error("bad argument #1 to 'bytes' (string expected, got " .. type(text) .. ")", 2) end
  local value = setmetatable({ bytes = text }, bytes_mt)
  made[value] = true
  return value
end

-- ---- encode --------------------------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(c) return ESCAPES[c] or ("\\u%04x"):format(c:byte()) end

local function encode_text(value)
  if not utf8.len(value) then error("text is not UTF-8", 0) end
  return '"' .. value:gsub('[%c"\\\127]', escape):gsub("\226\128[\168\169]", { ["\226\128\168"] = "\\u2028", ["\226\128\169"] = "\\u2029" })
    .. '"'
end

local function encode_number(value)
  if math.type(value) == "integer" then return tostring(value) end
  if value ~= value or value == math.huge or value == -math.huge then error("number is not finite", 0) end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text:find("[.eE]") and text or text .. ".0" end
  end
end

local encode

-- The length of the table as a list; nil when it is an object. Raises for what is neither.
local function list_length(value)
  local length, count = rawlen(value), 0
  local is_list = getmetatable(value) == json.array_mt or length > 0
  for key in next, value do
    count = count + 1
    if is_list and not (math.type(key) == "integer" and key >= 1 and key <= length) then
      error("table has mixed keys", 0)
    end
    if not is_list and type(key) ~= "string" then error("table has a key that is a " .. type(key), 0) end
  end
  if not is_list then return nil end
  if count ~= length then error("list has holes", 0) end
  return length
end

local function encode_bytes(value)
  if not collected then error("cannot encode bytes: JSON has none", 0) end
  collected[#collected + 1] = value.bytes
  return ('{"_placeholder":true,"num":%d}'):format(#collected - 1)
end

local function encode_table(value, depth)
  if made[value] then return encode_bytes(value) end
  if depth > DEPTH then error("nested too deeply", 0) end
  local parts, length = {}, list_length(value)
  if length then
    for i = 1, length do parts[i] = encode(rawget(value, i), depth + 1) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = {}
  for key in next, value do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do parts[i] = encode_text(key) .. ":" .. encode(rawget(value, key), depth + 1) end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if value == nil or value == json.null then return "null" end
  if value == json.empty_array then return "[]" end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then return encode_number(value) end
  if kind == "string" then return encode_text(value) end
  if kind == "table" then return encode_table(value, depth) end
  error("a " .. kind .. " has no JSON", 0)
end

-- Raises for what JSON has no form for.
function json.encode(value)
  local ok, text = pcall(encode, value, 1)
  if ok then return text end
  error(text, 2)
end

-- ---- decode --------------------------------------------------------------------------------------

local function fail(at) error("not JSON at byte " .. at, 0) end

local function skip(text, at) return text:match("^[ \t\r\n]*()", at) end

local UNESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function decode_escape(text, at)
  local c = text:sub(at + 1, at + 1)
  if UNESCAPES[c] then return UNESCAPES[c], at + 2 end
  local high = tonumber(text:match("^\\u(%x%x%x%x)", at) or fail(at), 16)
  local low = text:match("^\\u(%x%x%x%x)", at + 6)
  low = low and tonumber(low, 16)
  if high >= 0xD800 and high < 0xDC00 and low and low >= 0xDC00 and low < 0xE000 then
    return utf8.char(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00), at + 12
  end
  return utf8.char(high), at + 6
end

local function decode_text(text, at)
  local parts, from = {}, at + 1
  while true do
    local plain, stop = text:match('^([^%c"\\]*)()', from)
    parts[#parts + 1] = plain
    local c = text:sub(stop, stop)
    if c == '"' then return table.concat(parts), stop + 1 end
    if c ~= "\\" then fail(stop) end
    parts[#parts + 1], from = decode_escape(text, stop)
  end
end

local function decode_number(text, at)
  local digits = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  local whole = digits and digits:match("^-?(%d+)")
  if not whole or #whole > 1 and whole:sub(1, 1) == "0" or digits:find("[.eE+-]$") then fail(at) end
  local value = tonumber(digits)
  if not value then fail(at) end
  if digits:find("^-?%d+$") and math.type(value) ~= "integer" and ("%.0f"):format(value) ~= digits then
    error("number out of range", 0)
  end
  return value, at + #digits
end

local decode_value

local function decode_list(text, at, depth)
  local list = setmetatable({}, json.array_mt)
  at = skip(text, at + 1)
  if text:sub(at, at) == "]" then return list, at + 1 end
  while true do
    list[#list + 1], at = decode_value(text, at, depth)
    at = skip(text, at)
    local c = text:sub(at, at)
    if c == "]" then return list, at + 1 end
    if c ~= "," then fail(at) end
    at = skip(text, at + 1)
  end
end

local function decode_object(text, at, depth)
  local object = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "}" then return object, at + 1 end
  while true do
    if text:sub(at, at) ~= '"' then fail(at) end
    local key
    key, at = decode_text(text, at)
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then fail(at) end
    object[key], at = decode_value(text, skip(text, at + 1), depth)
    at = skip(text, at)
    local c = text:sub(at, at)
    if c == "}" then return object, at + 1 end
    if c ~= "," then fail(at) end
    at = skip(text, at + 1)
  end
end

local WORDS = { t = { "true", true }, f = { "false", false }, n = { "null", json.null } }

function decode_value(text, at, depth)
  local c = text:sub(at, at)
  if depth > DEPTH then error("nested too deeply", 0) end
  if c == "{" then return decode_object(text, at, depth + 1) end
  if c == "[" then return decode_list(text, at, depth + 1) end
  if c == '"' then return decode_text(text, at) end
  local word = WORDS[c]
  if word and text:sub(at, at + #word[1] - 1) == word[1] then return word[2], at + #word[1] end
  return decode_number(text, at)
end

-- Raises "not JSON at byte 7" and the like.
function json.decode(text)
  if type(text) ~= "string" then error("a text expected, got " .. type(text), 2) end
  if not utf8.len(text) then error("not JSON: text is not UTF-8", 2) end
  local ok, value, at = pcall(decode_value, text, skip(text, 1), 1)
  if ok and skip(text, at) ~= #text + 1 then ok, value = false, "not JSON at byte " .. skip(text, at) end
  if ok then return value end
  error(value, 2)
end

-- A copy, as it arrives on the other side.
function json.copy(value)
  if value == nil then return nil end
  return json.decode(json.encode(value))
end

-- ---- events --------------------------------------------------------------------------------------

-- The JSON of an event's values, and the bytes that placeholders stand for in it.
function json.encode_event(value)
  local bytes = {}
  collected = bytes
  local ok, text = pcall(encode, value, 1)
  collected = nil
  if ok then return text, bytes end
  error(text, 2)
end

local function put_bytes(value, bytes)
  if type(value) ~= "table" then return value end
  if value._placeholder == true and bytes[(value.num or -1) + 1] then return json.bytes(bytes[value.num + 1]) end
  for key, member in pairs(value) do value[key] = put_bytes(member, bytes) end
  return value
end

-- And back.
function json.decode_event(text, bytes)
  return put_bytes(json.decode(text), bytes)
end

-- What comes of values that are sent.
function json.copy_event(value)
  return json.decode_event(json.encode_event(value))
end

return json
