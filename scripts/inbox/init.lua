-- SPDX-License-Identifier: MIT
-- Messages that arrive: each device of a user gets them, now or when it comes back, until it acknowledges.
--   $ curl 'http://127.0.0.1:8000/send?site=inbox' -H 'X-Api-Key: an-example-key-that-everybody-knows' \
--       -H 'Content-Type: application/json' -d '{"rooms":["user_ann"],"event":"mail","args":["hello"]}'
--   node> const inbox = io("http://127.0.0.1:8000/inbox", { query: { user: "ann", deviceId: "laptop" } })
--   node> inbox.on("mail", (text, ack) => { console.log(text); ack() })
--   node> inbox.on("_batch", (messages, ack) => { console.log(messages); ack() })

local site, server = {}, nil

-- Who comes, and in which rooms that is: "user_ann" is a user, and "team" what several are in.
function site.authentication(req)
  local user = req.query.user
  if type(user) ~= "string" or not user:find "^%w+$" then return false end
  return { name = user, rooms = { "user_" .. user, "team" } }
end

site.events = {}

-- One user to another, or to the team. The answer comes when the message is with the store.
function site.events.send(socket, to, text)
  local ok, code = server:send { rooms = to == "team" and "team" or "user_" .. to, event = "mail",
    args = { { from = socket.auth.name, text = text } } }
  return ok or { error = code }
end

function site.setup(of_site)
  server = of_site
end

return site
