-- SPDX-License-Identifier: MIT
-- Finds a controller by its dotted name. Only a table's own keys count, so that no name reaches what
-- a metatable holds, and only a function at the very end of the path is one. Nothing is remembered:
-- scripts may change their controllers at any time.

local lookup = {}

local rawget, type = rawget, type -- looked up once: a call of every client comes through here
local find, sub = string.find, string.sub

-- The function under name in tree (anything but a table has none), or nil. A key that is the whole
-- name, dots and all, comes first. Names with empty parts, or more than max_parts, have none. Keys that
-- are in skip (a set, may be nil) are not there.
function lookup.find(tree, name, max_parts, skip)
  if type(tree) ~= "table" then return nil end
  local whole = rawget(tree, name)
  if type(whole) == "function" and not (skip and skip[name]) then return whole end
  local from = 1
  for _ = 1, max_parts do
    local dot = find(name, ".", from, true)
    local key = sub(name, from, dot and dot - 1)
    if key == "" or skip and skip[key] then return nil end
    tree = rawget(tree, key)
    if not dot then return type(tree) == "function" and tree or nil end
    if type(tree) ~= "table" then return nil end
    from = dot + 1
  end
  return nil
end

-- ---- for the log: what a wrong name may have meant ----------------------------------------------

local LOOKS_MAX = 1000 -- tables may go in circles

local function add_names(names, tree, prefix, max_parts, skip)
  for key, value in next, type(tree) == "table" and tree or {} do
    names.looks = names.looks + 1
    if names.looks > LOOKS_MAX then return end
    if type(key) == "string" and not (skip and skip[key]) then
      if type(value) == "function" then names[#names + 1] = prefix .. key end
      if type(value) == "table" and max_parts > 1 then add_names(names, value, prefix .. key .. ".", max_parts - 1, skip) end
    end
  end
end

-- How many letters to change, add or drop to make b of a.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

-- The name of a function in these trees that is most like name, or nil when none is. Of long names only the
-- first 64 letters count.
function lookup.nearest(trees, name, max_parts, skip)
  local names, best, least = { looks = 0 }, nil, nil
  for _, tree in ipairs(trees) do add_names(names, tree, "", max_parts, skip) end
  table.sort(names)
  for _, known in ipairs(names) do
    local d = distance(known:sub(1, 64), name:sub(1, 64))
    if not least or d < least then best, least = known, d end
  end
  if best and least <= math.max(2, #best // 3) then return best end
end

return lookup
