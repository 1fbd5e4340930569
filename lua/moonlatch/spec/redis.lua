-- SPDX-License-Identifier: MIT
-- A Redis for specs: the usual commands on texts, numbers, hashes, lists, sets and sorted sets, expiry on
-- the spec's clock, pipelines, and scripts (eval). What it does not know it says; a spec with --live has all.

local digest = require "moonlatch.spec.digest"
local json = require "moonlatch.spec.json"

local redis = {}

local NULL = json.null
local WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"

local function fail(text) error({ err = text }, 0) end

local function integer(text)
  return text and text:find("^-?%d+$") and math.tointeger(tonumber(text)) or fail "ERR value is not an integer or out of range"
end

local function float(text)
  local bound = text and text:gsub("^[+-]?inf$", function(sign) return sign:sub(1, 1) == "-" and "-1e999" or "1e999" end)
  return bound and tonumber(bound) or fail "ERR value is not a valid float"
end

local function number_text(value)
  if value == math.floor(value) and math.abs(value) < 1e15 then return ("%d"):format(value) end
  return ("%.17g"):format(value)
end

-- ---- keys ----------------------------------------------------------------------------------------

local function find(db, key, kind)
  local entry = db.keys[key]
  if entry and entry.ends and db.clock() >= entry.ends then
    db.keys[key], entry = nil, nil
  end
  if entry and kind and entry.kind ~= kind then fail(WRONG) end
  return entry
end

local function make(db, key, kind)
  local entry = find(db, key, kind)
  if not entry then
    entry = { kind = kind, value = kind == "string" and "" or {} }
    db.keys[key] = entry
  end
  return entry
end

-- Collections that are empty are not there.
local function tidy(db, key)
  local entry = db.keys[key]
  if entry and entry.kind ~= "string" and next(entry.value) == nil then db.keys[key] = nil end
end

local function sorted(set)
  local list = {}
  for member in pairs(set) do list[#list + 1] = member end
  table.sort(list)
  return list
end

-- first and last as Redis counts them, in a list of so many; 1-based.
local function range(first, last, count)
  first, last = integer(first), integer(last)
  if first < 0 then first = math.max(count + first, 0) end
  if last < 0 then last = count + last end
  return first + 1, math.min(last, count - 1) + 1
end

local commands = {}

function commands.PING() return "PONG" end

-- ---- texts and numbers ---------------------------------------------------------------------------

function commands.GET(db, key)
  local entry = find(db, key, "string")
  return entry and entry.value or NULL
end

function commands.SET(db, key, value, ...)
  local options, entry, ends = { ... }, find(db, key), nil
  local want = {}
  local i = 1
  while options[i] do
    local name = options[i]:upper()
    if name == "EX" or name == "PX" then
      ends = db.clock() + integer(options[i + 1]) / (name == "EX" and 1 or 1000)
      i = i + 1
    else
      want[name] = true
    end
    i = i + 1
  end
  local old = entry and entry.value or NULL
  if want.NX and entry or want.XX and not entry then return want.GET and old or NULL end
  if want.KEEPTTL and entry then ends = entry.ends end
  db.keys[key] = { kind = "string", value = value, ends = ends }
  return want.GET and old or "OK"
end

function commands.SETEX(db, key, seconds, value) return commands.SET(db, key, value, "EX", seconds) end
function commands.PSETEX(db, key, ms, value) return commands.SET(db, key, value, "PX", ms) end
function commands.SETNX(db, key, value) return commands.SET(db, key, value, "NX") == "OK" and 1 or 0 end
function commands.GETSET(db, key, value) return commands.SET(db, key, value, "GET") end

function commands.GETDEL(db, key)
  local value = commands.GET(db, key)
  db.keys[key] = nil
  return value
end

function commands.APPEND(db, key, value)
  local entry = make(db, key, "string")
  entry.value = entry.value .. value
  return #entry.value
end

function commands.STRLEN(db, key)
  local entry = find(db, key, "string")
  return entry and #entry.value or 0
end

function commands.INCRBY(db, key, by)
  local entry = find(db, key, "string") or make(db, key, "string")
  local value = integer(entry.value == "" and "0" or entry.value) + integer(by)
  entry.value = tostring(value)
  return value
end

function commands.INCR(db, key) return commands.INCRBY(db, key, "1") end
function commands.DECR(db, key) return commands.INCRBY(db, key, "-1") end
function commands.DECRBY(db, key, by) return commands.INCRBY(db, key, tostring(-integer(by))) end

function commands.INCRBYFLOAT(db, key, by)
  local entry = make(db, key, "string")
  entry.value = number_text(float(entry.value == "" and "0" or entry.value) + float(by))
  return entry.value
end

function commands.MGET(db, ...)
  local list = {}
  for i, key in ipairs { ... } do
    local entry = find(db, key)
    list[i] = entry and entry.kind == "string" and entry.value or NULL
  end
  return list
end

function commands.MSET(db, ...)
  local words = { ... }
  for i = 1, #words, 2 do commands.SET(db, words[i], words[i + 1]) end
  return "OK"
end

-- ---- any key -------------------------------------------------------------------------------------

function commands.DEL(db, ...)
  local count = 0
  for _, key in ipairs { ... } do
    if find(db, key) then count = count + 1 end
    db.keys[key] = nil
  end
  return count
end

commands.UNLINK = commands.DEL

function commands.EXISTS(db, ...)
  local count = 0
  for _, key in ipairs { ... } do
    if find(db, key) then count = count + 1 end
  end
  return count
end

function commands.TYPE(db, key)
  local entry = find(db, key)
  return entry and entry.kind or "none"
end

local function expire(db, key, seconds)
  local entry = find(db, key)
  if not entry then return 0 end
  if seconds <= 0 then db.keys[key] = nil else entry.ends = db.clock() + seconds end
  return 1
end

function commands.EXPIRE(db, key, seconds) return expire(db, key, integer(seconds)) end
function commands.PEXPIRE(db, key, ms) return expire(db, key, integer(ms) / 1000) end

function commands.PTTL(db, key)
  local entry = find(db, key)
  if not entry then return -2 end
  return entry.ends and math.floor((entry.ends - db.clock()) * 1000 + 0.5) or -1
end

function commands.TTL(db, key)
  local ms = commands.PTTL(db, key)
  return ms < 0 and ms or (ms + 500) // 1000
end

function commands.PERSIST(db, key)
  local entry = find(db, key)
  if not entry or not entry.ends then return 0 end
  entry.ends = nil
  return 1
end

-- ---- hashes --------------------------------------------------------------------------------------

function commands.HSET(db, key, ...)
  local hash, words, added = make(db, key, "hash").value, { ... }, 0
  if #words == 0 or #words % 2 == 1 then fail "ERR wrong number of arguments for 'hset' command" end
  for i = 1, #words, 2 do
    if hash[words[i]] == nil then added = added + 1 end
    hash[words[i]] = words[i + 1]
  end
  return added
end

function commands.HMSET(db, ...)
  commands.HSET(db, ...)
  return "OK"
end

function commands.HSETNX(db, key, field, value)
  local hash = make(db, key, "hash").value
  if hash[field] ~= nil then return 0 end
  hash[field] = value
  return 1
end

local function hash_of(db, key)
  local entry = find(db, key, "hash")
  return entry and entry.value or {}
end

function commands.HGET(db, key, field)
  local value = hash_of(db, key)[field]
  return value == nil and NULL or value
end

function commands.HMGET(db, key, ...)
  local list = {}
  for i, field in ipairs { ... } do list[i] = commands.HGET(db, key, field) end
  return list
end

function commands.HGETALL(db, key)
  local hash, list = hash_of(db, key), {}
  for _, field in ipairs(sorted(hash)) do
    list[#list + 1] = field
    list[#list + 1] = hash[field]
  end
  return list
end

function commands.HDEL(db, key, ...)
  local hash, count = hash_of(db, key), 0
  for _, field in ipairs { ... } do
    if hash[field] ~= nil then count = count + 1 end
    hash[field] = nil
  end
  tidy(db, key)
  return count
end

function commands.HEXISTS(db, key, field) return hash_of(db, key)[field] ~= nil and 1 or 0 end
function commands.HKEYS(db, key) return sorted(hash_of(db, key)) end
function commands.HLEN(db, key) return #sorted(hash_of(db, key)) end

function commands.HVALS(db, key)
  local hash, list = hash_of(db, key), {}
  for i, field in ipairs(sorted(hash)) do list[i] = hash[field] end
  return list
end

function commands.HINCRBY(db, key, field, by)
  local hash = make(db, key, "hash").value
  local value = integer(hash[field] or "0") + integer(by)
  hash[field] = tostring(value)
  return value
end

-- ---- lists ---------------------------------------------------------------------------------------

local function push(at_front)
  return function(db, key, ...)
    local list = make(db, key, "list").value
    for _, value in ipairs { ... } do table.insert(list, at_front and 1 or #list + 1, value) end
    return #list
  end
end

commands.LPUSH, commands.RPUSH = push(true), push(false)

local function list_of(db, key)
  local entry = find(db, key, "list")
  return entry and entry.value or {}
end

local function pop(from_front)
  return function(db, key, count)
    local list, taken = list_of(db, key), {}
    for i = 1, count and integer(count) or 1 do taken[i] = table.remove(list, from_front and 1 or #list) end
    tidy(db, key)
    if count then return #taken > 0 and taken or NULL end
    return taken[1] == nil and NULL or taken[1]
  end
end

commands.LPOP, commands.RPOP = pop(true), pop(false)

function commands.LLEN(db, key) return #list_of(db, key) end

function commands.LRANGE(db, key, first, last)
  local list = list_of(db, key)
  first, last = range(first, last, #list)
  return table.move(list, first, last, 1, {})
end

function commands.LINDEX(db, key, at)
  local list, i = list_of(db, key), integer(at)
  local value = list[i < 0 and #list + i + 1 or i + 1]
  return value == nil and NULL or value
end

function commands.LTRIM(db, key, first, last)
  local entry = find(db, key, "list")
  if entry then entry.value = commands.LRANGE(db, key, first, last) end
  tidy(db, key)
  return "OK"
end

function commands.LREM(db, key, count, value)
  local list, removed = list_of(db, key), 0
  local most = math.abs(integer(count))
  local from_end = integer(count) < 0
  for i = from_end and #list or 1, from_end and 1 or #list, from_end and -1 or 1 do
    local at = from_end and i or i - removed
    if list[at] == value and (most == 0 or removed < most) then
      table.remove(list, at)
      removed = removed + 1
    end
  end
  tidy(db, key)
  return removed
end

-- ---- sets ----------------------------------------------------------------------------------------

local function set_of(db, key)
  local entry = find(db, key, "set")
  return entry and entry.value or {}
end

function commands.SADD(db, key, ...)
  local set, added = make(db, key, "set").value, 0
  for _, member in ipairs { ... } do
    if not set[member] then added = added + 1 end
    set[member] = true
  end
  return added
end

function commands.SREM(db, key, ...)
  local set, removed = set_of(db, key), 0
  for _, member in ipairs { ... } do
    if set[member] then removed = removed + 1 end
    set[member] = nil
  end
  tidy(db, key)
  return removed
end

function commands.SCARD(db, key) return #sorted(set_of(db, key)) end
function commands.SISMEMBER(db, key, member) return set_of(db, key)[member] and 1 or 0 end
function commands.SMEMBERS(db, key) return sorted(set_of(db, key)) end

-- ---- sorted sets ---------------------------------------------------------------------------------

local function scores_of(db, key)
  local entry = find(db, key, "zset")
  return entry and entry.value or {}
end

-- Members, the lowest score first.
local function by_score(scores)
  local list = sorted(scores)
  table.sort(list, function(a, b)
    if scores[a] ~= scores[b] then return scores[a] < scores[b] end
    return a < b
  end)
  return list
end

function commands.ZADD(db, key, ...)
  local scores, words, added = make(db, key, "zset").value, { ... }, 0
  for i = 1, #words, 2 do
    if scores[words[i + 1]] == nil then added = added + 1 end
    scores[words[i + 1]] = float(words[i])
  end
  return added
end

function commands.ZINCRBY(db, key, by, member)
  local scores = make(db, key, "zset").value
  scores[member] = (scores[member] or 0) + float(by)
  return number_text(scores[member])
end

function commands.ZREM(db, key, ...)
  local scores, removed = scores_of(db, key), 0
  for _, member in ipairs { ... } do
    if scores[member] then removed = removed + 1 end
    scores[member] = nil
  end
  tidy(db, key)
  return removed
end

function commands.ZCARD(db, key) return #sorted(scores_of(db, key)) end

function commands.ZSCORE(db, key, member)
  local score = scores_of(db, key)[member]
  return score and number_text(score) or NULL
end

function commands.ZRANK(db, key, member)
  for i, other in ipairs(by_score(scores_of(db, key))) do
    if other == member then return i - 1 end
  end
  return NULL
end

local function with_scores(scores, list, wanted)
  if (wanted or ""):upper() ~= "WITHSCORES" then return list end
  local all = {}
  for _, member in ipairs(list) do
    all[#all + 1] = member
    all[#all + 1] = number_text(scores[member])
  end
  return all
end

local function reversed(list)
  local other = {}
  for i = #list, 1, -1 do other[#other + 1] = list[i] end
  return other
end

local function ranked(db, key, first, last, backwards, wanted)
  local scores = scores_of(db, key)
  local list = by_score(scores)
  if backwards then list = reversed(list) end
  first, last = range(first, last, #list)
  return with_scores(scores, table.move(list, first, last, 1, {}), wanted)
end

function commands.ZRANGE(db, key, first, last, a, b)
  local backwards = (a or ""):upper() == "REV"
  return ranked(db, key, first, last, backwards, backwards and b or a)
end

function commands.ZREVRANGE(db, key, first, last, wanted) return ranked(db, key, first, last, true, wanted) end

local function within(scores, low, high)
  local function bound(text)
    local open = text:sub(1, 1) == "("
    return float(open and text:sub(2) or text), open
  end
  local least, above = bound(low)
  local most, below = bound(high)
  local list = {}
  for _, member in ipairs(by_score(scores)) do
    local score = scores[member]
    local fits = (score > least or score == least and not above) and (score < most or score == most and not below)
    if fits then list[#list + 1] = member end
  end
  return list
end

function commands.ZRANGEBYSCORE(db, key, low, high, wanted)
  local scores = scores_of(db, key)
  return with_scores(scores, within(scores, low, high), wanted)
end

function commands.ZCOUNT(db, key, low, high) return #within(scores_of(db, key), low, high) end

function commands.ZREMRANGEBYSCORE(db, key, low, high)
  local scores = scores_of(db, key)
  local list = within(scores, low, high)
  for _, member in ipairs(list) do scores[member] = nil end
  tidy(db, key)
  return #list
end

-- ---- scripts -------------------------------------------------------------------------------------

local run

-- A reply of ours as a script in Redis sees it, and the way back.
local function to_script(value)
  if value == NULL then return false end
  if type(value) ~= "table" then return value end
  local list = {}
  for i, item in ipairs(value) do list[i] = to_script(item) end
  return list
end

local function from_script(value)
  if value == nil or value == false then return NULL end
  if value == true then return 1 end
  if type(value) == "number" then return math.tointeger(value) or math.floor(value) end
  if type(value) ~= "table" then return value end
  if value.err then fail(value.err) end
  if value.ok then return value.ok end
  local list = {}
  for i, item in ipairs(value) do list[i] = from_script(item) end
  return list
end

local function eval(db, script, count, ...)
  local words, keys, arguments = { ... }, {}, {}
  for i, word in ipairs(words) do
    if i <= integer(count) then keys[i] = word else arguments[#arguments + 1] = word end
  end
  local own = { call = function(...)
    local all = table.pack(...)
    for i = 1, all.n do all[i] = tostring(all[i]) end
    return to_script(run(db, all))
  end, sha1hex = function(text) return digest.hex(digest.sha1(text)) end, error_reply = function(text) return { err = text } end,
    status_reply = function(text) return { ok = text } end }
  function own.pcall(...)
    local ok, value = pcall(own.call, ...)
    return ok and value or value
  end
  local env = { redis = own, KEYS = keys, ARGV = arguments, string = string, table = table, math = math, tonumber = tonumber,
    tostring = tostring, pairs = pairs, ipairs = ipairs, type = type, error = error, pcall = pcall, select = select, unpack = table.unpack,
    next = next, assert = assert }
  local chunk, problem = load(script, "=user_script", "t", env)
  if not chunk then fail("ERR Error compiling script: " .. problem) end
  local ok, value = pcall(chunk)
  if not ok then fail(type(value) == "table" and value.err or "ERR " .. tostring(value)) end
  return from_script(value)
end

function commands.EVAL(db, script, ...)
  db.scripts[digest.hex(digest.sha1(script))] = script
  return eval(db, script, ...)
end

function commands.EVALSHA(db, hash, ...)
  local script = db.scripts[hash] or fail "NOSCRIPT No matching script. Please use EVAL."
  return eval(db, script, ...)
end

-- ---- the whole -----------------------------------------------------------------------------------

function run(db, words)
  local command = commands[words[1]:upper()]
  if not command then fail("ERR " .. words[1] .. " is not known to the Redis of specs; a spec with --live has it") end
  return command(db, table.unpack(words, 2))
end

-- An empty database. clock(): seconds.
function redis.new(clock)
  return { keys = {}, scripts = {}, clock = clock }
end

-- moonlatch.redis_wire for a world. db nil: the site has no Redis.
function redis.wire(world, db)
  local wire = { prefix = ("moonlatch:{%s}:kv:"):format(world.name) }
  function wire.send(who, all)
    local scheduler = world.scheduler
    scheduler:may_wait(who, 3)
    if not db then return nil, "unavailable" end
    return scheduler:wait(function(wake)
      scheduler:defer(function()
        local values, errors = setmetatable({}, json.array_mt), {}
        for i, words in ipairs(all) do
          local ok, value = pcall(run, db, words)
          if not ok and type(value) ~= "table" then error(value, 0) end
          values[i] = ok and value or NULL
          if not ok then errors[i] = value.err end
        end
        wake(values, errors)
      end)
    end)
  end
  return wire
end

return redis
