// SPDX-License-Identifier: MIT
// The sites that the tests talk to, as conf and script files.

// Everything comes back; "close 3456 why" closes.
export const echoSite = {
  "conf/gateway.lua": `return {
    limits = { drain_timeout = "1s", drain_spread = 0, send_buffer_hard = "64M", sockjs_queue_bytes = "1M",
      sockjs_messages_per_body = 1000 },
  }`,
  "conf/sites/echo.lua": `return {
    path = "/",
    endpoints = {
      { path = "/echo", transport = "sockjs", dialect = "raw", auth = "none", max_message = "4M" },
      { path = "/small", transport = "sockjs", dialect = "raw", auth = "none", response_limit = "4K" },
      { path = "/raw", transport = "websocket", dialect = "raw", auth = "none", max_message = "4M" },
      { path = "/deflate", transport = "websocket", dialect = "raw", auth = "none",
        max_message = "4M", compress = true },
    },
  }`,
  "scripts/echo/init.lua": `
    local log = require "moonlatch.log"
    return {
      setup = function(server)
        server:on("message", function(socket, data, binary)
          local code, reason = data:match("^close (%d+) (.*)$")
          if code then return socket:close(math.tointeger(code), reason) end
          socket:send(data, binary)
        end)
        server:on("disconnect", function() log.info("a socket is gone") end)
      end,
    }`,
};

// The same on Engine.IO; "count n" says the numbers up to n.
export const engineioSite = {
  "conf/gateway.lua": `return {
    limits = { drain_timeout = "1s", drain_spread = 0, eio_packets_per_body = 1000 },
  }`,
  "conf/sites/eio.lua": `return {
    path = "/",
    endpoints = {
      { path = "/engine.io/", transport = "engineio", dialect = "raw", auth = "none", max_message = "4M" },
      { path = "/quick/", transport = "engineio", dialect = "raw", auth = "none", ping_interval = "150ms",
        ping_timeout = "1s" },
      { path = "/only4/", transport = "engineio", dialect = "raw", auth = "none", eio3 = false },
    },
  }`,
  "scripts/eio/init.lua": `
    local log = require "moonlatch.log"
    return {
      setup = function(server)
        server:on("message", function(socket, data, binary)
          local code, reason = data:match("^close (%d+) (.*)$")
          if code then return socket:close(math.tointeger(code), reason) end
          local count = data:match("^count (%d+)$")
          for i = 1, math.tointeger(count) or 0 do socket:send(tostring(i)) end
          if not count then socket:send(data, binary) end
        end)
        server:on("disconnect", function() log.info("a socket is gone") end)
      end,
    }`,
};

// Calls both ways, channels, a veto and a filter.
export const tokenSite = {
  "conf/sites/token.lua": `return {
    path = "/",
    static = "public",
    token = { path = "/socket/token", jsonp = true },
    endpoints = { { path = "/sockets", transport = "sockjs", dialect = "token", sockjs_url = "/sockjs.min.js" } },
  }`,
  "scripts/token/public/index.html": "<!doctype html><title>index</title>",
  "scripts/token/init.lua": `
    local site = {}
    function site.authentication(req)
      if req.query.name == "error" then return nil, "backend down" end
      return req.query.name and { name = req.query.name }
    end
    site.controllers = {
      echo = function(_, data) return data end,
      fail = function() return nil, "no luck" end,
      who = { am = { i = function(auth) return auth end } },
      ask = function(_, data, socket)
        local answer, code, detail = socket:rpc("client.answer", data, { timeout = 5 })
        if not answer then return nil, detail or code end
        return { heard = answer }
      end,
      drop = function(_, _, socket) socket:close(1000, "bye") end,
    }
    function site.filter(socket, _, message)
      if type(message) == "table" and message["not"] == socket.auth.name then return nil end
      return true
    end
    function site.setup(server)
      server:on("subscribe", function(_, data) return data.channel ~= "secret", "staff only" end)
    end
    return site`,
};
