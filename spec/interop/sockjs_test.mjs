// SPDX-License-Identifier: MIT
// The real sockjs-client from npm, over each transport that runs in Node, on the raw dialect.

import assert from "node:assert/strict";
import { test } from "node:test";
import SockJS from "sockjs-client";
import { startGateway } from "./gateway.mjs";
import { echoSite } from "./sites.mjs";
import { Mailbox, within } from "./wait.mjs";

const TRANSPORTS = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];

class Session {
  constructor(t, url, transport) {
    this.sock = new SockJS(url, null, { transports: transport, timeout: 5000 });
    this.messages = new Mailbox("a message");
    this.ended = new Promise((done) => (this.sock.onclose = (e) => done({ code: e.code, reason: e.reason })));
    this.sock.onmessage = (e) => this.messages.put(e.data);
    this.opened = new Promise((done, fail) => {
      this.sock.onopen = () => done(this);
      this.ended.then((why) => fail(new Error(`never opened: ${why.code} ${why.reason}`)));
    });
    this.opened.catch(() => {});
    t.after(() => this.close());
  }

  close() {
    if (this.sock.readyState < SockJS.CLOSING) this.sock.close();
  }
}

async function open(t, url, transport) {
  const session = new Session(t, url, transport);
  await within(session.opened, "the open frame");
  assert.equal(session.sock.transport, transport);
  return session;
}

for (const transport of TRANSPORTS) {
  test(`sockjs-client over ${transport}`, async (t) => {
    const gateway = await startGateway(t, { files: echoSite });
    const url = `${gateway.url}/echo`;

    await t.test("gets every message back, in order and unchanged", async (t) => {
      const session = await open(t, url, transport);
      const texts = ["hello", "", "\"quotes\" \\ and 'such'", "\n\r\t\0\x01\x1f", "äöü € 漢字 😀",
        "\u2028\u2029\ufeff\uffff\u200c\u206f", "100% %41 +", "</script><!--", "[\"a\"]", "{\"a\":[]}", "h", "o"];
      for (const text of texts) session.sock.send(text);
      assert.deepEqual(await session.messages.takeAll(texts.length), texts);
    });

    await t.test("gets a burst of a hundred back", async (t) => {
      const session = await open(t, url, transport);
      const texts = Array.from({ length: 100 }, (_, i) => `${i} ${"x".repeat(500)}`);
      for (const text of texts) session.sock.send(text);
      assert.deepEqual(await session.messages.takeAll(texts.length), texts);
    });

    await t.test("gets a message of 48 KiB back", async (t) => {
      const session = await open(t, url, transport);
      const text = "0123456789abcdef".repeat(3 * 1024);
      session.sock.send(text);
      assert.equal(await session.messages.take(), text);
    });

    await t.test("learns the code and reason of the server's close", async (t) => {
      const session = await open(t, url, transport);
      session.sock.send("close 3456 enough of this");
      assert.deepEqual(await within(session.ended, "the close"), { code: 3456, reason: "enough of this" });
    });

    await t.test("closes by itself, which the script hears", async (t) => {
      const session = await open(t, url, transport);
      const before = gateway.log.length;
      session.sock.close(3001, "mine");
      assert.deepEqual(await within(session.ended, "the close"), { code: 3001, reason: "mine" });
      const heard = async () => {
        while (!gateway.log.includes("a socket is gone", before)) await new Promise((r) => setTimeout(r, 20));
      };
      await within(heard(), "the script's disconnect");
    });

    await t.test("can connect again after a restart of the gateway", async (t) => {
      const first = await open(t, url, transport);
      await gateway.stop();
      await within(first.ended, "the end");
      await gateway.start();
      const second = await open(t, url, transport);
      second.sock.send("again");
      assert.equal(await second.messages.take(), "again");
    });
  });
}

test("a megabyte over the websocket transport", async (t) => {
  const gateway = await startGateway(t, { files: echoSite });
  const session = await open(t, `${gateway.url}/echo`, "websocket");
  const text = "m".repeat(1 << 20);
  session.sock.send(text);
  assert.equal(await session.messages.take(), text);
});

for (const transport of ["xhr-streaming", "eventsource"]) {
  test(`${transport} goes on over many responses of 4 KiB`, async (t) => {
    const gateway = await startGateway(t, { files: echoSite });
    const session = await open(t, `${gateway.url}/small`, transport);
    const texts = Array.from({ length: 60 }, (_, i) => `${i} ${"y".repeat(700)}`);
    for (const text of texts) session.sock.send(text);
    assert.deepEqual(await session.messages.takeAll(texts.length), texts);
  });
}

test("without a choice, the client ends up on websocket", async (t) => {
  const gateway = await startGateway(t, { files: echoSite });
  await open(t, `${gateway.url}/echo`, "websocket");
  const session = new Session(t, `${gateway.url}/echo`, undefined);
  await within(session.opened, "the open frame");
  assert.equal(session.sock.transport, "websocket");
});

test("a wrong address ends with code 1002", async (t) => {
  const gateway = await startGateway(t, { files: echoSite });
  const session = new Session(t, `${gateway.url}/nothing`, undefined);
  assert.equal((await within(session.ended, "the end")).code, 1002);
});
