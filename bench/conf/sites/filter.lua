-- SPDX-License-Identifier: MIT
return {
  path = "/filter",
}
