// SPDX-License-Identifier: MIT
// The unmodified browser builds of socket.io-client in chromium, with the script that the gateway itself
// serves, over every transport that a browser has; on pages of the site and of another origin.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openPage, startBrowser } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";

const modules = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const script = readFileSync(new URL("socketio/site.lua", import.meta.url), "utf8");
const LIBRARIES = { 4: "socket.io-client", 3: "socket.io-client-3", 2: "socket.io-client-2", 1: "socket.io-client-1" };

// Collects what happens to a client, for the test to ask for. base: where the gateway is.
const page_text = (base) => `<!doctype html>
<meta charset="utf-8"><title>client</title>
<body>
<script src="${base}/socket.io/socket.io.js"></script>
<script>
  const seen = { connects: 0, said: [], reasons: [], errors: [] };
  function connect(options) {
    window.client = io("${base}/chat", { reconnectionDelay: 30, reconnectionDelayMax: 60, ...options });
    client.on("connect", () => seen.connects++);
    client.on("disconnect", (reason) => seen.reasons.push(reason));
    for (const name of ["connect_error", "error"]) client.on(name, (error) => seen.errors.push(error));
    client.on("said", (...args) => seen.said.push(args));
    client.on("question", (question, reply) => reply({ heard: question }));
  }
  const call = (name, ...args) => new Promise((done) => client.emit(name, ...args, (...answer) => done(answer)));
  const carrier = () => client.io.engine && client.io.engine.transport.name;
  const flip = async (list) => {
    const [size, back] = await call("flip", new Uint8Array(list).buffer);
    return [size, [...new Uint8Array(back)]];
  };
</script>`;

// origins: of other pages that may come in.
function files(version, origins = "") {
  return {
    "conf/gateway.lua": `return {
      endpoints = { { path = "/socket.io", transport = "engineio", dialect = "socketio",
        client = "${join(modules, LIBRARIES[version], "dist")}" } },
      limits = { drain_timeout = "1s", drain_spread = 0, eio_packets_per_body = 1000 },
    }`,
    "conf/sites/sio.lua": `return { path = "/", static = "public", options = { name = "sio" }, origins = { ${origins} },
      socketio = { namespaces = { "/", "/chat" }, auth = "request" } }`,
    "scripts/sio/init.lua": script,
    "scripts/sio/public/index.html": page_text(""),
  };
}

const WAYS = {
  polling: { options: { transports: ["polling"] }, ends: "polling" },
  websocket: { options: { transports: ["websocket"] }, ends: "websocket" },
  upgrade: { options: {}, ends: "websocket" },
};
const JSONP = { jsonp: { options: { transports: ["polling"], forceJSONP: true }, ends: "polling" } };

const LIMIT = { timeout: 60000 };

async function connect(page, way, version) {
  const who = version > 2 ? { auth: { name: "ann" } } : { query: { name: "ann" } };
  await page.evaluate((given) => window.connect(given), { ...way.options, ...who });
  await page.waitForFunction("seen.connects");
  await page.waitForFunction((name) => carrier() === name, way.ends);
}

// Acks both ways, a room, text of all kinds, bytes.
async function use(page) {
  const data = { list: [], object: {}, number: 1700000000000000, text: "ü😀\u2028\\n\n" };
  assert.deepEqual(await page.evaluate((d) => call("echo", d), data), [data]);
  assert.equal((await page.evaluate(() => call("me")))[0].name, "ann");
  assert.deepEqual(await page.evaluate(() => call("ask", "why")), [{ answer: { heard: "why" } }]);
  await page.evaluate(() => call("join", "room"));
  await page.evaluate((d) => call("say", "room", [], d), data);
  await page.waitForFunction("seen.said.length");
  assert.deepEqual(await page.evaluate("seen.said.shift()"), [data]);
  assert.deepEqual(await page.evaluate(() => flip([0, 1, 128, 255])), [4, [255, 128, 1, 0]]);
}

async function reconnects(page, gateway) {
  await gateway.stop();
  await page.waitForFunction("seen.reasons.length");
  await gateway.start();
  await page.waitForFunction("seen.connects === 2", undefined, { timeout: 15000 });
  assert.deepEqual(await page.evaluate(() => call("echo", "back")), ["back"]);
}

// A page of another origin, which the gateway knows of if it is listed.
async function openElsewhere(t, browser, version, { listed }) {
  const server = createServer((req, res) => {
    if (req.url !== "/") return res.writeHead(404).end();
    res.setHeader("Content-Type", "text/html");
    res.end(page_text(gateway.url));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  const origin = `http://localhost:${server.address().port}`;
  const gateway = await startGateway(t, { files: files(version, listed ? `"${origin}"` : `"http://localhost:1"`) });
  return openPage(t, browser, origin);
}

for (const version of Object.keys(LIBRARIES)) {
  test(`socket.io-client ${version} in a browser`, async (t) => {
    const browser = await startBrowser(t);
    const ways = version > 2 ? WAYS : { ...WAYS, ...JSONP };
    for (const [name, way] of Object.entries(ways)) {
      await t.test(`over ${name}`, LIMIT, async (t) => {
        const gateway = await startGateway(t, { files: files(version) });
        const page = await openPage(t, browser, gateway.url);
        await connect(page, way, version);
        await use(page);
        await reconnects(page, gateway);
        assert.deepEqual(page.errors, []);
      });
      await t.test(`over ${name} on a page of another origin`, LIMIT, async (t) => {
        const page = await openElsewhere(t, browser, version, { listed: true });
        await connect(page, way, version);
        await use(page);
        assert.deepEqual(page.errors, []);
      });
    }
    await t.test("on a page whose origin may not come in", LIMIT, async (t) => {
      const page = await openElsewhere(t, browser, version, { listed: false });
      await page.evaluate(() => window.connect({ transports: ["websocket"], reconnection: false }));
      await page.waitForFunction("seen.errors.length");
      assert.match(await page.evaluate("String(seen.errors[0].message || seen.errors[0])"), /^Forbidden$/);
    });
  });
}
