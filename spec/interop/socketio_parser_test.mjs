// SPDX-License-Identifier: MIT
// Packets that the socket.io-parsers from npm write, of three ages, and what comes back as they read it: many
// values, by a fixed seed, in events and acks of two namespaces.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { plain } from "./socketio/clients.mjs";
import { openRaw } from "./socketio/raw.mjs";
import { startServer } from "./socketio/server.mjs";
import { Mailbox } from "./wait.mjs";

const require = createRequire(import.meta.url);
const PARSERS = { "4": require("socket.io-parser"), "3": require("socket.io-parser-3"), "1": require("socket.io-parser-2") };
const EVENT = 2, ACK = 3, BINARY_EVENT = 5, BINARY_ACK = 6;

// Numbers below n, the same in each run (mulberry32).
function randomBelow(seed) {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % n;
  };
}

const LEAVES = [null, true, false, 0, 1, -1, 0.1, -2.5e-7, 1e21, 9007199254740991, -9007199254740991, "", "text", "-", "1-", ",",
  "/chat,", "[\"echo\"]", "{\"_placeholder\":true,\"num\":0}", "\u0000\u001f\u007f", "\\u0041 \\ \" '", "</script>", "\r\n\t", "é", "Ã©", "漢字", "😀", "\u2028\u2029", "\ufeff\uffff", "e\u0301"];
const KEYS = ["a", "b c", "", "bytes", "num", "0", "1", "constructor", "ключ", "\"", "nil"];

// Makes values, with up to ten attachments in them.
class Maker {
  constructor(below) {
    this.below = below;
    this.attachments = 0;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  bytes() {
    this.attachments++;
    return Buffer.from(Array.from({ length: this.below(40) }, () => this.below(256)));
  }

  value(depth) {
    const kind = this.below(depth ? 8 : 5);
    if (kind < 4) return this.pick(LEAVES);
    if (kind === 4) return this.attachments < 10 ? this.bytes() : null;
    const values = Array.from({ length: this.below(5) }, () => this.value(depth - 1));
    return kind === 5 ? values : Object.fromEntries(values.map((value) => [this.pick(KEYS), value]));
  }
}

const hasBytes = (value) => Buffer.isBuffer(value) ||
  (value !== null && typeof value === "object" && Object.values(value).some(hasBytes));

// What goes over the wire for a packet: a text and its attachments. The parser of 4.x sees by itself whether
// there are any.
function encode({ Encoder }, packet) {
  const encoder = new Encoder();
  if (encoder.encode.length < 2) return encoder.encode(packet);
  const type = hasBytes(packet.data) ? BINARY_EVENT : packet.type;
  let encoded;
  encoder.encode({ ...packet, type }, (all) => (encoded = all));
  return encoded;
}

// A mailbox of packets, as the parser reads what comes.
function decoded({ Decoder }, raw) {
  const decoder = new Decoder(), packets = new Mailbox("a packet");
  decoder.on("decoded", ({ type, nsp, id, data }) => {
    packets.put({ type: { [BINARY_EVENT]: EVENT, [BINARY_ACK]: ACK }[type] ?? type, nsp, id, data: plain(data) });
  });
  raw.packets = { put: (message) => decoder.add(message) };
  return packets;
}

for (const [age, parser] of Object.entries(PARSERS)) {
  for (const way of age === "1" ? ["websocket"] : ["websocket", "polling"]) {
    test(`what the parser for Engine.IO ${age} writes comes back over ${way}`, async (t) => {
      const server = await startServer(t);
      const raw = await openRaw(t, age, server.url, way);
      await raw.enter();
      raw.send(...encode(parser, { type: 0, nsp: "/chat" }));
      await raw.packets.take();
      const answers = decoded(parser, raw), below = randomBelow(Number(age) * 1000 + way.length);
      for (let round = 0; round < 400; round++) {
        const maker = new Maker(below);
        const args = Array.from({ length: below(5) }, () => maker.value(3));
        const nsp = below(2) ? "/" : "/chat", id = below(3) ? below(2 ** 31) : undefined;
        const name = id === undefined ? "back" : "echo";
        const sent = encode(parser, { type: EVENT, nsp, id, data: [name, ...args] });
        raw.send(...sent);
        const expected = id === undefined ? { type: EVENT, nsp, id, data: [name, ...args] } : { type: ACK, nsp, id, data: args };
        assert.deepEqual(await answers.take(), expected, `round ${round}: ${sent[0]}`);
      }
    });
  }
}
