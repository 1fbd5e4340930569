-- SPDX-License-Identifier: MIT
return { user = "name" } -- the member of auth that says who somebody is
