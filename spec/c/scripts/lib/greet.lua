-- SPDX-License-Identifier: MIT
return function(name)
  return "hello, " .. name
end
