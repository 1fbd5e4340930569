-- SPDX-License-Identifier: MIT
local x = 1
local = 2
