// SPDX-License-Identifier: MIT
// The token dialect against its original: scenes are played on node-token-sockjs 2.1.11 with a Redis and
// on the gateway, with the same site (twin.cjs, twin.lua), over every kind of link, and must look the
// same to the clients. Where they do not, and are not to, the scene says what each shows and why.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { startGateway } from "./gateway.mjs";
import { scenes as callScenes } from "./original/call_scenes.mjs";
import { scenes as channelScenes } from "./original/channel_scenes.mjs";
import { scenes as loginScenes } from "./original/login_scenes.mjs";
import { startOriginal, startRedis } from "./original/original.mjs";
import { VALUES } from "./original/play.mjs";
import { Stage } from "./original/stage.mjs";

const LIMITS = `limits = { drain_timeout = "1s", drain_spread = 0, publish_rate = 1000,
    publish_burst = 1000, subscribe_rate = 1000, subscribe_burst = 1000, max_query_params = 64 }`;

// The twin, by itself or as one of the fleet of that Redis.
const files = (redis) => ({
  "conf/gateway.lua": `return { ${redis ? `store = "unix://${redis}",` : ""} ${LIMITS} }`,
  "conf/sites/twin.lua": `return { path = "/", token = { jsonp = true },
    redis = { layout = "${redis ? "node-token-sockjs" : "moonlatch"}" },
    endpoints = { { path = "/sockets", transport = "sockjs", dialect = "token" } } }`,
  "scripts/twin/init.lua": readFileSync(new URL("original/twin.lua", import.meta.url), "utf8"),
});

// What the clients saw, as JSON has it.
async function played(server, kind, play) {
  const stage = new Stage(server.url, kind);
  try {
    return JSON.parse(JSON.stringify(await play(stage)));
  } finally {
    stage.close();
  }
}

// differsAt: whether a difference of this reason is to be seen. alike: makes what is the same to a client the same.
async function playScenes(t, theirs, gateway, differsAt, alike = (seen) => seen) {
  const scenes = [...loginScenes, ...callScenes, ...channelScenes];
  for (const { name, play, kinds, differs, original, ours } of scenes) {
    for (const kind of kinds) {
      await t.test(`${name}, over ${kind}`, async () => {
        const expected = alike(await played(theirs, kind, play));
        const found = alike(await played(gateway, kind, play));
        if (differs) assert.deepEqual(expected, original);
        assert.deepEqual(found, differs && differsAt(differs) ? ours : expected);
      });
    }
  }
}

test("the token dialect and its original", { timeout: 120000 }, async (t) => {
  const theirs = await startOriginal(t);
  const gateway = await startGateway(t, { files: files() });
  await playScenes(t, theirs, gateway, () => true);
});

test("the same with the original's layout in Redis", { timeout: 120000 }, async (t) => {
  const theirs = await startOriginal(t);
  const gateway = await startGateway(t, { files: files(await startRedis(t)) });
  await gateway.logged(/connection=moonlatch-pushes/);
  // a text goes through Redis bare, and is quoted anew: with this character escaped, so that it is JavaScript, too
  const alike = (seen) => JSON.parse(JSON.stringify(seen).replaceAll("\\\\\\\\u2028", "\\\\u2028"));
  await playScenes(t, theirs, gateway, (why) => !why.startsWith("QUIRK of the Redis payload"), alike);
});

// ---- a fleet of both ----

// Logs in on one server with a token of another.
async function enter(stage, issuer, query) {
  const actor = await stage.stranger();
  actor.say({ rpc: "auth", token: await issuer.token(query), uuid: "auth" });
  const answer = await actor.until((message) => message.uuid === "auth");
  assert.equal(answer.resp, "success");
  return actor;
}

const say = (channel, data) => ({ rpc: "_publish", req: { channel, data }, uuid: "p" });
const heard = async (actor) => (await actor.until(({ channel }) => channel === "room")).message;

async function acrossBoth(from, to) {
  const ann = await enter(from, to, "name=ann");
  const bob = await enter(to, from, "name=bob");
  const told = await bob.ask("who.am.i");
  assert.deepEqual(told, { name: "bob", query: { name: "bob" } });
  const session = await enter(to, from, "mode=session");
  assert.deepEqual(await session.ask("who.am.i"), { name: "of the session", list: [], deep: { n: null } });
  const where = await session.ask("where"); // known from the token, where the request was made
  assert.equal(where.ip.replace("::ffff:", ""), "127.0.0.1");
  for (const actor of [ann, bob]) {
    actor.say({ rpc: "_subscribe", req: { channel: "room" }, uuid: "s" });
    await actor.until((message) => message.internal && message.command === "subscribe");
  }
  for (;;) { // the original says so before it is so
    ann.say(say("room", "both are there"));
    const both = Promise.all([heard(ann), heard(bob)]);
    const late = new Promise((done) => setTimeout(done, 100, "late"));
    if ((await Promise.race([both, late])) !== "late") break;
  }
  for (const value of [...VALUES, '{"json":"string"}', "42", "plain"]) {
    ann.say(say("room", value));
    const at = [await heard(ann), await heard(bob)];
    assert.deepEqual(at[1], at[0], JSON.stringify(value));
  }
  ann.say({ rpc: "_broadcast", req: { data: { to: "all" } }, uuid: "b" });
  assert.deepEqual([await heard(ann), await heard(bob)], [{ to: "all" }, { to: "all" }]);
  await ann.ask("server.unsubscribeAll", { channel: "room" });
  for (const actor of [ann, bob]) await actor.until(({ internal, command }) => internal && command === "unsubscribe");
}

test("a fleet of the original and of gateways", { timeout: 60000 }, async (t) => {
  const theirs = await startOriginal(t);
  const gateway = await startGateway(t, { files: files(theirs.redis) });
  await gateway.logged(/connection=moonlatch-pushes/);
  for (const kind of ["websocket", "xhr-polling"]) {
    const stages = [new Stage(theirs.url, kind), new Stage(gateway.url, kind)];
    t.after(() => stages.forEach((stage) => stage.close()));
    await t.test(`from the original, over ${kind}`, () => acrossBoth(...stages));
    await t.test(`from the gateway, over ${kind}`, () => acrossBoth(...stages.reverse()));
  }
});
