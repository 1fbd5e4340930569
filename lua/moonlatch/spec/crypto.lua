-- SPDX-License-Identifier: MIT
-- moonlatch.crypto in plain Lua, for specs.

local digest = require "moonlatch.spec.digest"
local json = require "moonlatch.spec.json"

local crypto = {}

local FORMS = { hex = digest.hex, raw = function(bytes) return bytes end,
  base64url = function(bytes) return digest.base64(bytes, true) end }

local function check_text(value, index, name)
  if type(value) ~= "string" then
    error(("bad argument #%d to '%s' (string expected, got %s)"):format(index, name, type(value)), 3)
  end
  return value
end

local function form(bytes, name)
  local as = FORMS[name or "hex"] or error("invalid option '" .. tostring(name) .. "'", 3)
  return as(bytes)
end

function crypto.random(count)
  if math.type(count) ~= "integer" or count < 1 or count > 1024 then error("expected 1 to 1024", 2) end
  local bytes = {}
  for i = 1, count do bytes[i] = string.char(math.random(0, 255)) end
  return table.concat(bytes)
end

function crypto.uuid()
  local hex = digest.hex(crypto.random(16))
  return ("%s-%s-4%s-%s%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16), ("89ab"):sub(math.random(4)):sub(1, 1),
    hex:sub(18, 20), hex:sub(21, 32))
end

function crypto.sha1(text, as) return form(digest.sha1(check_text(text, 1, "sha1")), as) end
function crypto.sha256(text, as) return form(digest.sha256(check_text(text, 1, "sha256")), as) end

function crypto.hmac_sha256(key, text, as)
  return form(digest.hmac_sha256(check_text(key, 1, "hmac_sha256"), check_text(text, 2, "hmac_sha256")), as)
end

function crypto.base64_encode(text) return digest.base64(check_text(text, 1, "base64_encode")) end
function crypto.base64url_encode(text) return digest.base64(check_text(text, 1, "base64url_encode"), true) end

local function decoded(bytes)
  if bytes then return bytes end
  return nil, "malformed"
end

function crypto.base64_decode(text) return decoded(digest.unbase64(check_text(text, 1, "base64_decode"))) end
function crypto.base64url_decode(text) return decoded(digest.unbase64(check_text(text, 1, "base64url_decode"), true)) end

function crypto.equal(a, b) return check_text(a, 1, "equal") == check_text(b, 2, "equal") end

-- ---- JSON Web Tokens -----------------------------------------------------------------------------

local HEADER = digest.base64('{"alg":"HS256","typ":"JWT"}', true)

local function check_key(key, name)
  if check_text(key, 2, name) == "" then error("the key is empty", 3) end
  return key
end

function crypto.jwt_sign(claims, key)
  if type(claims) ~= "table" then error("bad argument #1 to 'jwt_sign' (table expected, got " .. type(claims) .. ")", 2) end
  local text = HEADER .. "." .. digest.base64(json.encode(claims), true)
  return text .. "." .. digest.base64(digest.hmac_sha256(check_key(key, "jwt_sign"), text), true)
end

local function read_part(part)
  local bytes = digest.unbase64(part, true)
  local ok, value = pcall(json.decode, bytes or "")
  return ok and type(value) == "table" and value or nil
end

local function has_audience(aud, wanted)
  if type(aud) ~= "table" then return aud == wanted end
  for _, item in ipairs(aud) do
    if item == wanted then return true end
  end
  return false
end

local function judge(claims, want)
  local function is_time(value) return value == nil or type(value) == "number" end
  if not is_time(claims.exp) or not is_time(claims.nbf) then return "malformed" end
  local leeway = want.leeway or 0
  if claims.exp and want.now >= claims.exp + leeway then return "expired" end
  if claims.nbf and want.now < claims.nbf - leeway then return "not_yet" end
  if want.aud and not has_audience(claims.aud, want.aud) then return "audience" end
  if want.iss and claims.iss ~= want.iss then return "issuer" end
end

-- clock(): seconds since 1970. Gives jwt_verify for it.
function crypto.verifier(clock)
  return function(token, key, options)
    check_key(key, "jwt_verify")
    local header, payload, signature = check_text(token, 1, "jwt_verify"):match("^([^.]*)%.([^.]*)%.([^.]*)$")
    local head = header and read_part(header)
    if not head then return nil, "malformed" end
    if head.alg ~= "HS256" or head.crit ~= nil then return nil, "algorithm" end
    if digest.unbase64(signature, true) ~= digest.hmac_sha256(key, header .. "." .. payload) then return nil, "signature" end
    local claims = read_part(payload)
    if not claims then return nil, "malformed" end
    options = options or {}
    local fault = judge(claims, { now = options.now or clock(), leeway = options.leeway, aud = options.aud, iss = options.iss })
    if fault then return nil, fault end
    return claims
  end
end

return crypto
