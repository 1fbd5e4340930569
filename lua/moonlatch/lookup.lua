-- SPDX-License-Identifier: MIT
-- Finds a controller by its dotted name. Only a table's own keys count, so that no name reaches what
-- a metatable holds, and only a function at the very end of the path is one. Nothing is remembered:
-- scripts may change their controllers at any time.

local lookup = {}

local find, sub, byte = string.find, string.sub, string.byte
local DOT = byte(".")

-- Whether name may be one at all: bounded, and without empty parts.
function lookup.valid(name, max_bytes, max_segments)
  if #name == 0 or #name > max_bytes then return false end
  if not find(name, ".", 1, true) then return true end
  if byte(name) == DOT or byte(name, -1) == DOT or find(name, "..", 1, true) then return false end
  local segments, at = 1, find(name, ".", 1, true)
  while at do
    segments = segments + 1
    at = find(name, ".", at + 1, true)
  end
  return segments <= max_segments
end

-- The function under a valid name in tree (a table, or nil), or nil. Keys that skip (a set, may be
-- nil) names are not there.
function lookup.find(tree, name, skip)
  local from = 1
  while type(tree) == "table" do
    local dot = find(name, ".", from, true)
    local key = dot and sub(name, from, dot - 1) or from == 1 and name or sub(name, from)
    if skip and skip[key] then return nil end
    tree = rawget(tree, key)
    if not dot then
      return type(tree) == "function" and tree or nil
    end
    from = dot + 1
  end
  return nil
end

return lookup
