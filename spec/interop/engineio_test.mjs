// SPDX-License-Identifier: MIT
// The real engine.io-client from npm, of three ages, on the raw dialect: polling, WebSocket, and the way
// from one to the other.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Socket } from "engine.io-client";
import { startGateway } from "./gateway.mjs";
import { engineioSite } from "./sites.mjs";
import { Mailbox, within } from "./wait.mjs";

const require = createRequire(import.meta.url);
const CLIENTS = { "6": Socket, "3": require("engine.io-client-3"), "1.8": require("engine.io-client-1") };
const WAYS = {
  polling: { transports: ["polling"], ends: "polling" },
  websocket: { transports: ["websocket"], ends: "websocket" },
  upgrade: { transports: ["polling", "websocket"], ends: "websocket" },
};

// What came, in one form: texts as they are, bytes as a Buffer. For an empty text the clients say undefined.
const plain = (data = "") => (typeof data === "string" ? data : Buffer.from(data));

class Session {
  constructor(t, Client, url, { path, transports }) {
    this.socket = new Client(url, { path, transports });
    this.messages = new Mailbox("a message");
    this.socket.on("message", (data) => this.messages.put(plain(data)));
    this.opened = new Promise((done, fail) => {
      this.socket.on("open", done);
      this.socket.on("error", fail);
    });
    this.opened.catch(() => {});
    this.ended = new Promise((done) => this.socket.on("close", done));
    this.moved = new Promise((done) => this.socket.on("upgrade", (transport) => done(transport.name)));
    t.after(() => this.socket.close());
  }

  get carrier() {
    return this.socket.transport.name;
  }

  send(...all) {
    for (const data of all) this.socket.send(data);
  }
}

async function open(t, Client, url, way, path = "/engine.io/") {
  const session = new Session(t, Client, url, { path, transports: WAYS[way].transports });
  await within(session.opened, "the open packet");
  if (way === "upgrade") assert.equal(await within(session.moved, "the upgrade"), "websocket");
  assert.equal(session.carrier, WAYS[way].ends);
  return session;
}

const TEXTS = ["hello", "", "\"quotes\" \\ and 'such'", "\n\r\t\x01\x1f", "4", "1", "2probe", "b4AAAA", "7:4nested", "0{}",
  "100% %41 +", "</script><!--", "[\"a\"]", "{\"a\":[]}", "{\"a\":\"plain\"}"];
const WIDE = ["äöü € 漢字 😀", "é", "\u2028\u2029\ufeff\uffff", "Ã©", "[\"é\"]", "{\"a\":\"😀 €\"}"];

for (const [version, Client] of Object.entries(CLIENTS)) {
  for (const way of Object.keys(WAYS)) {
    test(`engine.io-client ${version} over ${way}`, async (t) => {
      const gateway = await startGateway(t, { files: engineioSite });
      const { url } = gateway;

      await t.test("gets every text back, in order and unchanged", async (t) => {
        const session = await open(t, Client, url, way);
        session.send(...TEXTS);
        assert.deepEqual(await session.messages.takeAll(TEXTS.length), TEXTS);
      });

      await t.test("gets texts beyond ASCII back, one by one", async (t) => {
        const session = await open(t, Client, url, way);
        for (const text of WIDE) {
          session.send(text);
          const back = await session.messages.take();
          // JSON comes as ASCII where clients differ: the same value
          if (/^[[{]/.test(text)) assert.deepEqual(JSON.parse(back), JSON.parse(text));
          else assert.equal(back, text);
        }
      });

      await t.test("gets bytes back, between texts", async (t) => {
        const session = await open(t, Client, url, way);
        const bytes = Buffer.from([0, 1, 2, 4, 30, 127, 128, 250, 255]);
        const sent = ["before", bytes, "between", Buffer.from("x"), "behind"];
        session.send(...sent);
        assert.deepEqual(await session.messages.takeAll(sent.length), sent);
      });

      await t.test("gets a burst of a hundred back, in order", async (t) => {
        const session = await open(t, Client, url, way);
        const texts = Array.from({ length: 100 }, (_, i) => `${i} ${"x".repeat(300)}`);
        session.send(...texts);
        assert.deepEqual(await session.messages.takeAll(texts.length), texts);
      });

      await t.test("gets large messages back", async (t) => {
        const session = await open(t, Client, url, way);
        const text = "0123456789abcdef".repeat(3 * 1024), bytes = Buffer.alloc(40 * 1024, "moon");
        for (const data of [text, bytes, text]) {
          session.send(data);
          assert.deepEqual(await session.messages.take(), data);
        }
      });

      await t.test("hears what the script says by itself, in order", async (t) => {
        const session = await open(t, Client, url, way);
        session.send("count 200");
        const numbers = Array.from({ length: 200 }, (_, i) => String(i + 1));
        assert.deepEqual(await session.messages.takeAll(numbers.length), numbers);
      });

      await t.test("lives through heartbeats", async (t) => {
        const session = await open(t, Client, url, way, "/quick/");
        const beats = new Mailbox("a heartbeat");
        session.socket.on(version === "6" ? "ping" : "pong", () => beats.put(true));
        await beats.takeAll(4);
        session.send("still here");
        assert.equal(await session.messages.take(), "still here");
      });

      await t.test("hears the script's close, and opens again", async (t) => {
        const session = await open(t, Client, url, way);
        session.send("close 3456 enough of this");
        assert.match(await within(session.ended, "the close"), /^transport close$/);
        const again = await open(t, Client, url, way);
        again.send("back");
        assert.equal(await again.messages.take(), "back");
      });

      await t.test("closes by itself, which the script hears", async (t) => {
        const session = await open(t, Client, url, way);
        const before = gateway.log.length;
        session.socket.close();
        assert.equal(await within(session.ended, "the close"), "forced close");
        const heard = async () => {
          while (!gateway.log.includes("a socket is gone", before)) await new Promise((r) => setTimeout(r, 20));
        };
        await within(heard(), "the script's disconnect");
      });

      await t.test("comes back to a gateway that was away", async (t) => {
        const session = await open(t, Client, url, way);
        await gateway.stop();
        assert.match(await within(session.ended, "the close"), /^transport (close|error)$/);
        await gateway.start();
        const again = await open(t, Client, gateway.url, way);
        again.send("back");
        assert.equal(await again.messages.take(), "back");
      });
    });
  }

  test(`engine.io-client ${version} loses nothing on its way to a WebSocket`, async (t) => {
    const gateway = await startGateway(t, { files: engineioSite });
    for (let round = 0; round < 10; round++) {
      const session = new Session(t, Client, gateway.url, { path: "/engine.io/", transports: ["polling", "websocket"] });
      await within(session.opened, "the open packet");
      const texts = Array.from({ length: 60 }, (_, i) => `${round} ${i}`);
      for (const text of texts) {
        session.send(text);
        if (text.endsWith("7")) await new Promise((done) => setImmediate(done));
      }
      assert.equal(await within(session.moved, "the upgrade"), "websocket");
      session.send("moved");
      assert.deepEqual(await session.messages.takeAll(texts.length + 1), [...texts, "moved"]);
      session.socket.close();
    }
  });
}

test("engine.io-client 3 is refused where protocol 3 is not served", async (t) => {
  const gateway = await startGateway(t, { files: engineioSite });
  const refused = new Session(t, CLIENTS["3"], gateway.url, { path: "/only4/", transports: ["polling"] });
  await assert.rejects(within(refused.opened, "an answer"), /xhr poll error/);
  const served = await open(t, CLIENTS["6"], gateway.url, "polling", "/only4/");
  served.send("x");
  assert.equal(await served.messages.take(), "x");
});
