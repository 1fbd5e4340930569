-- SPDX-License-Identifier: MIT
return { options = { staff = { "ann" } } }
