-- SPDX-License-Identifier: MIT
-- Calls from the server to the browser: a poll among all who are in a channel, side by side, with three seconds for
-- each. Who does not answer does not hold the others up.
--   client.register("vote", function (args, callback) { callback(null, "yes"); });

local task = require "moonlatch.task"

local site = {}
local server

function site.authentication(req) return type(req.query.name) == "string" and { name = req.query.name } end

-- One who may be asked: their answer, or "no answer".
local function asking(socket, question)
  return function()
    local answer = socket:rpc("vote", { question = question }, { timeout = 3 })
    return { name = socket.auth.name, answer = type(answer) == "string" and answer or "no answer" }
  end
end

site.controllers = {
  poll = function(_, data)
    if type(data) ~= "table" or type(data.question) ~= "string" then return nil, "which question?" end
    local sockets, code = server:channelSockets("everybody", 50)
    if not sockets then return nil, code end
    local questions = {}
    for i, socket in ipairs(sockets) do questions[i] = asking(socket, data.question) end
    return task.all(questions, 5)
  end,
}

function site.setup(the_server)
  server = the_server
  server:on("authentication", function(socket) socket:subscribe "everybody" end)
end

return site
