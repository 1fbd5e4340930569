// SPDX-License-Identifier: MIT
// npm's ws with permessage-deflate against an endpoint that compresses, and without.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";
import { startGateway } from "./gateway.mjs";
import { echoSite } from "./sites.mjs";
import { Mailbox, within } from "./wait.mjs";

async function open(t, gateway, path, options) {
  const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`, options);
  const messages = new Mailbox("a message");
  ws.on("message", (data, binary) => messages.put({ data, binary }));
  t.after(() => ws.terminate());
  await within(once(ws, "open"), "the handshake");
  return { ws, messages };
}

const OFFERS = {
  "as ws offers it": true,
  "without context takeover of the server": { serverNoContextTakeover: true },
  "without context takeover of the client": { clientNoContextTakeover: true },
  "with small windows": { serverMaxWindowBits: 10, clientMaxWindowBits: 10 },
};

for (const [title, perMessageDeflate] of Object.entries(OFFERS)) {
  test(`permessage-deflate ${title}`, async (t) => {
    const gateway = await startGateway(t, { files: echoSite });
    const threshold = { threshold: 0, ...(perMessageDeflate === true ? {} : perMessageDeflate) };
    const { ws, messages } = await open(t, gateway, "/deflate", { perMessageDeflate: threshold });
    assert.match(ws.extensions, /permessage-deflate/);
    const texts = ["", "short", "ab".repeat(50000), "ü😀".repeat(3000), JSON.stringify(Array(5000).fill({ a: 1 }))];
    for (let round = 0; round < 3; round++) {
      for (const text of texts) {
        ws.send(text);
        const { data, binary } = await messages.take();
        assert.equal(binary, false);
        assert.equal(data.toString(), text);
      }
    }
    const noise = randomBytes(100000);
    ws.send(noise);
    const { data, binary } = await messages.take();
    assert.equal(binary, true);
    assert.ok(noise.equals(data));
    ws.close(3000, "done");
    const [code] = await within(once(ws, "close"), "the close");
    assert.equal(code, 3000);
  });
}

test("an endpoint without compression negotiates none", async (t) => {
  const gateway = await startGateway(t, { files: echoSite });
  const { ws, messages } = await open(t, gateway, "/raw", { perMessageDeflate: true });
  assert.equal(ws.extensions, "");
  ws.send("plain");
  assert.equal((await messages.take()).data.toString(), "plain");
});
