-- SPDX-License-Identifier: MIT
return require "lib.cycle"
