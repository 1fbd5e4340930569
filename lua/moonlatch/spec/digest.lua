-- SPDX-License-Identifier: MIT
-- SHA-1 and SHA-256 (FIPS 180-4), HMAC (RFC 2104) and base64 (RFC 4648) in plain Lua, for specs.

local digest = {}

local function rotate_left(x, n) return ((x << n) | (x >> (32 - n))) & 0xffffffff end
local function rotate_right(x, n) return ((x >> n) | (x << (32 - n))) & 0xffffffff end

local function blocks(text)
  local padded = text .. "\128" .. ("\0"):rep((55 - #text) % 64) .. string.pack(">I8", #text * 8)
  local at = 1
  return function()
    if at > #padded then return nil end
    local words = { string.unpack(">" .. ("I4"):rep(16), padded, at) }
    at = at + 64
    return words
  end
end

-- ---- SHA-1 ---------------------------------------------------------------------------------------

local function sha1_step(round, b, c, d)
  if round < 20 then return (b & c) | (~b & d & 0xffffffff), 0x5a827999 end
  if round < 40 then return b ~ c ~ d, 0x6ed9eba1 end
  if round < 60 then return (b & c) | (b & d) | (c & d), 0x8f1bbcdc end
  return b ~ c ~ d, 0xca62c1d6
end

-- The 20 bytes.
function digest.sha1(text)
  local h = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 }
  for w in blocks(text) do
    for i = 17, 80 do w[i] = rotate_left(w[i - 3] ~ w[i - 8] ~ w[i - 14] ~ w[i - 16], 1) end
    local a, b, c, d, e = table.unpack(h)
    for i = 0, 79 do
      local f, k = sha1_step(i, b, c, d)
      a, b, c, d, e = (rotate_left(a, 5) + f + e + k + w[i + 1]) & 0xffffffff, a, rotate_left(b, 30), c, d
    end
    for i, v in ipairs { a, b, c, d, e } do h[i] = (h[i] + v) & 0xffffffff end
  end
  return string.pack(">I4I4I4I4I4", table.unpack(h))
end

-- ---- SHA-256 -------------------------------------------------------------------------------------

-- The first 32 bits of the fractions of the roots (square or cube) of the first primes.
local function root_fractions(count, exponent)
  local list, candidate = {}, 2
  while #list < count do
    local prime = true
    for divisor = 2, math.floor(math.sqrt(candidate)) do prime = prime and candidate % divisor ~= 0 end
    if prime then list[#list + 1] = math.floor(candidate ^ exponent % 1 * 2 ^ 32) end
    candidate = candidate + 1
  end
  return list
end

local SQUARES, CUBES = root_fractions(8, 1 / 2), root_fractions(64, 1 / 3)

local function extend(w)
  for i = 17, 64 do
    local a, b = w[i - 15], w[i - 2]
    local s0 = rotate_right(a, 7) ~ rotate_right(a, 18) ~ (a >> 3)
    local s1 = rotate_right(b, 17) ~ rotate_right(b, 19) ~ (b >> 10)
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) & 0xffffffff
  end
end

-- The 32 bytes.
function digest.sha256(text)
  local hash = table.move(SQUARES, 1, 8, 1, {})
  for w in blocks(text) do
    extend(w)
    local a, b, c, d, e, f, g, h = table.unpack(hash)
    for i = 1, 64 do
      local s1 = rotate_right(e, 6) ~ rotate_right(e, 11) ~ rotate_right(e, 25)
      local t1 = h + s1 + ((e & f) ~ (~e & 0xffffffff & g)) + CUBES[i] + w[i]
      local s0 = rotate_right(a, 2) ~ rotate_right(a, 13) ~ rotate_right(a, 22)
      local t2 = s0 + ((a & b) ~ (a & c) ~ (b & c))
      a, b, c, d, e, f, g, h = (t1 + t2) & 0xffffffff, a, b, c, (d + t1) & 0xffffffff, e, f, g
    end
    for i, v in ipairs { a, b, c, d, e, f, g, h } do hash[i] = (hash[i] + v) & 0xffffffff end
  end
  return string.pack(">" .. ("I4"):rep(8), table.unpack(hash))
end

function digest.hmac_sha256(key, text)
  if #key > 64 then key = digest.sha256(key) end
  key = key .. ("\0"):rep(64 - #key)
  local function masked(byte) return (key:gsub(".", function(c) return string.char(c:byte() ~ byte) end)) end
  return digest.sha256(masked(0x5c) .. digest.sha256(masked(0x36) .. text))
end

-- ---- encodings -----------------------------------------------------------------------------------

function digest.hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function letter(bits) return LETTERS:sub(bits + 1, bits + 1) end

-- With padding; url: the alphabet of URLs, without.
function digest.base64(bytes, url)
  local text = bytes:gsub("..?.?", function(group)
    local a, b, c = group:byte(1, 3)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    return letter(bits >> 18) .. letter(bits >> 12 & 63) .. (b and letter(bits >> 6 & 63) or "=") .. (c and letter(bits & 63) or "=")
  end)
  if not url then return text end
  return (text:gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

-- The bytes, or nil when it is not that, strictly: no spaces, no bits left over.
function digest.unbase64(text, url)
  if url then
    if text:find("[+/=]") then return nil end
    text = text:gsub("[-_]", { ["-"] = "+", ["_"] = "/" }) .. ("="):rep(-#text % 4)
  end
  local plain, padding = text:match("^([%w+/]*)(=?=?)$")
  if not plain or #text % 4 ~= 0 or #plain % 4 == 1 then return nil end
  local bits, count, out = 0, 0, {}
  for c in plain:gmatch(".") do
    bits, count = (bits << 6 | LETTERS:find(c, 1, true) - 1) & 0xffffff, count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(bits >> count & 255)
    end
  end
  if bits & ((1 << count) - 1) ~= 0 or #padding ~= -#plain % 4 then return nil end
  return table.concat(out)
end

return digest
