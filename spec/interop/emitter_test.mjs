// SPDX-License-Identifier: MIT
// The real emitters from npm, of four ages, on the Redis of two gateways: what they send comes to the real
// clients of both, once, and as JavaScript has it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { encode as encodeMsgpack } from "@msgpack/msgpack";
import { Emitter } from "@socket.io/redis-emitter";
import { startGateway } from "./gateway.mjs";
import { startRedis } from "./redis.mjs";
import { begin, plain } from "./socketio/clients.mjs";
import { within } from "./wait.mjs";

const require = createRequire(import.meta.url);
const { createClient } = require("redis");
const ENCODERS = { "notepack.io 3": require("notepack.io").encode, "notepack.io 2": require("notepack.io-2").encode, "@msgpack/msgpack": (value) => Buffer.from(encodeMsgpack(value)) };

// Each as (redis, key) -> an emitter of "/", with of(namespace).
const old = (library) => (redis, key) => require(library)(redis, { key });
const EMITTERS = {
  "@socket.io/redis-emitter 5": (redis, key) => new Emitter(redis, { key }),
  "socket.io-emitter 3": old("socket.io-emitter"),
  "socket.io-emitter 2": old("socket.io-emitter-2"),
  "socket.io-emitter 1": old("socket.io-emitter-1"),
};

const SCRIPT = `return { events = {
  join = function(socket, room) return socket:subscribe(room) end,
  tell = function(socket, ...) socket:emit(...) return true end,
} }`;

function files(port, emitter) {
  return {
    "conf/gateway.lua": `return { store = "redis://127.0.0.1:${port}", limits = { drain_timeout = "1s", drain_spread = 0 } }`,
    "conf/sites/one.lua": `return { socketio = { namespaces = { "/", "/chat" }, auth = "none", emitter = ${emitter} } }`,
    "conf/sites/deaf.lua": `return { socketio = { namespaces = { "/deaf" }, auth = "none" } }`,
    "scripts/one/init.lua": SCRIPT,
    "scripts/deaf/init.lua": SCRIPT,
  };
}

class Fleet {
  constructor(redis, urls) {
    this.redis = redis;
    this.urls = urls;
  }

  // A client of the n-th gateway that hears "ev" and "end" and is in the rooms.
  async member(t, n, rooms = [], { version = "4", namespace = "/" } = {}) {
    const member = begin(t, { version, way: "websocket", url: this.urls[n], namespace }).hear("ev", "end");
    await member.entered();
    for (const room of rooms) assert.deepEqual(await member.call("join", room), [true]);
    return member;
  }

  publish(channel, payload) {
    return within(new Promise((done, fail) => {
      this.redis.publish(channel, payload, (error, count) => (error ? fail(error) : done(count)));
    }), "PUBLISH");
  }
}

// Two gateways on one Redis, subscribed, and a connection to it.
async function startFleet(t, emitter = "true", channel = "socket.io#/#") {
  const port = await startRedis(t);
  const gateways = [await startGateway(t, { files: files(port, emitter) }), await startGateway(t, { files: files(port, emitter) })];
  const redis = createClient({ port, host: "127.0.0.1", return_buffers: false });
  t.after(() => redis.end(true));
  const fleet = new Fleet(redis, gateways.map(({ url }) => url));
  // they listen when it has two receivers; an empty message is none
  await within((async () => {
    while (await fleet.publish(channel, "") < 2) await new Promise(setImmediate);
  })(), "both gateways to listen");
  return fleet;
}

// What each member got up to the "end" that is sent to everybody.
async function heard(emitter, members) {
  emitter.emit("end");
  return Promise.all(members.map(async ({ events }) => {
    const all = [];
    for (let event; (event = await events.take())[0] !== "end";) all.push(event.slice(1));
    return all;
  }));
}

for (const [name, make] of Object.entries(EMITTERS)) {
  test(`${name}: rooms, flags and namespaces`, async (t) => {
    const fleet = await startFleet(t);
    const emitter = make(fleet.redis);
    const a = await fleet.member(t, 0, ["a"]), ab = await fleet.member(t, 1, ["a", "b"], { version: "2" });
    const none = await fleet.member(t, 0), chat = await fleet.member(t, 1, ["a"], { namespace: "/chat", version: "3" });
    const all = [a, ab, none];
    emitter.emit("ev", "all", 1, { deep: [null, "é😀", 0.5, -7, 2 ** 40] });
    emitter.to("a").emit("ev", "a");
    emitter.to("a").to("b").emit("ev", "union");
    emitter.in("b").emit("ev", "b");
    emitter.to("nobody").emit("ev", "nobody");
    emitter.to("nobody").to("b").emit("ev", "one of them");
    emitter.to(none.socket.id).emit("ev", "own room");
    emitter.volatile.emit("ev", "volatile");
    emitter.to("x".repeat(40)).emit("ev", "nobody");
    const whole = ["all", 1, { deep: [null, "é😀", 0.5, -7, 2 ** 40] }];
    assert.deepEqual(await heard(emitter, all), [
      [whole, ["a"], ["union"], ["volatile"]],
      [whole, ["a"], ["union"], ["b"], ["one of them"], ["volatile"]],
      [whole, ["own room"], ["volatile"]],
    ]);
    const other = emitter.of("/chat");
    other.to("a").emit("ev", "chat");
    // both namespaces are the one site's, and a site has its sockets and rooms once
    other.emit("end");
    const found = [];
    for (let event; (event = await chat.events.take())[1] !== "chat";) found.push(event);
    assert.ok(found.length);
  });
}

test("@socket.io/redis-emitter 5: except, compress, lists of rooms, the name of a room in a number", async (t) => {
  const fleet = await startFleet(t);
  const emitter = new Emitter(fleet.redis);
  const a = await fleet.member(t, 0, ["a"]), ab = await fleet.member(t, 1, ["a", "b"]), five = await fleet.member(t, 0, ["5"]);
  emitter.except("a").emit("ev", "but a");
  emitter.to(["a", "5"]).except(["b"]).emit("ev", "a 5 but b");
  emitter.except(a.socket.id).emit("ev", "but one");
  emitter.compress(true).to("b").emit("ev", "compressed");
  emitter.compress(false).volatile.to("b").emit("ev", "not");
  emitter.to(5).emit("ev", "five");
  assert.deepEqual(await heard(emitter, [a, ab, five]), [
    [["a 5 but b"]],
    [["but one"], ["compressed"], ["not"]],
    [["but a"], ["a 5 but b"], ["but one"], ["five"]],
  ]);
});

for (const [name, make] of Object.entries(EMITTERS).slice(0, 3)) {
  test(`${name}: bytes`, async (t) => {
    const fleet = await startFleet(t);
    const emitter = make(fleet.redis);
    const members = [await fleet.member(t, 0, ["a"]), await fleet.member(t, 1, ["a"], { version: "2" })];
    const long = Buffer.from(Array.from({ length: 70000 }, (_, i) => i % 251));
    emitter.to("a").emit("ev", Buffer.from([1, 2, 250]), { deep: [Buffer.alloc(0), "text", { long }] });
    const expected = [Buffer.from([1, 2, 250]), { deep: [Buffer.alloc(0), "text", { long }] }];
    assert.deepEqual(await heard(emitter, members), [[expected], [expected]]);
  });
}

test("another prefix, and sites that do not listen", async (t) => {
  const fleet = await startFleet(t, `"my*app"`, "my*app#/#");
  const mine = new Emitter(fleet.redis, { key: "my*app" });
  const member = await fleet.member(t, 0), deaf = await fleet.member(t, 1, [], { namespace: "/deaf" });
  new Emitter(fleet.redis).emit("ev", "another prefix");
  await fleet.publish("myXapp#/#", ENCODERS["notepack.io 3"](["emitter", { type: 2, data: ["ev", "a pattern"], nsp: "/" }, {}]));
  mine.of("/deaf").emit("ev", "deaf");
  mine.emit("ev", "mine");
  assert.deepEqual(await heard(mine, [member]), [[["mine"]]]);
  assert.deepEqual(await deaf.call("tell", "ev", "itself"), [true]);
  assert.deepEqual(await deaf.events.take(), ["ev", "itself"]);
});

test("what servers say, and what is none, is left out", async (t) => {
  const fleet = await startFleet(t);
  const member = await fleet.member(t, 0, ["a"]), { "notepack.io 3": encode } = ENCODERS;
  const event = (...args) => ({ type: 2, data: ["ev", ...args], nsp: "/" });
  const rows = [
    ["socket.io#/#", encode(["Xy12ab", event("a server's"), { rooms: [] }])],
    ["socket.io#/#", encode(["emitter", { ...event("another namespace"), nsp: "/chat" }, {}])],
    ["socket.io#/#", encode(["emitter", { ...event("an ack"), type: 3 }, {}])],
    ["socket.io#/#", encode(["emitter", event("no opts")])],
    ["socket.io#/#", encode(["emitter", event("a text for rooms"), { rooms: "a" }])],
    ["socket.io#/#b#", encode(["emitter", event("said before"), { rooms: ["a", "b"] }])],
    ["socket.io#/#a", encode(["emitter", event("no end"), {}])],
    ["socket.io#/#", encode(["emitter", event(), {}]).subarray(1)],
    ["socket.io#/#", JSON.stringify(["emitter", event("JSON"), {}])],
    ["socket.io-request#/#", JSON.stringify({ type: 5, requestId: "x" })],
    ["socket.io-response#/#", "{}"],
  ];
  for (const [channel, payload] of rows) await fleet.publish(channel, payload);
  assert.deepEqual(await heard(new Emitter(fleet.redis), [member]), [[]]);
});

// ---- values ----

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

const LEAVES = [null, true, false, 0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -128,
  -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1, 0.1, -2.5e-7, 1.5e300, 5e-324, NaN, Infinity, -Infinity,
  "", "text", "\u0000\u001f\u007f", "\\ \" '", "é", "漢字", "😀", "\u2028\ufeff\uffff", "x".repeat(31), "x".repeat(32), "é".repeat(200),
  "y".repeat(70000), new Date(0), new Date(1583022464125), new Date(253402300800000), new Date(2 ** 34 * 1000)];
const KEYS = ["a", "b c", "", "7", "-1", "ключ", "\"", "constructor", "k".repeat(40)];

function value(below, depth) {
  const pick = (list) => list[below(list.length)];
  const kind = below(depth ? 8 : 5);
  if (kind < 4) return pick(LEAVES);
  if (kind === 4) return Buffer.from(Array.from({ length: below(4) ? below(20) : 300 }, () => below(256)));
  const values = Array.from({ length: below(8) ? below(5) : 20 }, () => value(below, depth - 1));
  return kind === 5 ? values : Object.fromEntries(values.map((inner, i) => [KEYS[i] ?? `more${i}`, inner]));
}

// What JavaScript's JSON makes of it, but for bytes.
function asSent(item) {
  if (Buffer.isBuffer(item)) return item;
  if (Array.isArray(item)) return item.map(asSent);
  if (item === null || typeof item !== "object" || item instanceof Date) return JSON.parse(JSON.stringify(item));
  return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, asSent(inner)]));
}

for (const [name, encode] of Object.entries(ENCODERS)) {
  test(`${name}: many values come as they were`, async (t) => {
    const fleet = await startFleet(t);
    const member = await fleet.member(t, 0), below = randomBelow(7);
    for (let round = 0; round < 300; round++) {
      const args = Array.from({ length: 1 + below(4) }, () => value(below, 4));
      await fleet.publish("socket.io#/#", Buffer.from(encode(["emitter", { type: 2, data: ["ev", ...args], nsp: "/" }, { rooms: [], flags: {} }])));
      const [, ...came] = await member.events.take();
      assert.deepEqual(plain(came), asSent(args), `round ${round}`);
    }
  });
}
