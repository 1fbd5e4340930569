-- SPDX-License-Identifier: MIT
std = "lua54"
max_line_length = 140
exclude_files = { "spec/c/scripts/**", "spec/interop/node_modules/**", "build/**" }
files["spec"] = { std = "lua54+busted" }
files["lua/moonlatch/template"] = { std = "lua54+busted" }
files["conf"] = { read_globals = { "env" } }
files["scripts/*/*_spec.lua"] = { std = "+busted" }
files["lua/moonlatch/types.lua"] = { ignore = { "21.", "24.", "631" } } -- definitions
