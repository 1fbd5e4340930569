-- SPDX-License-Identifier: MIT
-- Reads query strings and cookies into tables. Names nest as in PHP and in Express's qs:
--   a=1            { a = "1" }            a[b][c]=1    { a = { b = { c = "1" } } }
--   l[]=x&l[]=y    { l = { "x", "y" } }   l[1]=y&l[0]=x    { l = { "x", "y" } }
--   a=1&a=2        { a = { "1", "2" } }
-- Values are strings. Where two parameters want one place to be a text and a table, the first wins.

local query = {}

local MAX_DEPTH = 5

-- "%41+b" is "A b". What is no UTF-8 after that, or no escape, stays as it was.
local function decode(text)
  local plain = text:gsub("+", " ")
  local decoded = plain:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  return utf8.len(decoded) and decoded or plain
end

-- "a[b][]" is { "a", "b", "" }; brackets that do not match, and those too deep, stay text.
local function split(name)
  local base, rest = name:match("^([^%[]+)(%[.*%])$")
  if not base then return { name } end
  local path = { base }
  while rest ~= "" do
    local key, behind = rest:match("^%[([^%[%]]*)%](.*)$")
    if not key then return { name } end
    if #path > MAX_DEPTH then
      path[#path + 1] = rest
      break
    end
    path[#path + 1], rest = key, behind
  end
  return path
end

-- A node remembers its keys in order, so that lists can be told from maps at the end.
local function node_new()
  return { keys = {}, values = {} }
end

local function node_get(node, key)
  return node.values[key]
end

local function node_set(node, key, value)
  if node.values[key] == nil then node.keys[#node.keys + 1] = key end
  node.values[key] = value
end

local function insert(node, path, value)
  for i, part in ipairs(path) do
    local key = part ~= "" and part or tostring(#node.keys)
    local found = node_get(node, key)
    if i < #path then
      if type(found) == "string" then return end
      if not found then
        found = node_new()
        node_set(node, key, found)
      end
      node = found
    elseif found == nil then
      node_set(node, key, value)
    elseif type(found) == "string" then
      local list = node_new()
      list.repeated = true
      node_set(list, "0", found)
      node_set(list, "1", value)
      node_set(node, key, list)
    elseif found.repeated then
      node_set(found, tostring(#found.keys), value)
    end
  end
end

local function is_list(node)
  for i = 0, #node.keys - 1 do
    if node.values[tostring(i)] == nil then return false end
  end
  return #node.keys > 0
end

local function plain(node, is_map)
  if type(node) == "string" then return node end
  local list, result = not is_map and is_list(node), {}
  for _, key in ipairs(node.keys) do
    result[list and tonumber(key) + 1 or key] = plain(node.values[key])
  end
  return result
end

-- The table for a query string without its "?". nil and a reason when it has more than max
-- parameters.
function query.parse(text, max)
  local root, count = node_new(), 0
  for pair in text:gmatch("[^&]+") do
    count = count + 1
    if count > max then return nil, "too many parameters" end
    local name, value = pair:match("^([^=]*)=(.*)$")
    name = decode(name or pair)
    if name ~= "" then insert(root, split(name), decode(value or "")) end
  end
  return plain(root, true)
end

-- The table for a Cookie header; of two with one name the first counts. nil and a reason when the
-- header has more than max bytes.
function query.cookies(header, max)
  if #header > max then return nil, "cookies too large" end
  local cookies = {}
  for name, value in header:gmatch("([^=;%s]+)%s*=%s*([^;]*)") do
    value = value:match("^(.-)%s*$")
    value = value:match("^\"(.*)\"$") or value
    if cookies[name] == nil then
      local decoded = value:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
      cookies[name] = utf8.len(decoded) and decoded or value
    end
  end
  return cookies
end

return query
