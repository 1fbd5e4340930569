-- SPDX-License-Identifier: MIT
-- The messages of node-token-sockjs's clients, row by row: logins, calls in both directions, frames. What
-- scripts make of them stands in script_spec and server_spec.

local gateway = require "spec.support.gateway"
local rows = require "spec.support.rows"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local canonical, form, row, last_row = rows.canonical, rows.form, rows.row, rows.last

local UNKNOWN = "01234567-89ab-4cde-8f01-23456789abcd"

for title, kind in pairs(rows.kinds) do
  describe("the token dialect over " .. title, function()
    local g

    local function login() return rows.login(g, kind) end
    local function stranger() return token.connect(g.port, kind) end

    setup(function() g = rows.start() end)
    teardown(function() assert.equal(0, g:stop()) end)

    -- ---- logging in ----

    it("answers what is no JSON, and stays", function()
      local c = stranger()
      for _, text in ipairs { "{", "nonsense" } do
        c:send_text(text)
        assert.equal('{"error":"Invalid message"}', canonical(c:receive(2)))
      end
      assert.equal("success", (c:authenticate(rows.token(g))))
      row(c, '{"rpc":"who.am.i"}', '{"rpc":"who.am.i","resp":{"name":"ann"}}')
      c:close()
    end)

    it("closes at the third message that is no JSON", function()
      local c = login()
      row(c, "", '{"error":"Invalid message"}')
      row(c, "\1", '{"error":"Invalid message"}')
      last_row(c, "[", 1008, "not JSON", '{"error":"Invalid message"}')
    end)

    it("logs in with a token, once", function()
      local id = rows.token(g, "huge")
      local c, d = stranger(), stranger()
      row(c, '{"rpc":"auth","token":"' .. id .. '","uuid":"u1"}', '{"rpc":"auth","token":"' .. id .. '","uuid":"u1","resp":"success"}')
      row(c, '{"rpc":"who.am.i","uuid":1}',
        '{"rpc":"who.am.i","uuid":1,"resp":{"text":"' .. ("x"):rep(4000) .. '","list":[],"n":null}}')
      last_row(d, '{"rpc":"auth","token":"' .. id .. '","uuid":"u2"}', 1000, "Normal closure",
        '{"rpc":"auth","token":"' .. id .. '","uuid":"u2","error":"Token not found"}')
      c:close()
    end)

    it("refuses a token that it does not know", function()
      last_row(stranger(), '{"rpc":"auth","token":"' .. UNKNOWN .. '"}', 1000, "Normal closure",
        '{"rpc":"auth","token":"' .. UNKNOWN .. '","error":"Token not found"}')
    end)

    it("closes without an answer at a token of another form", function()
      for _, id in ipairs { "x", "x" .. UNKNOWN, UNKNOWN .. "x", "sess:" .. UNKNOWN, UNKNOWN:upper(), (UNKNOWN:gsub("-4", "-1")),
        (UNKNOWN:gsub("-8f", "-7f")), (UNKNOWN:gsub("0", "g")), UNKNOWN:sub(1, 35), "\\u0000" .. UNKNOWN:sub(2) } do
        last_row(stranger(), '{"rpc":"auth","token":"' .. id .. '","uuid":"u1"}', 1000, "Normal closure")
      end
    end)

    it("answers Forbidden with all that was said, and closes, before the login", function()
      for said, echoed in pairs {
        ['{"rpc":"echo","req":{"a":[],"b":{}},"uuid":"u1"}'] = '{"rpc":"echo","req":{"a":[],"b":{}},"uuid":"u1","error":"Forbidden"}',
        ['{"rpc":"_ping","req":{}}'] = '{"rpc":"_ping","req":{},"error":"Forbidden"}',
        ['{"rpc":"_subscribe","req":{"channel":"c"},"uuid":null}'] =
          '{"rpc":"_subscribe","req":{"channel":"c"},"uuid":null,"error":"Forbidden"}',
        ['{"rpc":"auth","uuid":"u1"}'] = '{"rpc":"auth","uuid":"u1","error":"Forbidden"}',
        ['{"rpc":"auth","token":"","uuid":"u1"}'] = '{"rpc":"auth","token":"","uuid":"u1","error":"Forbidden"}',
        ['{"rpc":"auth","token":0}'] = '{"rpc":"auth","token":0,"error":"Forbidden"}',
        ['{"rpc":"_rpc","fid":"x","resp":{}}'] = '{"rpc":"_rpc","error":"Forbidden"}',
        ["{}"] = '{"error":"Forbidden"}',
        ["null"] = '{"error":"Forbidden"}',
        ["[]"] = '{"error":"Forbidden"}',
      } do
        last_row(stranger(), said, 4401, "not authenticated", echoed)
      end
    end)

    it("answers Forbidden and closes at a token that is no text", function()
      for _, id in ipairs { "5", "true", "{}", "[1]" } do
        last_row(stranger(), '{"rpc":"auth","token":' .. id .. ',"req":1}', 1000, "Normal closure",
          '{"rpc":"auth","token":' .. id .. ',"req":1,"error":"Forbidden"}')
      end
    end)

    it("refuses a second login, and stays", function()
      local c = login()
      local id = rows.token(g, "bob")
      row(c, '{"rpc":"auth","token":"' .. id .. '","uuid":"u1"}', '{"rpc":"auth","token":"' .. id .. '","uuid":"u1","error":"Forbidden"}')
      row(c, '{"rpc":"auth","token":"x","uuid":"u1"}', '{"rpc":"auth","token":"x","uuid":"u1","error":"Forbidden"}')
      row(c, '{"rpc":"auth","token":5,"uuid":"u1"}', '{"rpc":"auth","token":5,"uuid":"u1","error":"Forbidden"}')
      row(c, '{"rpc":"who.am.i"}', '{"rpc":"who.am.i","resp":{"name":"ann"}}')
      c:close()
      local d = stranger()
      assert.equal("success", (d:authenticate(id)), "the token was used up")
      d:close()
    end)

    -- ---- calls ----

    it("wants an rpc", function()
      local c = login()
      for said, answer in pairs {
        ["{}"] = '{"error":"Invalid request"}',
        ["null"] = '{"error":"Invalid request"}',
        ["[]"] = '{"error":"Invalid request"}',
        ["5"] = '{"error":"Invalid request"}',
        ['"text"'] = '{"error":"Invalid request"}',
        ['{"uuid":"u1","req":1}'] = '{"uuid":"u1","error":"Invalid request"}',
        ['{"rpc":"","uuid":"u1"}'] = '{"rpc":"","uuid":"u1","error":"Invalid request"}',
        ['{"rpc":null,"uuid":[]}'] = '{"rpc":null,"uuid":[],"error":"Invalid request"}',
        ['{"rpc":5}'] = '{"rpc":5,"error":"Invalid request"}',
        ['{"rpc":["echo"]}'] = '{"rpc":["echo"],"error":"Invalid request"}',
        ['{"rpc":{"a":{}}}'] = '{"rpc":{"a":{}},"error":"Invalid request"}',
      } do
        row(c, said, answer)
      end
      c:close()
    end)

    it("echoes any uuid and no req", function()
      local c = login()
      for _, uuid in ipairs { '"djFBsz1cHu"', '"4b772744-0000-4000-8000-000000000000"', '""', "0", "-1.5e-7", "null", "false", "[]", "{}",
        '{"a":[{}]}', '"\\u00fc\\u2028"' } do
        row(c, '{"req":[1],"uuid":' .. uuid .. ',"rpc":"echo"}', '{"rpc":"echo","uuid":' .. uuid .. ',"resp":[1]}')
      end
      row(c, '{"rpc":"echo","req":1}', '{"rpc":"echo","resp":1}')
      row(c, '{"rpc":"\\u0065cho","req":1}', '{"rpc":"echo","resp":1}')
      c:close()
    end)

    it("gives values, undefined, null and errors", function()
      local c = login()
      for _, value in ipairs { "[]", "{}", "null", "0", '""', "false", "[[],{},null]", '{"a":{"b":[]}}', '"\\u0000\\ud83d\\ude00"' } do
        row(c, '{"rpc":"echo","req":' .. value .. "}", '{"rpc":"echo","resp":' .. value .. "}")
      end
      row(c, '{"rpc":"echo","uuid":"u1"}', '{"rpc":"echo","uuid":"u1"}')
      row(c, '{"rpc":"undef","uuid":"u1"}', '{"rpc":"undef","uuid":"u1"}')
      row(c, '{"rpc":"null","uuid":"u1"}', '{"rpc":"null","uuid":"u1","resp":null}')
      for _, value in ipairs { '"no luck"', "42", '{"message":"boom","code":"E42","extra":{"n":[1]}}', '[{"message":"a"},{}]' } do
        row(c, '{"rpc":"fail","uuid":"u1","req":' .. value .. "}", '{"rpc":"fail","uuid":"u1","error":' .. value .. "}")
      end
      c:close()
    end)

    it("finds own functions at the end of the path", function()
      local c = login()
      row(c, '{"rpc":"who.am.i","uuid":"u1"}', '{"rpc":"who.am.i","uuid":"u1","resp":{"name":"ann"}}')
      for _, name in ipairs { "nope", "who", "who.am", "who.am.i.not", "echo.more.path", ".echo", "echo.", "who..am.i", ".", "constructor",
        "toString", "who.constructor", "__proto__", "__index", "1", "auth", "_nope", "_", "ECHO", "\\u00fc", ("x"):rep(2000) } do
        row(c, '{"rpc":"' .. name .. '","uuid":"u1"}', '{"rpc":"' .. name .. '","uuid":"u1","error":"Function not found"}')
      end
      c:close()
    end)

    it("answers pings, without a word in the site", function()
      local c = login()
      row(c, '{"rpc":"_ping","req":{},"uuid":"u1"}', '{"rpc":"_ping","uuid":"u1","resp":{"message":"pong"}}')
      c:close()
    end)

    it("calls the client, and hears its answer", function()
      local c = login()
      for said, answer in pairs {
        ['{"data":{"a":[]}}'] = '"resp":{"a":[]}', ['{"data":null}'] = '"resp":null', ['{"data":0,"error":""}'] = '"resp":0',
        ['{"data":[],"error":null}'] = '"resp":[]', ["{}"] = '"resp":null', ['{"error":"no"}'] = '"error":"no"',
        ['{"data":1,"error":{"code":7}}'] = '"error":{"code":7}', ['{"error":[]}'] = '"error":[]',
      } do
        c:send_text('{"rpc":"ask","req":{"q":[],"m":{}},"uuid":"u1"}')
        local call = c:receive(2)
        local fid = call.data.fid
        assert.truthy(fid:find("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"))
        assert.equal(form('{"internal":true,"command":"rpc","data":{"fid":"' .. fid ..
          '","command":"client.answer","args":{"q":[],"m":{}}}}'), canonical(call))
        row(c, '{"rpc":"_rpc","fid":"' .. fid .. '","resp":' .. said .. "}", '{"rpc":"ask","uuid":"u1",' .. answer .. "}")
        row(c, '{"rpc":"_rpc","fid":"' .. fid .. '","resp":' .. said .. "}")
      end
      c:close()
    end)

    it("hears answers that nobody waits for, and refuses those that are none", function()
      local c = login()
      for _, fid in ipairs { "null", "5", '"x"', "[]" } do row(c, '{"rpc":"_rpc","fid":' .. fid .. ',"resp":{}}') end
      row(c, '{"rpc":"_rpc","resp":{"data":1}}')
      for _, resp in ipairs { "null", "5", '"x"', "[]" } do
        row(c, '{"rpc":"_rpc","fid":"x","uuid":1,"resp":' .. resp .. "}", '{"rpc":"_rpc","uuid":1,"error":"Invalid request"}')
      end
      row(c, '{"rpc":"_rpc","fid":"x"}', '{"rpc":"_rpc","error":"Invalid request"}')
      c:close()
    end)

    it("closes as the script says", function()
      local c = login()
      last_row(c, '{"rpc":"close","req":{"code":4242,"reason":"so \\"what\\""}}', 4242, 'so "what"')
    end)
  end)
end

describe("a site of the token dialect", function()
  local g
  after_each(gateway.stop_all)

  for title, kind in pairs(rows.kinds) do
    it("closes who does not log in, whatever it says, over " .. title, function()
      g = rows.start(nil, { unauth_timeout = "300ms", unauth_frames = 1000, json_strikes = 1000 })
      local c, from = token.connect(g.port, kind), wait.now()
      local code, reason
      repeat
        c:send_text("no JSON")
        code, reason = c:wait_close(0.05)
      until reason ~= "timeout"
      assert.same({ 4408, "authentication timeout" }, { code, reason })
      assert.is_true(wait.now() - from < 2)
    end)

    it("allows a second login where its conf does, over " .. title, function()
      g = rows.start { token = { reauth = true } }
      local c = rows.login(g, kind)
      assert.equal("success", (c:authenticate(rows.token(g, "bob"))))
      row(c, '{"rpc":"who.am.i"}', '{"rpc":"who.am.i","resp":{"name":"bob"}}')
      last_row(c, '{"rpc":"auth","token":"' .. UNKNOWN .. '"}', 1000, "Normal closure",
        '{"rpc":"auth","token":"' .. UNKNOWN .. '","error":"Token not found"}')
    end)
  end

  it("forgets a token after its time", function()
    g = rows.start { token = { ttl = "1s" } }
    local id = rows.token(g)
    wait.pass(1.3)
    last_row(token.connect(g.port), '{"rpc":"auth","token":"' .. id .. '"}', 1000, "Normal closure",
      '{"rpc":"auth","token":"' .. id .. '","error":"Token not found"}')
  end)
end)

describe("SockJS frames of the token dialect", function()
  local g, c
  setup(function() g = rows.start() end)
  teardown(function() assert.equal(0, g:stop()) end)
  before_each(function() c = rows.login(g, {}) end)
  after_each(function() c:close() end)

  local function frames(sent, ...)
    c.ws:send(sent)
    for i = 1, select("#", ...) do assert.equal((select(i, ...)), (c.ws:receive(2))) end
  end

  it("come as arrays and as bare texts, of the node client of 2.2.0", function()
    local echo, answer = [[{\"rpc\":\"echo\",\"req\":1,\"uuid\":\"u\"}]], [[{\"rpc\":\"echo\",\"uuid\":\"u\",\"resp\":1}]]
    frames('["' .. echo .. '"]', 'a["' .. answer .. '"]')
    frames('"' .. echo .. '"', 'a["' .. answer .. '"]')
    frames('["' .. echo .. '","' .. echo .. '"]', 'a["' .. answer .. '"]', 'a["' .. answer .. '"]')
  end)

  it("keep numbers and spaces as they were, and escape what SockJS escapes", function()
    assert(c:subscribe("c"))
    frames([=[["{\"rpc\":\"_publish\",\"req\":{\"channel\":\"c\",\"data\":[1.0,1e2,12345678901234567,-0, {} ]}}"]]=],
      [=[a["{\"channel\":\"c\",\"message\":[1.0,1e2,12345678901234567,-0, {} ]}"]]=])
    frames('["{\\"rpc\\":\\"_publish\\",\\"req\\":{\\"channel\\":\\"c\\",\\"data\\":\\"ü😀\u{2028}\u{200d}\u{ffff}\\\\n\\"}}"]',
      [=[a["{\"channel\":\"c\",\"message\":\"ü\ud83d\ude00\u2028\u200d\uffff\\n\"}"]]=])
  end)

  it("end with a close frame, and 1000 on the WebSocket", function()
    frames([=[["{\"rpc\":\"close\",\"req\":{\"code\":3999,\"reason\":\"bye\"}}"]]=], [=[c[3999,"bye"]]=])
    assert.same({ 1000, "Normal closure" }, { c.ws:wait_close(2) })
  end)

  it("end with 1000 when a token has no form", function()
    local d = token.connect(g.port)
    d.ws:send([=[["{\"rpc\":\"auth\",\"token\":\"x\"}"]]=])
    assert.equal([=[c[1000,"Normal closure"]]=], (d.ws:receive(2)))
    assert.same({ 1000, "Normal closure" }, { d.ws:wait_close(2) })
  end)
end)
