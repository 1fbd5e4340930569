// SPDX-License-Identifier: MIT
// The real socket.io-client from npm, of four ages, over polling, WebSocket, and the way from one to the
// other. With REFERENCE=1 they talk to a server of socket.io from npm instead.

import assert from "node:assert/strict";
import { test } from "node:test";
import { begin, enter, isOld, VERSIONS, WAYS } from "./socketio/clients.mjs";
import { isReference, startServer } from "./socketio/server.mjs";
import { TokenClient } from "./token_client.mjs";
import { within } from "./wait.mjs";

const VALUES = ["text", "", 0, -1.5, 1e21, 9007199254740991, true, false, null, [], {}, [[], [null]], { a: { b: [1, {}] } },
  "\"quotes\" \\ </script>", "\n\r\t\u0000\u001f", "1-2", { _placeholder: "no" }];
const WIDE = ["äöü € 漢字 😀", "é", "\u2028\u2029\ufeff\uffff", "Ã©", { "ключ": "значение 😀" }];
const BYTES = Buffer.from([0, 1, 2, 4, 30, 127, 128, 250, 255]);
const numbers = (to) => Array.from({ length: to }, (_, i) => i + 1);

for (const version of VERSIONS) {
  for (const way of Object.keys(WAYS)) {
    const old = isOld(version);
    // The server from npm does not know the texts of 1.x over polling (wire/socketio.md section 3).
    const garbles = isReference && version === "1" && way !== "websocket" && "texts of 1.x are not read by 4.x over polling";

    test(`socket.io-client ${version} over ${way}`, async (t) => {
      const server = await startServer(t);
      const come = (t, more) => enter(t, { version, way, url: server.url, ...more });
      const knock = (t, more) => begin(t, { version, way, url: server.url, ...more });

      await t.test("gets into / and says events that are answered", async (t) => {
        const client = await come(t);
        assert.deepEqual(await client.call("echo", ...VALUES), VALUES);
        assert.deepEqual(await client.call("echo"), []);
        client.hear("back").socket.emit("back", ...VALUES);
        assert.deepEqual(await client.events.take(), ["back", ...VALUES]);
      });

      await t.test("gets texts beyond ASCII back", { skip: garbles }, async (t) => {
        const client = (await come(t)).hear("back");
        for (const value of WIDE) {
          assert.deepEqual(await client.call("echo", value), [value]);
          client.socket.emit("back", value);
          assert.deepEqual(await client.events.take(), ["back", value]);
        }
      });

      await t.test("sends null for undefined, and dates as texts", async (t) => {
        const client = await come(t);
        const date = new Date(0);
        assert.deepEqual(await client.call("echo", undefined, 1, date), [null, 1, date.toISOString()]);
      });

      await t.test("is in several namespaces on one connection", async (t) => {
        const root = await come(t);
        const chat = await root.in("/chat", { name: "ada" }).entered();
        const other = await root.in("/sio2", { name: "bob" }).entered();
        const all = await Promise.all([root, chat, other].map((each) => each.call("me")));
        const seen = all.map(([{ name, namespace, site }]) => [name, namespace, site]);
        assert.deepEqual(seen, [["anon", "/", "sio"], ["ada", "/chat", "sio"], ["bob", "/sio2", "sio2"]]);
        const ids = new Set([root, chat, other].map((each) => each.socket.id));
        assert.equal(ids.size, version === "1" ? 1 : 3); // 1.x shows the connection's
        assert.equal(root.engine, other.engine);
      });

      await t.test("shows the id that scripts know it by", { skip: old && "their id is the connection's" }, async (t) => {
        const client = await come(t);
        assert.deepEqual(await client.call("sid"), [client.socket.id]);
      });

      await t.test("hears what its namespace says at once, after the connect", async (t) => {
        const client = knock(t, { namespace: "/chat", given: { name: "greeted" } }).hear("hello");
        const order = [];
        client.socket.on("connect", () => order.push("connect"));
        client.socket.on("hello", () => order.push("hello"));
        assert.deepEqual(await client.events.take(), ["hello", "/chat"]);
        assert.deepEqual(order, ["connect", "hello"]);
      });

      await t.test("says who it is, by itself and in its address", async (t) => {
        const more = { query: { via: "a b&c", ...(old && { name: "ada" }) }, extraHeaders: { "x-moon": "full" } };
        const client = await come(t, { given: { name: "ada" }, more });
        const [me] = await client.call("me");
        assert.deepEqual(me, { name: "ada", via: "a b&c", header: "full", namespace: "/", site: "sio" });
      });

      await t.test("is refused with a message and data, and goes on elsewhere", async (t) => {
        const root = await come(t);
        const [plain, rich, nowhere] = [root.in("/chat", { name: "unwelcome" }), root.in("/sio2", { name: "banned" }),
          root.in("/nowhere")];
        assert.deepEqual(await plain.refusals.take(), { message: "not today" });
        const data = { code: 7, list: ["x", 1] };
        assert.deepEqual(await rich.refusals.take(), old ? { data } : { message: "banned", data });
        assert.deepEqual(await nowhere.refusals.take(), { message: "Invalid namespace" });
        assert.deepEqual(await root.call("echo", 1), [1]);
      });

      await t.test("is refused at /", async (t) => {
        const client = knock(t, { given: { name: "unwelcome" } });
        assert.deepEqual(await client.refusals.take(), { message: "not today" });
      });

      await t.test("is refused at /, and gets in elsewhere", { skip: !old && "it says who it is with each namespace" }, async (t) => {
        const root = knock(t, { more: { query: { name: "unwelcome" } } });
        const other = root.in("/sio2", { name: "ada" });
        await other.connects.take(); // 2.x tells it of the refusal too
        assert.deepEqual(await root.refusals.take(), { message: "not today" });
        assert.equal((await other.call("me"))[0].name, "ada");
      });

      await t.test("waits for who is judged long, and is elsewhere meanwhile", async (t) => {
        const root = await come(t);
        const chat = root.in("/chat", { name: "slowly" }).hear("back");
        for (const n of numbers(5)) chat.socket.emit("back", n);
        assert.deepEqual(await root.call("echo", 1), [1]);
        assert.equal(chat.socket.connected, false);
        assert.deepEqual(await chat.events.takeAll(5), numbers(5).map((n) => ["back", n]));
      });

      await t.test("goes while it is judged", async (t) => {
        const watcher = (await come(t)).hear("said");
        const client = knock(t, { namespace: "/chat", given: { name: "slowly" } });
        await within(new Promise((done) => client.socket.io.once("open", done)), "the connection");
        await client.in("/sio2").entered(); // so the other was asked for, too
        client.engine.close();
        assert.deepEqual(await watcher.call("slow", 200), ["late"]);
        await watcher.call("all", "end");
        assert.deepEqual(await watcher.events.take(), ["said", "end"]);
      });

      await t.test("comes in after it was refused", async (t) => {
        const root = await come(t);
        const chat = root.in("/chat", { name: "unwelcome" });
        await chat.refusals.take();
        if (old) chat.socket.query = "name=ada";
        else chat.socket.auth.name = "ada";
        chat.socket.connect();
        await chat.entered();
        assert.equal((await chat.call("me"))[0].name, "ada");
      });

      await t.test("sends bytes and gets bytes", async (t) => {
        const client = (await come(t)).hear("back");
        const [size, flipped, rest] = await client.call("flip", BYTES);
        assert.deepEqual([size, flipped, rest], [BYTES.length, Buffer.from(BYTES).reverse(), { deep: [BYTES] }]);
        const nested = { a: [BYTES, { b: BYTES, c: "text" }], d: Buffer.alloc(0) };
        assert.deepEqual(await client.call("echo", 1, nested, BYTES), [1, nested, BYTES]);
        client.socket.emit("back", BYTES, "between", nested);
        client.socket.emit("back", "behind");
        assert.deepEqual(await client.events.takeAll(2), [["back", BYTES, "between", nested], ["back", "behind"]]);
      });

      await t.test("sends bytes of every class", async (t) => {
        const client = await come(t);
        const { buffer } = new Uint8Array([1, 2, 3]);
        for (const bytes of old ? [buffer, Buffer.from(buffer)] : [buffer, new Uint8Array(buffer), new DataView(buffer)]) {
          assert.deepEqual(await client.call("echo", bytes), [Buffer.from([1, 2, 3])]);
        }
      });

      await t.test("answers what the server asks, with values and bytes", async (t) => {
        const client = await come(t);
        client.socket.on("question", (question, ack) => ack(question === "bytes" ? BYTES : { heard: question }));
        assert.deepEqual(await client.call("ask", "who?"), [{ answer: { heard: "who?" } }]);
        assert.deepEqual(await client.call("ask", { a: [1] }), [{ answer: { heard: { a: [1] } } }]);
        assert.deepEqual(await client.call("ask", "bytes"), [{ answer: BYTES }]);
      });

      await t.test("may leave a question open", async (t) => {
        const client = await come(t);
        let late;
        client.socket.on("question", (_, ack) => (late = ack));
        assert.deepEqual(await client.call("ask", "who?", 0.1), [{ failed: "timeout" }]);
        late("too late");
        late("and twice");
        assert.deepEqual(await client.call("echo", 1), [1]);
      });

      await t.test("calls controllers", async (t) => {
        const client = await come(t);
        assert.deepEqual(await client.call("add", { a: 1, b: 2 }), [null, 3]);
        assert.deepEqual(await client.call("add", {}), ["no numbers"]);
        client.socket.emit("add", { a: 1, b: 2 });
        client.socket.emit("nobody", 1);
        assert.deepEqual(await client.call("echo", 1), [1]);
      });

      await t.test("hears of a handler that failed", { skip: isReference && "servers from npm end" }, async (t) => {
        const client = await come(t);
        const [error] = await client.call("fail");
        assert.equal(error.message, "Internal error");
        assert.deepEqual(await client.call("echo", 1), [1]);
      });

      await t.test("gets answers as they are ready", async (t) => {
        const client = await come(t);
        const order = [];
        const calls = [client.call("slow", 150), client.call("echo", "soon")];
        for (const call of calls) call.then(([value]) => order.push(value));
        await Promise.all(calls);
        assert.deepEqual(order, ["soon", "late"]);
      });

      await t.test("sets flags that the server need not know", async (t) => {
        const client = (await come(t)).hear("back");
        client.socket.compress(false).emit("back", "packed");
        assert.deepEqual(await client.events.take(), ["back", "packed"]);
        if (old) return;
        client.socket.volatile.emit("back", "light");
        client.socket.emit("back", "heavy");
        const got = await client.events.take();
        if (got[1] === "light") assert.deepEqual(await client.events.take(), ["back", "heavy"]);
        else assert.deepEqual(got, ["back", "heavy"]);
      });

      await t.test("gets of volatile events what it can take, in order", async (t) => {
        const client = (await come(t)).hear("count", "back");
        assert.deepEqual(await client.call("murmur", 20), [true]);
        client.socket.emit("back");
        const seen = [];
        for (let [name, n] = await client.events.take(); name === "count"; [name, n] = await client.events.take()) seen.push(n);
        assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b));
        if (way !== "polling") assert.ok(seen.length > 0);
      });

      await t.test("sends large events, and gets them", async (t) => {
        const client = (await come(t)).hear("back");
        const text = "0123456789abcdef".repeat(12 * 1024), bytes = Buffer.alloc(150 * 1024, "moon");
        assert.deepEqual(await client.call("echo", text), [text]);
        assert.deepEqual(await client.call("echo", { bytes, text }), [{ bytes, text }]);
        client.socket.emit("back", text, bytes);
        assert.deepEqual(await client.events.take(), ["back", text, bytes]);
      });

      await t.test("says many things at once, which are heard in order", async (t) => {
        const client = (await come(t)).hear("back", "count");
        for (const n of numbers(100)) client.socket.emit("back", n, n % 10 ? "text" : BYTES);
        const expected = numbers(100).map((n) => ["back", n, n % 10 ? "text" : BYTES]);
        assert.deepEqual(await client.events.takeAll(100), expected);
        client.socket.emit("count", 200);
        assert.deepEqual(await client.events.takeAll(200), numbers(200).map((n) => ["count", n]));
      });

      await t.test("says things before it is in, which are heard in order", async (t) => {
        const client = knock(t, { namespace: "/chat" }).hear("back");
        const acks = numbers(5).map((n) => client.call("echo", n));
        for (const n of numbers(20)) client.socket.emit("back", n, BYTES);
        assert.deepEqual(await Promise.all(acks), numbers(5).map((n) => [n]));
        assert.deepEqual(await client.events.takeAll(20), numbers(20).map((n) => ["back", n, BYTES]));
      });

      await t.test("is in rooms, which others speak to", async (t) => {
        const [a, b, c] = await Promise.all([come(t), come(t, { namespace: "/chat" }), come(t)]);
        for (const each of [a, b, c]) each.hear("said", "red");
        const ids = (await Promise.all([a, b, c].map((each) => each.call("sid")))).flat();
        for (const [who, room] of [[a, "red"], [b, "red"], [b, "blue"], [c, "blue"]]) await who.call("join", room);
        const nothing = { a: [], b: [], c: [] };
        const heard = async () => {
          // the last that each hears: what came before it is all there is
          await a.call("all", "end");
          const all = { a: [], b: [], c: [] };
          for (const [key, who] of Object.entries({ a, b, c })) {
            for (let event = await who.events.take(); event[1] !== "end"; event = await who.events.take()) all[key].push(event);
          }
          return all;
        };
        const said = ["said", 1, { x: BYTES }];
        const hear = async (rooms, except) => {
          await a.call("say", rooms, except, ...said.slice(1));
          return heard();
        };
        assert.deepEqual(await hear(["red"], []), { ...nothing, a: [said], b: [said] });
        assert.deepEqual(await hear("blue", []), { ...nothing, b: [said], c: [said] });
        assert.deepEqual(await hear(["red", "blue"], []), { a: [said], b: [said], c: [said] });
        assert.deepEqual(await hear(["red", "blue"], ["blue"]), { ...nothing, a: [said] });
        assert.deepEqual(await hear(["red"], [ids[0]]), { ...nothing, b: [said] });
        assert.deepEqual(await hear(ids[2], []), { ...nothing, c: [said] });
        assert.deepEqual(await hear(["nobody"], []), nothing);
        await a.call("others", "hi");
        assert.deepEqual(await heard(), { ...nothing, b: [["said", "hi"]], c: [["said", "hi"]] });
        await c.call("publish", "red", { v: 1 });
        assert.deepEqual(await heard(), { ...nothing, a: [["red", { v: 1 }]], b: [["red", { v: 1 }]] });
        await b.call("leave", "red");
        assert.deepEqual(await hear("red", []), { ...nothing, a: [said] });
      });

      await t.test("hears what a handler says before its ack", async (t) => {
        const client = await come(t);
        const order = [];
        client.socket.on("back", (n) => order.push(n));
        for (const n of numbers(3)) client.socket.emit("back", n, BYTES, () => order.push(`ack ${n}`));
        await client.call("echo");
        assert.deepEqual(order.filter(Number), numbers(3));
        for (const n of numbers(3)) assert.ok(order.indexOf(n) < order.indexOf(`ack ${n}`), String(order));
        assert.equal(order.length, 6);
      });

      await t.test("gets bytes of two namespaces at once, which do not mix", async (t) => {
        const root = (await come(t)).hear("back", "said");
        const chat = (await root.in("/chat").entered()).hear("back", "said");
        for (const n of numbers(20)) {
          root.socket.emit("back", n, { of: "root", bytes: Buffer.alloc(n, 1) }, Buffer.from("r"));
          if (n % 4 === 0) chat.socket.emit("all", n, [Buffer.alloc(n, 2)]);
          chat.socket.emit("back", n, { of: "chat", bytes: Buffer.alloc(n, 3) }, Buffer.from("c"));
        }
        for (const [who, of, fill, mark] of [[root, "root", 1, "r"], [chat, "chat", 3, "c"]]) {
          const all = await who.events.takeAll(25);
          const backs = numbers(20).map((n) => ["back", n, { of, bytes: Buffer.alloc(n, fill) }, Buffer.from(mark)]);
          assert.deepEqual(all.filter(([name]) => name === "back"), backs);
          const said = numbers(5).map((n) => ["said", 4 * n, [Buffer.alloc(4 * n, 2)]]);
          assert.deepEqual(all.filter(([name]) => name === "said"), said);
        }
      });

      await t.test("says a last thing and goes", async (t) => {
        const watcher = (await come(t)).hear("said", "gone");
        await watcher.call("join", "watch:bob");
        const client = await come(t, { namespace: "/chat", given: { name: "bob" } });
        client.socket.emit("all", "so long", BYTES);
        client.socket.disconnect();
        assert.deepEqual(await watcher.events.takeAll(2), [["said", "so long", BYTES], ["gone", "client namespace disconnect"]]);
      });

      await t.test("is in no room of another site", async (t) => {
        const one = (await come(t)).hear("said");
        const two = (await one.in("/sio2").entered()).hear("said");
        await one.call("join", "room");
        await two.call("join", "room");
        await one.call("say", "room", [], "one");
        await two.call("say", "room", [], "two");
        await one.call("all", "end of one");
        await two.call("all", "end of two");
        assert.deepEqual(await one.events.takeAll(2), [["said", "one"], ["said", "end of one"]]);
        assert.deepEqual(await two.events.takeAll(2), [["said", "two"], ["said", "end of two"]]);
      });

      await t.test("is sent out of a namespace, and stays in the others", async (t) => {
        const root = await come(t);
        const chat = await root.in("/chat").entered();
        chat.socket.emit("kick");
        assert.equal(await chat.disconnects.take(), "io server disconnect");
        assert.deepEqual(await root.call("echo", 1), [1]);
        chat.socket.connect();
        await chat.entered();
        assert.deepEqual(await chat.call("echo", 2), [2]);
      });

      await t.test("is sent away as a whole, and does not come back by itself", async (t) => {
        const root = await come(t, { reconnects: true });
        const chat = await root.in("/chat").entered();
        chat.socket.emit("kickAll");
        assert.equal(await root.disconnects.take(), "io server disconnect");
        assert.equal(await chat.disconnects.take(), "io server disconnect");
      });

      await t.test("leaves a namespace, which others hear of", async (t) => {
        const watcher = (await come(t)).hear("gone");
        await watcher.call("join", "watch:ada");
        const client = await come(t);
        const chat = await client.in("/chat", { name: "ada" }).entered();
        chat.socket.disconnect();
        assert.equal(await chat.disconnects.take(), "io client disconnect");
        assert.deepEqual(await watcher.events.take(), ["gone", "client namespace disconnect"]);
        assert.deepEqual(await client.call("echo", 1), [1]);
        chat.socket.connect();
        await chat.entered();
        assert.equal((await chat.call("me"))[0].name, "ada");
      });

      await t.test("whose connection ends is missed", async (t) => {
        const watcher = (await come(t)).hear("gone");
        await watcher.call("join", "watch:eve");
        const client = await come(t, { namespace: "/chat", given: { name: "eve" } });
        client.engine.close();
        assert.equal((await watcher.events.take())[0], "gone");
        assert.match(await client.disconnects.take(), /^(forced close|transport close)$/);
      });

      await t.test("comes back to a server that was away, and says then what it could not", async (t) => {
        const client = (await come(t, { reconnects: true })).hear("back", "said");
        const chat = (await client.in("/chat", { name: "ada" }).entered());
        const [before] = await client.call("sid");
        await client.call("join", "red");
        await client.connects.takeAll(client.connects.items.length);
        await server.stop();
        assert.match(await client.disconnects.take(), /^transport (close|error)$/);
        for (const n of numbers(10)) client.socket.emit("back", n);
        await server.start();
        await client.connects.take();
        await chat.connects.take();
        assert.deepEqual(await client.events.takeAll(10), numbers(10).map((n) => ["back", n]));
        assert.notDeepEqual(await client.call("sid"), [before]);
        assert.equal((await chat.call("me"))[0].name, "ada");
        // nothing is left of its rooms
        await client.call("say", "red", [], "nobody");
        await client.call("all", "end");
        assert.deepEqual(await client.events.take(), ["said", "end"]);
      });
    });
  }

  test(`socket.io-client ${version} loses nothing on its way to a WebSocket`, async (t) => {
    const server = await startServer(t);
    for (let round = 0; round < 8; round++) {
      const client = begin(t, { version, way: "upgrade", url: server.url, namespace: "/chat" }).hear("back", "count");
      client.socket.emit("count", 50);
      for (const n of numbers(60)) {
        client.socket.emit("back", n, n % 7 ? "text" : BYTES);
        if (n === 10) await client.entered();
        if (n % 7 === 0) await new Promise((done) => setImmediate(done));
      }
      await client.moved();
      client.socket.emit("back", "moved");
      const all = await client.events.takeAll(50 + 60 + 1);
      assert.deepEqual(all.filter(([name]) => name === "count"), numbers(50).map((n) => ["count", n]));
      const backs = numbers(60).map((n) => ["back", n, n % 7 ? "text" : BYTES]);
      assert.deepEqual(all.filter(([name]) => name === "back"), [...backs, ["back", "moved"]]);
      client.close();
    }
  });

  test(`socket.io-client ${version} lives through heartbeats`, async (t) => {
    const server = await startServer(t, { beat: 150 });
    for (const way of Object.keys(WAYS)) {
      const client = await enter(t, { version, way, url: server.url });
      let beats = 0;
      await within(new Promise((done) => {
        client.engine.on(version === "4" ? "ping" : "pong", () => ++beats === 4 && done());
      }), "four heartbeats");
      assert.deepEqual(await client.call("echo", 1), [1]);
      assert.equal(client.disconnects.items.length, 0);
    }
  });
}

for (const way of Object.keys(WAYS)) {
  test(`what only socket.io-client 4 does, over ${way}`, async (t) => {
    const server = await startServer(t);
    const come = (t, more) => enter(t, { version: "4", way, url: server.url, ...more });

    await t.test("awaits acks", async (t) => {
      const { socket } = await come(t);
      assert.equal(await socket.emitWithAck("echo", "x"), "x");
      assert.deepEqual(await socket.timeout(5000).emitWithAck("echo", [1]), [1]);
    });

    await t.test("gives up an ack, and is not disturbed by a late one", async (t) => {
      const client = await come(t);
      await assert.rejects(client.socket.timeout(30).emitWithAck("slow", 120), /operation has timed out/);
      assert.deepEqual(await client.call("slow", 150), ["late"]);
      assert.deepEqual(await client.call("echo", 1), [1]);
    });

    await t.test("says again what was not acked", async (t) => {
      const client = await come(t, { more: { retries: 3, ackTimeout: 60 } });
      client.hear("back");
      const slow = new Promise((done) => client.socket.emit("slow", 100, (error) => done(error)));
      client.socket.emit("echo", "next", () => {});
      assert.match(String(await within(slow, "the end of the retries")), /timed out/);
      client.socket.emit("echo", "after");
      client.socket.io.opts.retries = 0;
      const [value] = await within(new Promise((done) => client.socket.emit("echo", "last", (_, v) => done([v]))), "the last");
      assert.equal(value, "last");
    });

    await t.test("gives its auth when it is asked for it", async (t) => {
      const client = begin(t, { version: "4", way, url: server.url, more: { auth: (give) => give({ name: "called" }) } });
      await client.entered();
      assert.equal((await client.call("me"))[0].name, "called");
    });

    await t.test("comes in at / after it was refused", async (t) => {
      const client = begin(t, { version: "4", way, url: server.url, given: { name: "banned" } });
      assert.deepEqual(await client.refusals.take(), { message: "banned", data: { code: 7, list: ["x", 1] } });
      assert.equal(client.socket.active, false);
      client.socket.auth = { name: "ada" };
      client.socket.connect();
      await client.entered();
      assert.equal((await client.call("me"))[0].name, "ada");
    });

    await t.test("is not recovered where nobody promised it", async (t) => {
      const client = await come(t);
      assert.ok(!client.socket.recovered);
    });
  });
}

// One client of each age and way, in the two namespaces of the site by turns.
async function enterAll(t, url) {
  const kinds = VERSIONS.flatMap((version) => Object.keys(WAYS).map((way) => ({ version, way })));
  return Promise.all(kinds.map((kind, i) => enter(t, { ...kind, url, namespace: i % 2 ? "/chat" : "/" })));
}

test("clients of all ages are in one room", async (t) => {
  const server = await startServer(t);
  const all = await enterAll(t, server.url);
  for (const each of all) {
    each.hear("said");
    await each.call("join", "room");
  }
  for (const [n, each] of all.entries()) await each.call("say", "room", [], n, { bytes: [BYTES, "text"] });
  const expected = all.map((_, n) => ["said", n, { bytes: [BYTES, "text"] }]);
  for (const each of all) assert.deepEqual(await each.events.takeAll(all.length), expected);
});

test("a client of the token dialect is in the same room", { skip: isReference && "there are none" }, async (t) => {
  const server = await startServer(t);
  const all = await enterAll(t, server.url);
  const other = new TokenClient(`${server.url}/sio`, { query: { name: "eve" }, link: "bare" });
  t.after(() => other.end());
  await other.readies.take();
  other.subscribe("room").catch(() => {});
  assert.deepEqual(await other.internals.take(), ["subscribe", "room"]);
  for (const each of all) {
    each.hear("room", "said");
    await each.call("join", "room");
  }
  other.publish("room", { n: [1, "é"] }).catch(() => {});
  for (const each of all) assert.deepEqual(await each.events.take(), ["room", { n: [1, "é"] }]);
  assert.deepEqual(await other.messages.take(), ["room", { n: [1, "é"] }]);
  await all[0].call("publish", "room", "plain");
  for (const each of all) assert.deepEqual(await each.events.take(), ["room", "plain"]);
  assert.deepEqual(await other.messages.take(), ["room", "plain"]);
  await all[1].call("say", "room", [], 1, [null]);
  for (const each of all) assert.deepEqual(await each.events.take(), ["said", 1, [null]]);
  assert.deepEqual(await other.messages.take(), ["room", { event: "said", args: [1, [null]] }]);
});

test("a channel with a name of the protocol's does no harm", { skip: isReference && "there are none" }, async (t) => {
  const server = await startServer(t);
  const all = await enterAll(t, server.url);
  for (const name of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]) {
    for (const each of all) {
      each.hear(`moonlatch:${name}`);
      await each.call("join", name);
    }
    await all[0].call("publish", name, { of: name });
    for (const each of all) assert.deepEqual(await each.events.take(), [`moonlatch:${name}`, { of: name }]);
  }
  for (const each of all) {
    assert.deepEqual(await each.call("echo", 1), [1]);
    assert.equal(each.connects.items.length, 0);
    assert.equal(each.disconnects.items.length + each.refusals.items.length, 0);
  }
});
