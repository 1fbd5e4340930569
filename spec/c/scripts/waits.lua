-- SPDX-License-Identifier: MIT
require("moonlatch.spec").wait("x")
