-- SPDX-License-Identifier: MIT
return { options = { api = env("LOGIN_API", "http://127.0.0.1:3000") } }
