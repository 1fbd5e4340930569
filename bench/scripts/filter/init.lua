-- SPDX-License-Identifier: MIT
-- The same as bench, with a filter that looks at every receiver.

local site = {}

function site.authentication(req)
  return { name = req.query.user }
end

function site.filter(socket)
  return socket.auth.name ~= "nobody"
end

return site
