// SPDX-License-Identifier: MIT
// Socket.IO's packets, said by a plain engine.io-client: what the parsers from npm write is understood, and
// what breaks the protocol closes its connection and no other. With REFERENCE=1 the server is one from npm.

import assert from "node:assert/strict";
import { test } from "node:test";
import { enter } from "./socketio/clients.mjs";
import { openRaw } from "./socketio/raw.mjs";
import { isReference, startServer } from "./socketio/server.mjs";
import { within } from "./wait.mjs";

const BYTES = Buffer.from([1, 2, 3]);

// A client may say something before it hears that it was sent out: the reference closes all it has for that.
const LATE = { ours: "alive", why: "it may have been sent out meanwhile" };

// [what it is, what is said, what becomes of the connection, and where ours differs: to what, and why]
const PACKETS = [
  ["nothing", [""], "closed"],
  ["an unknown type", ["9"], "closed"],
  ["a type that is no number", ["x"], "closed"],
  ["an event without JSON", ["2"], "alive", { ours: "closed", why: "it has no name" }],
  ["half of an event", ["2["], "closed"],
  ["an event that is an object", ["2{}"], "closed"],
  ["an event without a name", ["2[]"], "closed"],
  ["null for a name", ["2[null]"], "closed"],
  ["a list for a name", ['2[["echo"]]'], "closed"],
  ["a number for a name", ["2[1]"], "alive"],
  ["an empty name", ['2[""]'], "alive"],
  ["an event that nobody knows", ['2["nobody",1]'], "alive"],
  ["something behind an event", ['2["echo"]x'], "closed"],
  ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => (
    [`the name ${name}`, [`2["${name}"]`], "closed"])),
  ["an id with a fraction", ['21.5["echo"]'], "closed"],
  ["a negative id", ['2-1["echo"]'], "closed"],
  ["a second connect", ["0"], "closed"],
  ["a connect with a list", ["0/chat,[]"], "closed"],
  ["a connect with a text", ['0/chat,"x"'], "closed"],
  ["a connect with null", ["0/chat,null"], "closed"],
  ["a connect with half an object", ['0/chat,{"a":'], "closed"],
  ["a connect to nowhere", ["0/nowhere,"], "alive"],
  ["a disconnect with a list", ["1[]"], "closed"],
  ["a disconnect with an object", ["1{}"], "closed"],
  ["an ack of nothing", ["30[]"], "alive"],
  ["an ack without id", ["3[]"], "alive", { ours: "closed", why: "no client says so" }],
  ["an ack of a large id", ["3999999999999999999999[1]"], "alive", { ours: "closed", why: "no counter gets there" }],
  ["an ack that is an object", ["30{}"], "closed"],
  ["an ack that is a text", ['30"x"'], "closed"],
  ["a refusal", ['4{"message":"no"}'], "closed", { ours: "alive", why: "nothing is done with it" }],
  ["a binary event without a count", ['5["echo"]'], "closed"],
  ["a binary event with an empty count", ['5-["echo"]'], "closed"],
  ["a binary event that counts in words", ['5one-["echo"]'], "closed"],
  ["a binary event of no bytes", ['50-["echo"]'], "closed", { ours: "alive", why: "it is whole" }],
  ["a binary event that is half", ['51-["echo"', BYTES], "closed"],
  ["a text in place of bytes", ['51-["echo",{"_placeholder":true,"num":0}]', '2["echo"]'], "closed"],
  ["a place for bytes that there are not", ['51-["echo",{"_placeholder":true,"num":1}]', BYTES], "closed",
    { ours: "alive", why: "the script gets the object" }],
  ["a place for bytes that is no number", ['51-["echo",{"_placeholder":true,"num":"0"}]', BYTES], "closed",
    { ours: "alive", why: "the script gets the object" }],
  ["bytes without a place for them", ['51-["echo"]', BYTES], "alive"],
  ["a place for bytes in an event of none", ['2["echo",{"_placeholder":true,"num":0}]'], "alive"],
  ["too many attachments", [`511-["echo"]`, ...Array(11).fill(BYTES)], "closed"],
  ["bytes of nothing", [BYTES], "closed"],
  ["a binary ack of nothing", ['61-0[{"_placeholder":true,"num":0}]', BYTES], "alive"],
  ["an event for a namespace that it is not in", ['2/chat,["echo"]'], "closed", LATE],
  ["an ack for a namespace that it is not in", ["3/chat,0[]"], "closed", LATE],
  ["a disconnect from a namespace that it is not in", ["1/chat,"], "closed", LATE],
  ["an event for a namespace that there is not", ['2/nowhere,["echo"]'], "closed", LATE],
  ["a namespace that does not end", ['2/chat["echo"]'], "closed"],
];

// What a client says before it is in a namespace; clients of Engine.IO 3 are in one from the beginning.
const EARLY = [
  ["an event", ['2["echo"]']],
  ["an event for another namespace", ['2/chat,["echo"]']],
  ["an ack", ["30[]"]],
  ["a disconnect", ["1"]],
  ["bytes", [BYTES]],
  ["a binary event", ['51-["echo",{"_placeholder":true,"num":0}]', BYTES]],
];

const expected = (outcome, differs) => (differs && !isReference ? differs.ours : outcome);

for (const age of ["4", "3"]) {
  for (const way of ["websocket", "polling"]) {
    test(`packets of Engine.IO ${age} over ${way}`, async (t) => {
      const server = await startServer(t);
      const bystander = await enter(t, { version: age === "4" ? "4" : "2", way: "websocket", url: server.url });
      for (const [name, packets, outcome, differs] of PACKETS) {
        await t.test(`${name}: ${expected(outcome, differs)}${differs ? `, since ${differs.why}` : ""}`, async (t) => {
          const raw = await openRaw(t, age, server.url, way);
          await raw.enter();
          raw.send(...packets);
          assert.equal(await raw.outcome(), expected(outcome, differs));
        });
      }
      assert.deepEqual(await bystander.call("echo", "still here"), ["still here"]);
    });
  }
}

test("what is said before a namespace is entered closes the connection", async (t) => {
  const server = await startServer(t);
  for (const [name, packets] of EARLY) {
    await t.test(name, async (t) => {
      const raw = await openRaw(t, "4", server.url);
      raw.send(...packets);
      assert.equal(await within(raw.closed, "the close"), "closed");
    });
  }
});

test("who is in no namespace for too long is sent away", async (t) => {
  const server = await startServer(t, { connectTimeout: 300 });
  for (const way of ["websocket", "polling"]) {
    const [idle, lost, busy] = await Promise.all(Array.from({ length: 3 }, () => openRaw(t, "4", server.url, way)));
    await busy.enter();
    lost.send("0/nowhere,");
    assert.equal(await lost.packets.take(), '4/nowhere,{"message":"Invalid namespace"}');
    assert.equal(await within(idle.closed, "the close"), "closed");
    assert.equal(await within(lost.closed, "the close"), "closed");
    assert.equal(await busy.outcome(), "alive");
  }
});
