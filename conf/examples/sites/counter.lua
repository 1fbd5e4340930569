-- SPDX-License-Identifier: MIT
-- Wants a Redis: moonlatch serve --conf conf/examples --set store=redis://127.0.0.1:6379/0
return {}
