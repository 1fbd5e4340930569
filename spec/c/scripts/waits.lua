-- SPDX-License-Identifier: MIT
require("moonlatch.belfry").wait("x")
