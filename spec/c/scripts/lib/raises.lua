-- SPDX-License-Identifier: MIT
error("on purpose")
