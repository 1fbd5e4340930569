// SPDX-License-Identifier: MIT
// Token clients in Node: as node 3.x does it, over sockjs-client, and as node 2.2.0 does it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startGateway } from "./gateway.mjs";
import { tokenSite } from "./sites.mjs";
import { fetchToken, TokenClient } from "./token_client.mjs";
import { within } from "./wait.mjs";

const KINDS = {
  "3.x over websocket": { transports: "websocket" },
  "3.x over xhr-streaming": { transports: "xhr-streaming" },
  "3.x over xhr-polling": { transports: "xhr-polling" },
  "2.2.0 with bare strings": { link: "bare" },
};

// A client that is logged in; the test ends it.
async function login(t, gateway, kind, name, more = {}) {
  const client = new TokenClient(gateway.url, { query: { name }, ...kind, ...more });
  t.after(() => client.end());
  assert.equal(await client.readies.take(), null);
  return client;
}

function refusal(promise) {
  return promise.then(
    () => assert.fail("not refused"),
    (error) => error.answer ?? error.message,
  );
}

for (const [title, kind] of Object.entries(KINDS)) {
  test(`token client ${title}`, async (t) => {
    const gateway = await startGateway(t, { files: tokenSite });

    await t.test("calls, and is answered or refused", async (t) => {
      const ann = await login(t, gateway, kind, "ann");
      const data = { list: [], object: {}, number: 1700000000000000, float: 0.1, nothing: null, text: "ü😀" };
      assert.deepEqual(await ann.rpc("echo", data), data);
      assert.deepEqual(await ann.rpc("who.am.i", {}), { name: "ann" });
      assert.equal(await refusal(ann.rpc("fail")), "no luck");
      assert.equal(await refusal(ann.rpc("nobody.has.this")), "Function not found");
      const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => ann.rpc("echo", i)));
      assert.deepEqual(answers, Array.from({ length: 30 }, (_, i) => i));
    });

    await t.test("is called, and answers or refuses", async (t) => {
      const actions = {
        client: { answer: (args, reply) => (args.bad ? reply(new Error("no")) : reply(null, { twice: args.n * 2 })) },
      };
      const ann = await login(t, gateway, kind, "ann", { actions });
      assert.deepEqual(await ann.rpc("ask", { n: 21 }), { heard: { twice: 42 } });
      assert.equal(await refusal(ann.rpc("ask", { bad: true })), "no");
    });

    await t.test("subscribes, publishes, broadcasts, unsubscribes", async (t) => {
      const ann = await login(t, gateway, kind, "ann");
      const bob = await login(t, gateway, kind, "bob");
      ann.subscribe("room");
      bob.subscribe("room");
      assert.deepEqual(await ann.internals.take(), ["subscribe", "room"]);
      assert.deepEqual(await bob.internals.take(), ["subscribe", "room"]);
      bob.publish("room", { n: 1 });
      assert.deepEqual(await ann.messages.take(), ["room", { n: 1 }]);
      assert.deepEqual(await bob.messages.take(), ["room", { n: 1 }]);
      bob.publish("room", { not: "ann" });
      bob.broadcast("to all");
      assert.deepEqual(await ann.messages.take(), ["room", "to all"]);
      assert.deepEqual(await bob.messages.takeAll(2), [["room", { not: "ann" }], ["room", "to all"]]);
      ann.unsubscribe("room");
      assert.deepEqual(await ann.internals.take(), ["unsubscribe", "room"]);
      assert.equal(await refusal(ann.subscribe("secret")), "staff only");
    });

    await t.test("reconnects after the server closed it", async (t) => {
      const ann = await login(t, gateway, kind, "ann");
      ann.rpc("drop").catch(() => {});
      assert.deepEqual(await ann.closes.take(), { code: 1000, reason: "bye" });
      assert.equal(await ann.readies.take(), null);
      assert.equal(await ann.rpc("echo", "here"), "here");
    });

    await t.test("reconnects after a restart, subscribes again and sends what waited", async (t) => {
      const ann = await login(t, gateway, kind, "ann");
      ann.subscribe("room");
      await ann.internals.take();
      await gateway.stop();
      await ann.closes.take();
      const waiting = ann.rpc("echo", "waited");
      await gateway.start();
      while ((await ann.readies.take()) !== null);
      assert.equal(await within(waiting, "the queued call"), "waited");
      assert.deepEqual(await ann.internals.take(), ["subscribe", "room"]);
      ann.publish("room", "back");
      assert.deepEqual(await ann.messages.take(), ["room", "back"]);
    });
  });
}

test("a token is refused by authentication, and good only once", async (t) => {
  const gateway = await startGateway(t, { files: tokenSite });
  await assert.rejects(fetchToken(gateway.url, {}), { message: "Forbidden" });
  await assert.rejects(fetchToken(gateway.url, { name: "error" }), { message: "backend down" });
  const token = await fetchToken(gateway.url, { name: "ann" });
  assert.match(token, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  for (const expected of [null, "Token not found"]) {
    const client = new TokenClient(gateway.url, { query: { name: "ann" }, link: "bare", reconnect: false });
    t.after(() => client.end());
    client.login = async () => {
      client.readies.put(await client.say({ rpc: "auth", token }).then(() => null, (error) => error.answer));
    };
    assert.equal(await client.readies.take(), expected);
    if (expected) assert.deepEqual(await client.closes.take(), { code: 1000, reason: "Normal closure" });
  }
});
