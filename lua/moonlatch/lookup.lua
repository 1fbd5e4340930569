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

return lookup
