-- SPDX-License-Identifier: MIT
-- The rules of the demo site, without a server: its init.lua over the runtime library and a fake core.

local fake = require "spec.support.core"
local runtime = require "moonlatch.runtime"

package.preload["moonlatch.crypto"] = function() return { equal = function(a, b) return a == b end } end

describe("the demo", function()
  local core, entries, site

  before_each(function()
    core = fake.new()
    site = assert(loadfile("scripts/demo/init.lua"))()
    site.options = { staff_key = "moon", rooms = { "lobby", "lua", "staff" } }
    entries = runtime.start(core, site, {}, "scripts/demo/init.lua")
    core.entries = entries
  end)

  local ann, eve = { name = "ann", role = "guest" }, { name = "eve", role = "staff" }

  local function permit(name, auth, data)
    local task = core.run(entries.permit, name, fake.socket(auth), data)
    return select(2, table.unpack(task.results, 1, task.results.n))
  end

  local function login(querystring)
    return entries.login({ querystring = querystring, headers = {} }, true)
  end

  it("lets people in by name, and makes staff of who knows the key", function()
    assert.same({ "admitted", ann }, { login("name=ann") })
    assert.same({ "admitted", ann }, { login("name=ann&key=sun") })
    assert.same({ "admitted", eve }, { login("name=eve&key=moon") })
    for _, bad in ipairs { "", "name=", "name=" .. ("x"):rep(21), "name=a%0Ab", "name[a]=b", "key=moon" } do
      assert.equal("failed", (login(bad)), bad)
    end
  end)

  it("keeps guests out of the staff room, and everybody out of rooms there are not", function()
    for _, event in ipairs { "subscribe", "publish" } do
      assert.is_true(permit(event, ann, { channel = "lobby", data = { text = "x" } }))
      assert.is_true(permit(event, eve, { channel = "staff", data = { text = "x" } }))
      assert.same({ false, "not your room" }, { permit(event, ann, { channel = "staff", data = { text = "x" } }) })
      assert.same({ false, "not your room" }, { permit(event, eve, { channel = "attic", data = { text = "x" } }) })
    end
    assert.is_false(permit("broadcast", eve, { data = 1 }))
  end)

  it("signs what is said with the name of who says it", function()
    local _, _, said = permit("publish", ann, { channel = "lobby", data = { text = "hi", from = "eve", at = 1 } })
    assert.same({ from = "ann", text = "hi", whisper = false, at = 1000 }, said)
    for _, bad in ipairs { "text", 5, {}, { text = "" }, { text = 5 }, { text = ("x"):rep(501) } } do
      assert.is_false(permit("publish", ann, { channel = "lobby", data = bad }))
    end
  end)

  it("shows whispers to staff and to who whispered", function()
    local filter, whisper = core.hooks.filter, { from = "ann", text = "psst", whisper = true }
    assert.is_true(filter(fake.socket(ann), "lobby", whisper))
    assert.is_true(filter(fake.socket(eve), "lobby", whisper))
    assert.is_nil(filter(fake.socket { name = "bob", role = "guest" }, "lobby", whisper))
    assert.is_true(filter(fake.socket { name = "bob", role = "guest" }, "lobby", { from = "ann", text = "loud" }))
  end)

  it("answers calls", function()
    core.members = { lobby = { fake.socket(ann), fake.socket(eve) } }
    assert.equal(ann, (entries.call("whoami", ann)))
    assert.same({ { name = "lobby", people = 2 }, { name = "lua", people = 0 }, { name = "staff", people = 0 } },
      (entries.call("rooms", ann)))
  end)

  it("asks the browser back, and tells the room", function()
    local socket = fake.socket(ann, { prompt = "blue" })
    assert.equal("told everybody in lobby", (entries.call("ask.colour", ann, "lobby", socket)))
    assert.same({ { "prompt", { question = "Your favourite colour?" } } }, socket.asked)
    assert.same({ { "lobby", { from = "ann", text = "likes blue", notice = true } } }, core.published)
    assert.same({ nil, "timeout" }, { entries.call("ask.colour", ann, "lobby", fake.socket(ann)) })
    assert.same({ nil, "not your room" }, { entries.call("ask.colour", ann, "staff", fake.socket(ann)) })
    assert.same({ nil, "no answer" }, { entries.call("ask.colour", ann, "lobby", fake.socket(ann, { prompt = { 1 } })) })
  end)
end)
