-- SPDX-License-Identifier: MIT
-- moonlatch.cache for specs: values by key, copied as JSON, with their time on the clock of the spec.

local json = require "moonlatch.spec.json"

local BYTES = 16777216

-- clock(): seconds. limit: of bytes; NIL: the usual.
return function(clock, limit)
  local cache, entries = {}, {}
  limit = limit or BYTES

  local function check_key(key, level)
    if type(key) ~= "string" or #key < 1 or #key > 1024 then error("a key of 1 to 1024 bytes expected", level + 1) end
    return key
  end

  local function check_ttl(ttl, level)
    if ttl ~= nil and (type(ttl) ~= "number" or ttl <= 0 or ttl > 31536000) then error("seconds above 0 expected", level + 1) end
    return ttl
  end

  local function find(key)
    local entry = entries[key]
    if entry and entry.ends and clock() >= entry.ends then
      entries[key] = nil
      return nil
    end
    return entry
  end

  local function store(key, value, ends)
    local text = json.encode(value)
    if #text + #key > limit then return nil, "too_large" end
    entries[key] = { json = text, ends = ends }
    return true
  end

  local function ends_of(ttl) return ttl and clock() + ttl end

  function cache.get(key)
    local entry = find(check_key(key, 2))
    return entry and json.decode(entry.json) or nil
  end

  function cache.set(key, value, ttl) return store(check_key(key, 2), value, ends_of(check_ttl(ttl, 2))) end

  function cache.add(key, value, ttl)
    check_ttl(ttl, 2)
    if find(check_key(key, 2)) then return false end
    return store(key, value, ends_of(ttl))
  end

  function cache.incr(key, by, ttl)
    check_ttl(ttl, 2)
    local entry = find(check_key(key, 2))
    local value = entry and json.decode(entry.json) or 0
    if type(value) ~= "number" then return nil, "not_a_number" end
    local sum = value + (by or 1)
    local wrapped = math.type(sum) == "integer" and ((by or 1) > 0) ~= (sum > value) and by ~= 0
    if wrapped then return nil, "limit" end
    value = sum
    local ends = ends_of(ttl)
    if entry then ends = entry.ends end
    local ok, code = store(key, value, ends)
    if not ok then return nil, code end
    return value
  end

  function cache.delete(key)
    local there = find(check_key(key, 2)) ~= nil
    entries[key] = nil
    return there
  end

  function cache.clear() entries = {} end

  return cache
end
