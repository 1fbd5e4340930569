-- SPDX-License-Identifier: MIT
-- Shows any value as text for a person: tables as Lua would write them, within bounds, cycles named.

local show = {}

local DEPTH, ENTRIES, BYTES = 4, 40, 400

local function quote(text)
  if #text > BYTES then text = text:sub(1, BYTES) .. "..." end
  return (("%q"):format(text):gsub("\\\n", "\\n"))
end

local function key_text(key)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") then return key end
  return "[" .. (type(key) == "string" and quote(key) or tostring(key)) .. "]"
end

local function by_text(a, b) return tostring(a) < tostring(b) end

-- The keys behind the list part, sorted.
local function named_keys(value, list_length)
  local keys = {}
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= list_length) then keys[#keys + 1] = key end
  end
  table.sort(keys, by_text)
  return keys
end

local describe

local function describe_table(value, null, depth, seen)
  if seen[value] then return "(the same table)" end
  if depth > DEPTH then return "{...}" end
  seen[value] = true
  local parts, length = {}, rawlen(value)
  for i = 1, math.min(length, ENTRIES) do parts[i] = describe(rawget(value, i), null, depth + 1, seen) end
  for _, key in ipairs(named_keys(value, length)) do
    if #parts >= ENTRIES then break end
    parts[#parts + 1] = key_text(key) .. " = " .. describe(rawget(value, key), null, depth + 1, seen)
  end
  if #parts >= ENTRIES then parts[#parts + 1] = "..." end
  seen[value] = nil
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

function describe(value, null, depth, seen)
  if value == null then return "json.null" end
  if type(value) == "string" then return quote(value) end
  if type(value) ~= "table" then return tostring(value) end
  return describe_table(value, null, depth, seen)
end

-- null: what stands for json.null.
function show.value(value, null)
  return describe(value, null, 1, {})
end

return show
