-- SPDX-License-Identifier: MIT
-- Reads query strings and cookies into tables. Names nest as in PHP and in Express's qs:
--   a=1            { a = "1" }            a[b][c]=1        { a = { b = { c = "1" } } }
--   l[]=x&l[]=y    { l = { "x", "y" } }   l[3]=y&l[1]=x    { l = { "x", "y" } }
--   a=1&a=2        { a = { "1", "2" } }
-- Values are strings. Where two parameters want one place to be a text and a table, the first wins.

local query = {}

local MAX_DEPTH = 5

-- Clients leave empty items out, so lists close their gaps; an index above this is taken for a name.
local MAX_INDEX = 20

-- "%41+b" is "A b". What is no UTF-8 after that, or no escape, stays as it was.
local function decode(text)
  local plain = text:gsub("+", " ")
  local decoded = plain:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  return utf8.len(decoded) and decoded or plain
end

-- "a[b][]" is { "a", "b", "" }. What stands behind a bracket is skipped; brackets that do not match,
-- and those too deep, stay text.
local function split(name)
  local first = name:find("%[[^%[%]]*%]")
  if not first then return { name } end
  local path, depth = {}, 0
  if first > 1 then path[1] = name:sub(1, first - 1) end
  for at, key in name:gmatch("()%[([^%[%]]*)%]") do
    depth = depth + 1
    path[#path + 1] = depth > MAX_DEPTH and name:sub(at) or key
    if depth > MAX_DEPTH then break end
  end
  return path
end

local function index_of(key)
  return (key == "0" or key:find("^[1-9]%d*$")) and math.tointeger(tonumber(key))
end

-- A node remembers its keys, so that lists can be told from maps at the end; free is the index behind
-- its last item.
local function node_new()
  return { keys = {}, values = {}, free = 0 }
end

local function node_set(node, key, value)
  if node.values[key] == nil then node.keys[#node.keys + 1] = key end
  node.values[key] = value
  node.free = math.max(node.free, (index_of(key) or -1) + 1)
end

-- The indexes of a list in their order; nil when node is a map.
local function indexes(node)
  local list, most = {}, math.max(MAX_INDEX, #node.keys - 1)
  for i, key in ipairs(node.keys) do
    list[i] = index_of(key)
    if not list[i] or list[i] > most then return nil end
  end
  table.sort(list)
  return list
end

local function insert(node, path, value)
  for i, part in ipairs(path) do
    local key = part ~= "" and part or tostring(node.free)
    local found = node.values[key]
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
      node_set(list, "0", found)
      node_set(list, "1", value)
      node_set(node, key, list)
    elseif indexes(found) then
      node_set(found, tostring(found.free), value)
    end
  end
end

local function plain(node, is_map)
  if type(node) == "string" then return node end
  local list, result = not is_map and indexes(node), {}
  for i, index in ipairs(list or {}) do
    result[i] = plain(node.values[tostring(index)])
  end
  for _, key in ipairs(list and {} or node.keys) do
    result[key] = plain(node.values[key])
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
