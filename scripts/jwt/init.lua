-- SPDX-License-Identifier: MIT
-- Login by a JSON Web Token that another program signed (HS256), in the header or in the query.
--   GET /jwt/socket/token    authorization: Bearer eyJ...

local crypto = require "moonlatch.crypto"

local site = {}

function site.authentication(req)
  local token = (req.headers.authorization or ""):match("^Bearer (%S+)$") or req.query.jwt
  if type(token) ~= "string" then return nil, "no token" end
  local claims, why = crypto.jwt_verify(token, site.options.secret, { iss = site.options.issuer, leeway = 5 })
  if not claims then return nil, why end -- malformed, signature, expired, ...
  return { name = claims.sub, roles = claims.roles }
end

site.controllers = { whoami = function(auth) return auth end }

return site
