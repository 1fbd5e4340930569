---@meta _
-- SPDX-License-Identifier: MIT
-- Definitions for editors with the Lua language server (LuaLS): what scripts see. Never run. In the folder with your
-- scripts, .luarc.json: { "runtime.version": "Lua 5.4", "workspace.library": ["PATH/lua/moonlatch/types.lua"] }
-- and above your site's table: ---@type moonlatch.site

---@alias moonlatch.value nil|boolean|number|string|table any value that JSON can hold

---What the gateway gives where the world failed: "closed", "timeout", "refused", "too_large", "limit", "bad_channel",
---"unavailable", "cancelled", "busy", "no_history", ...
---@alias moonlatch.code string

-- ---- the site's table ----------------------------------------------------------------------------

---@class moonlatch.site
---@field authentication? string|fun(req: moonlatch.request): (table|boolean|nil), (string|{ message: string, data: moonlatch.value })? who gets in; may wait
---@field customMiddleware? fun(req: moonlatch.request, res: moonlatch.response) before it, on the token route; may wait
---@field controllers? table<string, moonlatch.controller|table> what clients can call
---@field routes? table<string, fun(req: moonlatch.route_request, res: moonlatch.response)|table> the same, in the shape of HTTP
---@field filter? moonlatch.filter what of a message a socket gets; may not wait
---@field events? table<string, fun(socket: moonlatch.socket, ...: moonlatch.value): ...> of Socket.IO clients; what they return is the ack's
---@field setup? fun(server: moonlatch.server) called once; may not wait
---@field ping? boolean
---@field options? table what the conf has under options; set by the gateway

---@alias moonlatch.controller fun(auth: table, data: moonlatch.value, socket: moonlatch.socket): moonlatch.value, moonlatch.value
---@alias moonlatch.filter fun(socket: moonlatch.socket, channel: string, message: moonlatch.value): moonlatch.value

---@class moonlatch.request
---@field method string
---@field path string
---@field query table<string, string|table>
---@field querystring string
---@field headers table<string, string> names in lower case
---@field cookies table<string, string>
---@field ip string
---@field ips string[] of trusted proxies' headers
---@field host string
---@field body? string
---@field auth? table what a Socket.IO client gave with its CONNECT
---@field session? table yours to set in customMiddleware

---@class moonlatch.route_request
---@field body table
---@field query table
---@field params table
---@field user table
---@field session table
---@field method string
---@field protocol string
---@field originalUrl string
---@field headers table<string, string>
---@field host string
---@field hostname string
---@field ip string
---@field ips string[]
---@field socket moonlatch.socket

---@class moonlatch.response the first answer counts
local response = {}

---@param code integer
---@return moonlatch.response
function response:status(code) end

---@param name string|table<string, string>
---@param value? string
---@return moonlatch.response
function response:set(name, value) end

---@param text string a media type
---@return moonlatch.response
function response:type(text) end

---@param value moonlatch.value
function response:json(value) end

---@param text string
function response:send(text) end

-- ---- server --------------------------------------------------------------------------------------

---@alias moonlatch.event "subscribe"|"unsubscribe"|"publish"|"broadcast"|"authentication"|"connect"|"disconnect"|"message"|"occupied"|"vacated"|"gap"|"shutdown"|"backendMessage"

---@class moonlatch.server
local server = {}

---One after another, the highest priority first; may refuse (false or nil, err) or change ({ data = ... }).
---@param event moonlatch.event
---@param fn function
---@param options? { priority?: number, once?: boolean }
function server:before(event, fn, options) end

---All at once; for subscribe, unsubscribe, publish and broadcast each has a vote: something true allows.
---@param event moonlatch.event
---@param fn function
---@param options? { once?: boolean }
function server:on(event, fn, options) end

---Observes what has taken effect.
---@param event moonlatch.event
---@param fn function
---@param options? { once?: boolean }
function server:after(event, fn, options) end

---@param event moonlatch.event
---@param fn function
function server:once(event, fn) end

---@param event moonlatch.event
---@param fn function
function server:removeListener(event, fn) end

---@param event? moonlatch.event all events without one
function server:removeAllListeners(event) end

---Calls a client, on whatever node it is. Waits.
---@param target moonlatch.socket|string a socket or a sid
---@param name string
---@param args? moonlatch.value
---@param options? { timeout?: number } seconds
---@return moonlatch.value answer json.null when it gave none
---@return moonlatch.code? code
---@return moonlatch.value detail the client's error
function server:rpc(target, name, args, options) end

---@param channel string
---@param value moonlatch.value
---@return true? ok
---@return moonlatch.code? code
function server:publish(channel, value) end

---@param value moonlatch.value
---@return true? ok
---@return moonlatch.code? code
function server:broadcast(value) end

---Waits only for a socket of another node.
---@param target moonlatch.socket|string
---@param channel string
---@return true? ok
---@return moonlatch.code? code
function server:subscribe(target, channel) end

---Waits only for a socket of another node.
---@param target moonlatch.socket|string
---@param channel string
---@return boolean? was_member
---@return moonlatch.code? code
function server:unsubscribe(target, channel) end

---@param channel string
---@return true? ok
---@return moonlatch.code? code
function server:unsubscribeAll(channel) end

---On all nodes. Waits.
---@param max? integer at most 1000
---@return moonlatch.socket[]? sockets
---@return boolean|moonlatch.code more whether there may be more
function server:sockets(max) end

---On all nodes. Waits.
---@param max? integer
---@return string[]? names
---@return boolean|moonlatch.code more
function server:channels(max) end

---On all nodes. Waits.
---@param channel string
---@param max? integer
---@return moonlatch.socket[]? members
---@return boolean|moonlatch.code more
function server:channelSockets(channel, max) end

---Waits.
---@param channel string
---@param options? { since?: integer, epoch?: string, limit?: integer }
---@return { offset: integer, message: moonlatch.value }[]? messages
---@return { offset: integer, epoch: string, complete: boolean }|moonlatch.code where
function server:history(channel, options) end

---@param fn? moonlatch.filter
function server:publishFilter(fn) end

---Who gets an event: each step gives a new one.
---@class moonlatch.emission
local emission = {}

---Also those in this room: all that are in any of them get it, once.
---@param room string|moonlatch.socket a channel, a sid or a socket
---@return moonlatch.emission
function emission:to(room) end

---Not those in this room.
---@param room string|moonlatch.socket
---@return moonlatch.emission
function emission:except(room) end

---Not those that lag behind.
---@return moonlatch.emission
function emission:volatile() end

---On all nodes.
---@param name string
---@param ... moonlatch.value
---@return true? ok
---@return moonlatch.code? code
function emission:emit(name, ...) end

---@param room string|moonlatch.socket a channel, a sid or a socket
---@return moonlatch.emission
function server:to(room) end

---@param room string|moonlatch.socket
---@return moonlatch.emission
function server:except(room) end

---@return moonlatch.emission
function server:volatile() end

---What POST /send does. Waits until the store has it.
---@param message { rooms: string|string[], event: string, args?: moonlatch.value[], resync?: boolean }
---@return true? ok
---@return moonlatch.code? code
function server:send(message) end

---An event to every Socket.IO client of the site, on all nodes.
---@param name string
---@param ... moonlatch.value
---@return true? ok
---@return moonlatch.code? code
function server:emit(name, ...) end

---@class moonlatch.timer
local timer = {}

---@return boolean was_set
function timer:cancel() end

---@param seconds number
---@param fn function runs as a task
---@return moonlatch.timer
function server:delay(seconds, fn) end

---@param seconds number at least 0.01
---@param fn function runs as a task; a tick is left out while the one before still waits
---@return moonlatch.timer
function server:every(seconds, fn) end

---@return number seconds since 1970, with a fraction
function server:now() end

---@param ms? integer how long later sockets may stay without login
function server:enableCleanup(ms) end

function server:disableCleanup() end

---Closes all sockets of the site.
function server:shutdown() end

-- ---- socket --------------------------------------------------------------------------------------

---@class moonlatch.socket
---@field sid string
---@field auth table what authentication gave
---@field session table the same
---@field ip string
---@field ips string[]
---@field host string
---@field protocol string
---@field endpoint string
---@field handshake moonlatch.request made anew at each look
---@field created integer seconds since 1970
---@field recovered boolean its Socket.IO client came back after a lost connection, and missed nothing
---@field channels string[] made anew at each look
---@field [string] any your own
local socket = {}

---Calls the client. Waits.
---@param name string
---@param args? moonlatch.value
---@param options? { timeout?: number } seconds
---@return moonlatch.value answer json.null when it gave none
---@return moonlatch.code? code
---@return moonlatch.value detail the client's error
function socket:rpc(name, args, options) end

---An event to a Socket.IO client.
---@param name string
---@param ... moonlatch.value
---@return true? ok
---@return moonlatch.code? code
function socket:emit(name, ...) end

---On raw endpoints: a text, bytes, or any other value as JSON.
---@param data moonlatch.value
---@param binary? boolean
---@return true? ok
---@return moonlatch.code? code
function socket:send(data, binary) end

---@param channel string
---@return true? ok
---@return moonlatch.code? code
function socket:subscribe(channel) end

---@param channel string
---@return boolean? was_member
---@return moonlatch.code? code
function socket:unsubscribe(channel) end

---@param code? integer 1000, 1001, 1008, 1011, or 3000 to 4999
---@param reason? string at most 123 bytes
---@param whole? boolean with all that a Socket.IO client has on its connection
---@return true? ok
---@return moonlatch.code? problem
function socket:close(code, reason, whole) end

-- ---- require "moonlatch.json" --------------------------------------------------------------------

---@class moonlatch.json
---@field null userdata
---@field empty_array userdata
---@field array_mt table
local json = {}

---@param value moonlatch.value
---@return string
function json.encode(value) end

---@param text string
---@return moonlatch.value
function json.decode(text) end

---Bytes among the values of an event; arriving ones have the same form.
---@param bytes string
---@return { bytes: string }
function json.bytes(bytes) end

-- ---- require "moonlatch.time" --------------------------------------------------------------------

---@class moonlatch.time
local time = {}

---Waits.
---@param seconds number
function time.sleep(seconds) end

---@return number seconds since 1970
function time.now() end

---@return number seconds on a clock that never goes back
function time.monotonic() end

-- ---- require "moonlatch.log" ---------------------------------------------------------------------

---@class moonlatch.log
local log = {}

---@param text any
---@param fields? table<string, any>
function log.debug(text, fields) end

---@param text any
---@param fields? table<string, any>
function log.info(text, fields) end

---@param text any
---@param fields? table<string, any>
function log.warn(text, fields) end

---@param text any
---@param fields? table<string, any>
function log.error(text, fields) end

-- ---- require "moonlatch.crypto" ------------------------------------------------------------------

---@class moonlatch.crypto
local crypto = {}

---@alias moonlatch.digest_form "hex"|"raw"|"base64url"

---@return string version_4
function crypto.uuid() end

---@param count integer 1 to 1024
---@return string bytes
function crypto.random(count) end

---@param text string
---@param form? moonlatch.digest_form
---@return string
function crypto.sha1(text, form) end

---@param text string
---@param form? moonlatch.digest_form
---@return string
function crypto.sha256(text, form) end

---@param key string
---@param text string
---@param form? moonlatch.digest_form
---@return string
function crypto.hmac_sha256(key, text, form) end

---@param bytes string
---@return string
function crypto.base64_encode(bytes) end

---@param text string
---@return string? bytes
---@return "malformed"? problem
function crypto.base64_decode(text) end

---@param bytes string
---@return string
function crypto.base64url_encode(bytes) end

---@param text string
---@return string? bytes
---@return "malformed"? problem
function crypto.base64url_decode(text) end

---In a time that does not tell where they differ.
---@param a string
---@param b string
---@return boolean
function crypto.equal(a, b) end

---HS256.
---@param claims table
---@param key string
---@return string
function crypto.jwt_sign(claims, key) end

---HS256, and nothing else.
---@param token string
---@param key string
---@param options? { now?: number, leeway?: number, aud?: string, iss?: string }
---@return table? claims
---@return "malformed"|"algorithm"|"signature"|"expired"|"not_yet"|"audience"|"issuer"|nil problem
function crypto.jwt_verify(token, key, options) end

-- ---- require "moonlatch.cache" -------------------------------------------------------------------

---@class moonlatch.cache values of this site on this node, kept over reloads
local cache = {}

---@param key string
---@return moonlatch.value
function cache.get(key) end

---@param key string
---@param value moonlatch.value
---@param ttl? number seconds
---@return true? ok
---@return "too_large"? problem
function cache.set(key, value, ttl) end

---Only where there is none.
---@param key string
---@param value moonlatch.value
---@param ttl? number seconds
---@return boolean? added
---@return "too_large"? problem
function cache.add(key, value, ttl) end

---@param key string
---@param by? number 1
---@param ttl? number seconds, from the first
---@return number? value
---@return "not_a_number"|"limit"|"too_large"|nil problem
function cache.incr(key, by, ttl) end

---@param key string
---@return boolean was_there
function cache.delete(key) end

function cache.clear() end

-- ---- require "moonlatch.task" --------------------------------------------------------------------

---@class moonlatch.handle
local handle = {}

---Waits for its end: its results, or nil, "timeout", "cancelled", "script_error".
---@param seconds? number
---@return any ...
function handle:wait(seconds) end

function handle:cancel() end

---@class moonlatch.task
local task = {}

---Runs fn now, beside what comes next.
---@param fn function
---@param ... any
---@return moonlatch.handle
function task.spawn(fn, ...) end

---Waits for all: the list of their first results, or nil and the code of the first that failed.
---@param functions function[]
---@param seconds? number
---@return any[]? results
---@return moonlatch.code? code
function task.all(functions, seconds) end

---Waits for the first that does not fail: its result, and which it was.
---@param functions function[]
---@param seconds? number
---@return any result
---@return integer|moonlatch.code which
function task.any(functions, seconds) end

---The results of fn, or nil, "timeout".
---@param seconds number
---@param fn function
---@param ... any
---@return any ...
function task.deadline(seconds, fn, ...) end

-- ---- require "moonlatch.http" --------------------------------------------------------------------

---@class moonlatch.http.answer
---@field status integer
---@field headers table<string, string> names in lower case
---@field body string
local answer = {}

---@return moonlatch.value value
---@return "not JSON"? problem
function answer:json() end

---@class moonlatch.http.options
---@field method? "GET"|"HEAD"|"POST"|"PUT"|"PATCH"|"DELETE"|"OPTIONS"
---@field headers? table<string, string|number>
---@field query? table
---@field params? table<string, string|number> fill {name} in the path
---@field json? moonlatch.value
---@field form? table
---@field body? string
---@field timeout? number seconds, for everything

---@class moonlatch.http.request: moonlatch.http.options
---@field url string

---@class moonlatch.http
local http = {}

---Waits.
---@param options moonlatch.http.request
---@return moonlatch.http.answer? answer
---@return "timeout"|"too_large"|"busy"|"unavailable"|nil code
---@return string? why
function http.request(options) end

---Waits.
---@param url string
---@param options? moonlatch.http.options
---@return moonlatch.http.answer? answer
---@return "timeout"|"too_large"|"busy"|"unavailable"|nil code
---@return string? why
function http.get(url, options) end

---Waits.
---@param url string
---@param options? moonlatch.http.options
---@return moonlatch.http.answer? answer
---@return "timeout"|"too_large"|"busy"|"unavailable"|nil code
---@return string? why
function http.post(url, options) end

---@param text string
---@return string as one part of a path or a query
function http.escape(text) end

---@param values table
---@return string "a=1&b%5Bc%5D=2"
function http.encode(values) end

-- ---- require "moonlatch.redis" -------------------------------------------------------------------

---@class moonlatch.redis
local redis = {}

---Waits.
---@param command string
---@param ... string|number
---@return string|integer|table|nil reply
---@return "unavailable"|"limit"|"too_large"|"refused"|nil code
---@return string? error of Redis
function redis.call(command, ...) end

---Waits.
---@param commands (string|number)[][]
---@return table? replies json.null where there is none
---@return table<integer, string>|moonlatch.code|nil errors by their place
function redis.pipeline(commands) end

---Waits.
---@param script string
---@param keys? string[]
---@param arguments? (string|number)[]
---@return string|integer|table|nil reply
---@return "unavailable"|"limit"|"too_large"|"refused"|nil code
---@return string? error of Redis
function redis.eval(script, keys, arguments) end

-- ---- require "moonlatch.spec", in specs ----------------------------------------------------------

---@class moonlatch.spec
---@field live boolean whether specs run against a real gateway
---@field json moonlatch.json
local spec = {}

---@param name string
---@param options? { options?: table, conf?: table, store?: "memory"|"redis" }
---@return moonlatch.spec.site
function spec.site(name, options) end

---@param fn fun(req: { method: string, path: string, query: table, headers: table, body: string, json: moonlatch.value }): { status?: integer, headers?: table, json?: moonlatch.value, body?: string }?
---@return string url
function spec.backend(fn) end

---@class moonlatch.spec.request
---@field query? table|string
---@field headers? table<string, string>
---@field cookies? table<string, string>
---@field ip? string
---@field method? string
---@field body? string
---@field endpoint? string its path, "/ws"
---@field auth? table this is socket.auth: authentication is not asked

---@class moonlatch.spec.site
---@field log { level: string, text: string, traceback?: string }[]
local spec_site = {}

---@param request? moonlatch.spec.request
---@return moonlatch.spec.client? client
---@return string? reason
function spec_site:connect(request) end

---@param request? moonlatch.spec.request
---@return string? token
---@return integer? status
---@return moonlatch.value body
function spec_site:token(request) end

---@param seconds number
function spec_site:pass(seconds) end

---@return number seconds since 1970
function spec_site:now() end

---@param channel string
---@param value moonlatch.value
function spec_site:publish(channel, value) end

---@param value moonlatch.value
function spec_site:broadcast(value) end

---@return string[] sids
function spec_site:sockets() end

---@return string[] names
function spec_site:channels() end

---@param channel string
---@return string[] sids
function spec_site:members(channel) end

---Lets all that can run do so.
function spec_site:settle() end

---Raises when the script left something behind.
---@param options? { leaks?: boolean }
function spec_site:close(options) end

---@class moonlatch.spec.client
---@field sid string
---@field auth table
---@field closed? { code: integer, reason: string }
local spec_client = {}

---@param name string
---@param data? moonlatch.value
---@return moonlatch.value value
---@return moonlatch.value error
function spec_client:rpc(name, data) end

---@param name string
---@param data? moonlatch.value
---@return { done: boolean, result: fun(self: table): moonlatch.value, moonlatch.value }
function spec_client:start(name, data) end

---@param name string
---@param fn fun(args: moonlatch.value): moonlatch.value, moonlatch.value
function spec_client:on(name, fn) end

---@param channel string
---@return true? ok
---@return moonlatch.value error
function spec_client:subscribe(channel) end

---@param channel string
---@return true? ok
---@return moonlatch.value error
function spec_client:unsubscribe(channel) end

---@param channel string
---@param data moonlatch.value
---@return true? ok
---@return moonlatch.value error
function spec_client:publish(channel, data) end

---@param data moonlatch.value
---@return true? ok
---@return moonlatch.value error
function spec_client:broadcast(data) end

---Of a client of a namespace: an event.
---@param name string
---@param ... moonlatch.value
function spec_client:emit(name, ...) end

---Of a client of a namespace: an event, and the arguments of its ack.
---@param name string
---@param ... moonlatch.value
---@return moonlatch.value ...
function spec_client:emitWithAck(name, ...) end

---@param seconds? number
---@return { channel: string, data: moonlatch.value }|{ event: string, args: moonlatch.value[] }|string|nil message
---@return boolean|"timeout"|"closed"|nil problem
function spec_client:receive(seconds) end

---@return table[] messages
function spec_client:messages() end

---@param data moonlatch.value
---@param binary? boolean
function spec_client:send(data, binary) end

function spec_client:close() end
