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
import { startOriginal } from "./original/original.mjs";
import { Stage } from "./original/stage.mjs";

const FILES = {
  "conf/gateway.lua": `return { limits = { drain_timeout = "1s", drain_spread = 0, publish_rate = 1000,
    publish_burst = 1000, subscribe_rate = 1000, subscribe_burst = 1000, max_query_params = 64 } }`,
  "conf/sites/twin.lua": `return { path = "/", token = { jsonp = true },
    endpoints = { { path = "/sockets", transport = "sockjs", dialect = "token" } } }`,
  "scripts/twin/init.lua": readFileSync(new URL("original/twin.lua", import.meta.url), "utf8"),
};

// What the clients saw, as JSON has it.
async function played(server, kind, play) {
  const stage = new Stage(server.url, kind);
  try {
    return JSON.parse(JSON.stringify(await play(stage)));
  } finally {
    stage.close();
  }
}

test("the token dialect and its original", { timeout: 120000 }, async (t) => {
  const theirs = await startOriginal(t);
  const gateway = await startGateway(t, { files: FILES });
  const scenes = [...loginScenes, ...callScenes, ...channelScenes];
  for (const { name, play, kinds, differs, original, ours } of scenes) {
    for (const kind of kinds) {
      await t.test(`${name}, over ${kind}`, async () => {
        const expected = await played(theirs, kind, play);
        const found = await played(gateway, kind, play);
        if (differs) assert.deepEqual(expected, original);
        assert.deepEqual(found, differs ? ours : expected);
      });
    }
  }
});
