-- SPDX-License-Identifier: MIT
-- What a client asks for (src/core/op.c): subscribe, unsubscribe, publish and broadcast take effect in the
-- order in which they were asked; calls run side by side.

local json = require "moonlatch.spec.json"

local ops = {}

-- Whether the bucket of this socket has one more; rate per second, burst at once.
local function rate_allows(socket, name, rate, burst)
  local now = socket.world.scheduler.now
  local bucket = socket.buckets[name] or { left = burst, at = now }
  bucket.left = math.min(burst, bucket.left + (now - bucket.at) * rate)
  bucket.at = now
  socket.buckets[name] = bucket
  if bucket.left < 1 then return false end
  bucket.left = bucket.left - 1
  return true
end

-- What is wrong with the op at once, or nil.
local function refusal(socket, op)
  local limits = socket.world.conf.limits
  if op.kind ~= "broadcast" then
    local problem = socket.world.hub:name_error(op.channel)
    if problem then return problem end
  end
  if op.kind == "subscribe" or op.kind == "unsubscribe" then
    return not rate_allows(socket, "subscribe", limits.subscribe_rate, limits.subscribe_burst) and "rate" or nil
  end
  if #op.text > limits.published_message then return "too_big" end
  return not rate_allows(socket, "publish", limits.publish_rate, limits.publish_burst) and "rate" or nil
end

local run_queue

local function finish(socket, op, err)
  local world = socket.world
  if socket.ops[1] == op then table.remove(socket.ops, 1) end
  op.done(err, op.position)
  if err == nil and world.observed[op.kind] then
    world:run({ name = "after", waits = true }, nil, world.entries.after, op.kind, socket:handle(), op.data())
  end
  run_queue(socket)
end

local effects = {}

function effects.subscribe(socket, op)
  local hub = socket.world.hub
  local problem = hub:join(socket, op.channel)
  if problem then return finish(socket, op, problem) end
  local kept = hub:history(op.channel)
  op.position = kept and { offset = kept.offset, epoch = kept.epoch }
  socket.world.scheduler:defer(function() finish(socket, op) end)
end

function effects.unsubscribe(socket, op)
  socket.world.hub:part(socket, op.channel)
  finish(socket, op)
end

function effects.publish(socket, op)
  socket.world.hub:publish(op.channel, op.text)
  finish(socket, op)
end

function effects.broadcast(socket, op)
  socket.world.hub:broadcast(op.text)
  finish(socket, op)
end

local function decide(socket, op, ok, allowed, err, changed)
  if not socket.open then return op.done("closed") end
  if not ok then return finish(socket, op, allowed) end
  if not allowed then return finish(socket, op, err == nil and "Forbidden" or json.copy(err)) end
  if changed ~= nil then op.text = json.encode(changed) end
  effects[op.kind](socket, op)
end

function run_queue(socket)
  local op, world = socket.ops[1], socket.world
  if not op or op.begun then return end
  op.begun = true
  if not world.hooks[op.kind] then return effects[op.kind](socket, op) end
  world:run({ name = op.kind, waits = true }, function(...) decide(socket, op, ...) end, world.entries.permit, op.kind,
    socket:handle(), op.data())
end

-- kind, channel, data (of publish and broadcast). done(err, position) is called once; err nil: it took effect.
function ops.start(socket, kind, channel, data, done)
  local op = { kind = kind, channel = channel, text = data ~= nil and json.encode(data) or nil, done = done }
  function op.data()
    return { channel = kind ~= "broadcast" and channel or nil, data = op.text and json.decode(op.text) }
  end
  local problem = refusal(socket, op)
  if problem then return done(problem) end
  socket.ops[#socket.ops + 1] = op
  run_queue(socket)
  return op
end

-- A call of a controller. done(value, err) once.
function ops.call(socket, name, data, done)
  local world, over, timer = socket.world, false, nil
  local function answer(value, err)
    if over then return end
    over = true
    if timer then timer.cancel() end
    done(value, err)
  end
  if socket.running >= world.conf.limits.rpc_concurrency then return answer(nil, "overload") end
  socket.running = socket.running + 1
  timer = world.scheduler:after(world.conf.limits.rpc_timeout / 1000, function() answer(nil, "timeout") end)
  world:run({ name = "rpc", waits = true, handler = name }, function(ok, value, err)
    socket.running = socket.running - 1
    if not ok then answer(nil, value)
    elseif value ~= nil then answer(json.copy(value))
    else answer(nil, json.copy(err)) end
  end, world.entries.call, name, socket.auth, json.copy(data), socket:handle())
end

-- An event. done(args) once, where an ack is wanted: what it has.
function ops.event(socket, name, args, wants_ack, done)
  local world = socket.world
  world:run({ name = "event", waits = true, handler = name }, function(ok, ...)
    if not wants_ack or not socket.open then return end
    done(json.copy_event(ok and { ... } or { (...) }))
  end, world.entries.event, name, wants_ack, socket.auth, socket:handle(), table.unpack(args))
end

return ops
