-- SPDX-License-Identifier: MIT
return { options = { secret = env("JWT_SECRET", "an example's secret: set JWT_SECRET"), issuer = "example" } }
