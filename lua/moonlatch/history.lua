-- SPDX-License-Identifier: MIT
-- server:history: what is kept of a channel. core.history(channel, since, limit) waits, and gives
-- { epoch, offset, messages = { { offset, message }, ... } }, or nil and a code.

local history = {}

local MOST = 1000

local function check_count(value, name, least)
  if value ~= nil and (math.type(value) ~= "integer" or value < least) then
    error(name .. ": an integer from " .. least .. " expected", 3)
  end
  return value
end

-- Adds server:history(channel, { since = offset, epoch = epoch, limit = n }): the messages after that
-- offset, the oldest first, or without it the newest; each { offset =, message = }. The second result is
-- { offset =, epoch =, complete = }: where the history is, and whether nothing between since and the first
-- is missing (of another epoch everything is). nil, code: "no_history", "bad_channel", "unavailable".
function history.start(core)
  function core.server.history(_, channel, options)
    options = options or {}
    if type(channel) ~= "string" then error("channel: a text expected, got " .. type(channel), 2) end
    local since = check_count(options.since, "since", 0)
    local limit = check_count(options.limit, "limit", 1) or MOST
    local page, code = core.history(channel, since or -1, math.min(limit, MOST))
    if not page then return nil, code end
    local same = options.epoch == nil or options.epoch == page.epoch
    local list, complete = {}, same and (since or 0) <= page.offset
    for i, pair in ipairs(page.messages) do list[i] = { offset = pair[1], message = pair[2] } end
    if since and since < page.offset then complete = complete and list[1] ~= nil and list[1].offset == since + 1 end
    return list, { offset = page.offset, epoch = page.epoch, complete = complete }
  end
end

return history
