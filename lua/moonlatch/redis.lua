-- SPDX-License-Identifier: MIT
-- moonlatch.redis: Redis for scripts. Keys are the site's own: each is put behind the site's prefix, so a
-- command has to be one whose keys are known, and what reaches over keys (KEYS, FLUSHALL, CONFIG), waits
-- (BLPOP) or changes the connection (SELECT, SUBSCRIBE) is not to be had. Functions wait; where Redis is
-- away, or the site has the memory store, they give nil, "unavailable".

local crypto = require "moonlatch.crypto"
local json = require "moonlatch.json"
local wire = require "moonlatch.redis_wire"

local redis = {}

-- Where the keys of commands are: the first, the last (from the end when negative), the step.
local function spec(first, last, step) return { first, last, step or 1 } end
local ONE, TWO, ALL, NONE = spec(1, 1), spec(1, 2), spec(1, -1), spec(0, 0)

local COMMANDS = {}

local function add(keys, names)
  for name in names:gmatch("%S+") do COMMANDS[name] = keys end
end

add(NONE, "PING TIME ECHO")
add(ONE, [[
  GET SET SETEX PSETEX SETNX GETDEL GETEX GETSET APPEND STRLEN INCR DECR INCRBY DECRBY INCRBYFLOAT GETRANGE SETRANGE
  SETBIT GETBIT BITCOUNT BITPOS EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL PERSIST TYPE
  HGET HSET HSETNX HMGET HMSET HGETALL HDEL HEXISTS HKEYS HVALS HLEN HINCRBY HINCRBYFLOAT HSTRLEN HRANDFIELD HSCAN
  LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LLEN LRANGE LINDEX LSET LREM LTRIM LINSERT LPOS
  SADD SREM SCARD SISMEMBER SMISMEMBER SMEMBERS SPOP SRANDMEMBER SSCAN
  ZADD ZREM ZCARD ZSCORE ZMSCORE ZRANK ZREVRANK ZINCRBY ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZRANGEBYLEX
  ZREVRANGEBYLEX ZLEXCOUNT ZCOUNT ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX ZPOPMIN ZPOPMAX ZRANDMEMBER ZSCAN
  PFADD XADD XLEN XRANGE XREVRANGE XDEL XTRIM GEOADD GEOPOS GEODIST GEOHASH GEOSEARCH]])
add(TWO, "RENAME RENAMENX COPY RPOPLPUSH LMOVE SMOVE ZRANGESTORE GEOSEARCHSTORE")
add(ALL, "DEL UNLINK EXISTS TOUCH MGET SINTER SUNION SDIFF SINTERSTORE SUNIONSTORE SDIFFSTORE PFCOUNT PFMERGE")
add(spec(1, -1, 2), "MSET MSETNX")

-- ---- commands ------------------------------------------------------------------------------------

-- A word as Redis gets it.
local function text_of(value, level)
  local kind = math.type(value) or type(value)
  if kind == "string" then return value end
  if kind == "integer" then return tostring(value) end
  if kind == "float" and value == value then return ("%.17g"):format(value) end
  error("a text or a number expected, got " .. kind, level + 1)
end

local function prepare(command, level)
  local name = command[1]
  if type(name) ~= "string" then error("the name of a command expected, got " .. type(name), level + 1) end
  name = name:upper()
  local keys = COMMANDS[name]
  if not keys then error(name .. " is not for scripts", level + 1) end
  local words, count = { name }, command.n or #command
  for i = 2, count do words[i] = text_of(command[i], level + 1) end
  local first, last, step = table.unpack(keys)
  if last < 0 then last = count - 1 end
  if first > 0 and count <= (keys == TWO and 2 or 1) then error(name .. ": a key is missing", level + 1) end
  for i = first, last, step do
    if first > 0 then words[i + 1] = wire.prefix .. words[i + 1] end
  end
  return words
end

local function single(values, errors)
  if not values then return nil, errors end
  if errors[1] then return nil, "refused", errors[1] end
  if values[1] == json.null then return nil end
  return values[1]
end

-- call("SET", "key", value, ...): the reply, a text, an integer or a list (json.null for what is not
-- there inside of it), or nil when there is none. nil, code: "unavailable", "limit", "too_large", and
-- "refused" with the error of Redis as the third.
function redis.call(...)
  return single(wire.send("redis.call", { prepare(table.pack(...), 2) }))
end

-- pipeline { { "INCR", "a" }, { "GET", "b" } }: sent together; the list of the replies, json.null where
-- there is none, and a table of the errors of Redis by their place, or nil when there are none.
function redis.pipeline(commands)
  if type(commands) ~= "table" then error("a list of commands expected, got " .. type(commands), 2) end
  local all = {}
  for i, command in ipairs(commands) do
    if type(command) ~= "table" then error("a list of commands expected", 2) end
    all[i] = prepare(command, 2)
  end
  if #all == 0 then return {} end
  local values, errors = wire.send("redis.pipeline", all)
  if not values then return nil, errors end
  return values, next(errors) and errors or nil
end

-- ---- eval ----------------------------------------------------------------------------------------

-- What stands before a script in Redis, on its first line: redis.call and redis.pcall that know the
-- commands above and this site's keys only, and nothing that leads around them.
local GUARD = [[local redis=(function(R,P) local S={%s} local up,sub,ts,er,sel=string.upper,string.sub,tostring,error,select ]]
  .. [[local function C(name,...) local s=S[up(ts(name))] if not s then er(ts(name).." is not for scripts") end ]]
  .. [[local n=sel("#",...) local last=s[2]<0 and n or s[2] if s[1]>0 and n<s[1] then er("a key is missing") end ]]
  .. [[for i=s[1],last,s[3] do if i>0 and sub(ts((sel(i,...))),1,#P)~=P then er("a key of another site") end end end ]]
  .. [[return {call=function(...) C(...) return R.call(...) end,pcall=function(...) C(...) return R.pcall(...) end,]]
  .. [[error_reply=R.error_reply,status_reply=R.status_reply,sha1hex=R.sha1hex} end)(redis,%q) ]]
  .. [[local _G,getfenv,setfenv,loadstring,load,dofile,require,newproxy,server; ]]

local guard
local hashes, hash_count = {}, 0 -- of scripts, by their text

local function guarded(script)
  if not guard then
    local rows = {}
    for name, keys in pairs(COMMANDS) do rows[#rows + 1] = ("%s={%d,%d,%d}"):format(name, keys[1], keys[2], keys[3]) end
    table.sort(rows)
    guard = GUARD:format(table.concat(rows, ","), wire.prefix)
  end
  return guard .. script
end

local function hash_of(script)
  local hash = hashes[script]
  if hash then return hash end
  if hash_count >= 100 then hashes, hash_count = {}, 0 end
  hash = crypto.sha1(guarded(script))
  hashes[script], hash_count = hash, hash_count + 1
  return hash
end

local function check_list(list, what)
  if list ~= nil and type(list) ~= "table" then error(what .. ": a list expected, got " .. type(list), 3) end
  return list or {}
end

-- eval(script, keys, arguments): runs a script inside of Redis, where KEYS and ARGV are these. It may use
-- the commands that call may, on keys that begin like the site's own do. The reply, or nil, code as call.
function redis.eval(script, keys, arguments)
  if type(script) ~= "string" then error("script: a text expected, got " .. type(script), 2) end
  keys, arguments = check_list(keys, "keys"), check_list(arguments, "arguments")
  local words = { "EVALSHA", hash_of(script), tostring(#keys) }
  for _, key in ipairs(keys) do words[#words + 1] = wire.prefix .. text_of(key, 2) end
  for _, argument in ipairs(arguments) do words[#words + 1] = text_of(argument, 2) end
  local values, errors = wire.send("redis.eval", { words })
  if values and errors[1] and errors[1]:find("^NOSCRIPT") then
    words[1], words[2] = "EVAL", guarded(script)
    values, errors = wire.send("redis.eval", { words })
  end
  return single(values, errors)
end

return redis
