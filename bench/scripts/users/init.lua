-- SPDX-License-Identifier: MIT
-- Everybody is the same user; a device by the name of a token is one that is away.

return {
  authentication = function() return { rooms = { "user_1" } } end,
}
