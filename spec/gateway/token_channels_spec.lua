-- SPDX-License-Identifier: MIT
-- Channels in the token dialect, row by row: subscribe, unsubscribe, publish, broadcast. What listeners
-- and filters make of them stands in listeners_spec and script_spec.

local rows = require "spec.support.rows"

local canonical, form, row = rows.canonical, rows.form, rows.row

for title, kind in pairs(rows.kinds) do
  describe("the channels of the token dialect over " .. title, function()
    local g

    local function login(user) return rows.login(g, kind, user) end

    setup(function() g = rows.start() end)
    teardown(function() assert.equal(0, g:stop()) end)

    local function subscribe(c, channel)
      row(c, '{"rpc":"_subscribe","req":{"channel":"' .. channel .. '"},"uuid":"s"}',
        '{"internal":true,"command":"subscribe","data":{"rpc":"_subscribe","req":{"channel":"' .. channel ..
          '"},"uuid":"s","channel":"' .. channel .. '"}}')
    end

    local function left(channel) return '{"internal":true,"command":"unsubscribe","data":{"channel":"' .. channel .. '"}}' end

    it("subscribes with one frame, in the form of 3.1.0, and no response", function()
      local c = login()
      subscribe(c, "room")
      subscribe(c, "room")
      row(c, '{"rpc":"_subscribe","req":{"channel":"\\u0061/b"}}',
        '{"internal":true,"command":"subscribe","data":{"rpc":"_subscribe","req":{"channel":"a/b"},"channel":"a/b"}}')
      row(c, '{"rpc":"_publish","req":{"channel":"room","data":[]}}', '{"channel":"room","message":[]}')
      c:close()
    end)

    it("unsubscribes with one frame, also what was never subscribed", function()
      local c = login()
      subscribe(c, "room")
      row(c, '{"rpc":"_unsubscribe","req":{"channel":"room"},"uuid":"u1"}', left "room")
      row(c, '{"rpc":"_unsubscribe","req":{"channel":"never"},"uuid":"u1"}', left "never")
      row(c, '{"rpc":"_publish","req":{"channel":"room","data":1},"uuid":"u1"}')
      c:close()
    end)

    it("publishes the very data, to the publisher too, and says nothing", function()
      local c = login()
      subscribe(c, "room")
      for _, data in ipairs { "[]", "{}", "null", "0", "false", '""', '"plain string"', '"{\\"json\\":\\"string\\"}"', '"42"',
        "9007199254740993", '[1,[],{"a":{}}]', '"\\u2028\\u0000"' } do
        row(c, '{"rpc":"_publish","req":{"channel":"room","data":' .. data .. '},"uuid":"u1"}',
          '{"channel":"room","message":' .. data .. "}")
      end
      c:close()
    end)

    it("broadcasts once for each channel of a socket, and to nobody without one", function()
      local c, d, e = login(), login("bob"), login("eve")
      subscribe(c, "c1")
      subscribe(c, "c2")
      subscribe(d, "c2")
      c:send_text('{"rpc":"_broadcast","req":{"data":{"n":[]}},"uuid":"u1"}')
      local seen = { canonical(c:receive(2)), canonical(c:receive(2)) }
      table.sort(seen)
      assert.same({ '{"channel":"c1","message":{"n":[]}}', '{"channel":"c2","message":{"n":[]}}' }, seen)
      assert.equal('{"channel":"c2","message":{"n":[]}}', canonical(d:receive(2)))
      for _, client in ipairs { c, d, e } do
        row(client, '{"rpc":"_ping"}', '{"rpc":"_ping","resp":{"message":"pong"}}')
        client:close()
      end
    end)

    it("unsubscribes everybody when the site says so", function()
      local c, d = login(), login("bob")
      subscribe(c, "room")
      subscribe(d, "room")
      subscribe(d, "other")
      c:send_text('{"rpc":"empty","req":"room","uuid":"u1"}')
      local seen = { canonical(c:receive(2)), canonical(c:receive(2)) }
      table.sort(seen)
      assert.same({ form(left "room"), '{"rpc":"empty","uuid":"u1"}' }, seen)
      assert.equal(form(left "room"), canonical(d:receive(2)))
      row(c, '{"rpc":"_publish","req":{"channel":"room","data":1}}')
      row(d, '{"rpc":"_publish","req":{"channel":"other","data":2}}', '{"channel":"other","message":2}')
      c:close()
      d:close()
    end)

    it("refuses what names no channel or brings no data", function()
      local c = login()
      for _, name in ipairs { "_subscribe", "_unsubscribe", "_publish" } do
        for _, req in ipairs { "{}", "null", "[]", '"room"', '{"data":1}', '{"channel":null,"data":1}', '{"channel":5,"data":1}',
          '{"channel":["room"],"data":1}' } do
          row(c, '{"rpc":"' .. name .. '","req":' .. req .. ',"uuid":"u1"}',
            '{"rpc":"' .. name .. '","uuid":"u1","error":"Invalid request"}')
        end
        row(c, '{"rpc":"' .. name .. '"}', '{"rpc":"' .. name .. '","error":"Invalid request"}')
      end
      row(c, '{"rpc":"_publish","req":{"channel":"room"}}', '{"rpc":"_publish","error":"Invalid request"}')
      for _, req in ipairs { "{}", "null", "[]", '{"channel":"room"}' } do
        row(c, '{"rpc":"_broadcast","req":' .. req .. ',"uuid":1}', '{"rpc":"_broadcast","uuid":1,"error":"Invalid request"}')
      end
      c:close()
    end)

    it("keeps channels for itself, and names them in no other way", function()
      local c = login()
      for _, name in ipairs { "_subscribe", "_publish" } do
        for channel, error in pairs { ___all___ = "Forbidden", ___sync___ = "Forbidden", __all__ = "Forbidden", ["$x"] = "Forbidden",
          ["moonlatch:x"] = "Forbidden", ["\\u005f__all___"] = "Forbidden", [""] = "bad_channel", ["a b"] = "bad_channel",
          ["a*"] = "bad_channel", ["\\u00fc"] = "bad_channel", ["\\u0000"] = "bad_channel", [("x"):rep(256)] = "bad_channel" } do
          row(c, '{"rpc":"' .. name .. '","req":{"channel":"' .. channel .. '","data":1},"uuid":"u1"}',
            '{"rpc":"' .. name .. '","uuid":"u1","error":"' .. error .. '"}')
        end
      end
      c:close()
    end)

    it("does what a socket asks for in the order it asks", function()
      local c = login()
      for i = 1, 5 do
        c:send_text('{"rpc":"_subscribe","req":{"channel":"room"},"uuid":' .. i .. "}")
        c:send_text '{"rpc":"_unsubscribe","req":{"channel":"room"}}'
      end
      for i = 1, 5 do
        assert.equal(i, c:receive(2).data.uuid)
        assert.equal(form(left "room"), canonical(c:receive(2)))
      end
      subscribe(c, "room")
      for i = 1, 20 do c:send_text('{"rpc":"_publish","req":{"channel":"room","data":' .. i .. "}}") end
      for i = 1, 20 do assert.equal(i, c:receive(2).message) end
      c:close()
    end)
  end)
end
