-- SPDX-License-Identifier: MIT
return { options = { calls = 5, seconds = 10 } }
