-- SPDX-License-Identifier: MIT
local core = require "moonlatch.core"

local house = {}

function house.word()
  return core.word
end

return house
