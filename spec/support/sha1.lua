-- SPDX-License-Identifier: MIT
-- SHA-1 (RFC 3174), for the accept key of a WebSocket handshake; returns the 20 bytes.

local function rotate(x, n)
  return ((x << n) | (x >> (32 - n))) & 0xffffffff
end

local function step(round, b, c, d)
  if round < 20 then return (b & c) | (~b & d), 0x5a827999 end
  if round < 40 then return b ~ c ~ d, 0x6ed9eba1 end
  if round < 60 then return (b & c) | (b & d) | (c & d), 0x8f1bbcdc end
  return b ~ c ~ d, 0xca62c1d6
end

return function(text)
  local padded = text .. "\128" .. string.rep("\0", (55 - #text) % 64) .. string.pack(">I8", #text * 8)
  local h = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 }
  for at = 1, #padded, 64 do
    local w = { string.unpack(">" .. string.rep("I4", 16), padded, at) }
    for i = 17, 80 do w[i] = rotate(w[i - 3] ~ w[i - 8] ~ w[i - 14] ~ w[i - 16], 1) end
    local a, b, c, d, e = table.unpack(h)
    for i = 0, 79 do
      local f, k = step(i, b, c, d)
      local t = (rotate(a, 5) + (f & 0xffffffff) + e + k + w[i + 1]) & 0xffffffff
      a, b, c, d, e = t, a, rotate(b, 30), c, d
    end
    for i, v in ipairs { a, b, c, d, e } do h[i] = (h[i] + v) & 0xffffffff end
  end
  return string.pack(">I4I4I4I4I4", table.unpack(h))
end
