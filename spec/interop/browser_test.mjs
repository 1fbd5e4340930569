// SPDX-License-Identifier: MIT
// The unmodified browser client of token-sockjs-client 2.2.0, with sockjs-client's browser build, in
// chromium, over every transport that a browser has.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openPage, startBrowser } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";
import { tokenSite } from "./sites.mjs";

const modules = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const module_text = (path) => readFileSync(join(modules, path), "utf8");

// Collects what happens to a TokenSocket, for the test to ask for.
const PAGE = `<!doctype html>
<meta charset="utf-8"><title>client</title>
<body>
<script src="/sockjs.min.js"></script>
<script src="/tokensockjs.min.js"></script>
<script>
  const seen = { ready: 0, reconnect: 0, messages: [], error: null };
  function connect(options) {
    window.client = new TokenSocket(options, {
      client: { answer: (args, reply) => reply(args.bad ? "no" : null, { twice: args.n * 2 }) },
    });
    client.ready((error) => error ? (seen.error = error.message || error) : seen.ready++);
    client.onreconnect((error) => error || seen.reconnect++);
    client.onmessage((channel, message) => seen.messages.push([channel, message]));
  }
  const rpc = (name, data) => new Promise((done) => client.rpc(name, data, (error, resp) => done({ error, resp })));
</script>`;

const FILES = {
  "index.html": PAGE,
  "sockjs.min.js": module_text("sockjs-client/dist/sockjs.min.js"),
  "tokensockjs.min.js": module_text("token-sockjs-client/clients/browser/tokensockjs.min.js"),
};

const files = { ...tokenSite };
for (const [name, text] of Object.entries(FILES)) files[`scripts/token/public/${name}`] = text;

// An iframe may have been loaded when the gateway went away, and its script not.
const OF_RESTART = /SockJS is not defined/;
const LIMIT = { timeout: 60000 };

const TRANSPORTS = ["websocket", "xhr-streaming", "eventsource", "iframe-eventsource", "htmlfile", "iframe-htmlfile",
  "xhr-polling", "iframe-xhr-polling", "jsonp-polling"];

async function connect(page, options) {
  await page.evaluate((given) => window.connect(given), options);
  await page.waitForFunction("seen.ready || seen.error");
  assert.equal(await page.evaluate("seen.error"), null);
}

async function message(page, ...expected) {
  const text = JSON.stringify(expected);
  await page.waitForFunction((wanted) => seen.messages.some((m) => JSON.stringify(m) === wanted), text);
}

// All that the client can do, but reconnecting.
async function use(page) {
  const data = { list: [], object: {}, number: 1700000000000000, text: "ü😀\u2028" };
  assert.deepEqual((await page.evaluate((d) => rpc("echo", d), data)).resp, data);
  assert.deepEqual((await page.evaluate(() => rpc("who.am.i"))).resp, { name: "ann" });
  assert.equal((await page.evaluate(() => rpc("fail"))).error, "no luck");
  assert.equal((await page.evaluate(() => rpc("nobody"))).error, "Function not found");
  assert.deepEqual((await page.evaluate(() => rpc("ask", { n: 21 }))).resp, { heard: { twice: 42 } });
  assert.equal((await page.evaluate(() => rpc("ask", { bad: true }))).error, "no");
  await page.evaluate(() => client.subscribe("room"));
  await page.evaluate(() => client.publish("room", { n: 1 }));
  await message(page, "room", { n: 1 });
  await page.evaluate(() => client.broadcast("to all"));
  await message(page, "room", "to all");
}

async function reconnects(page, gateway) {
  await gateway.stop();
  await page.waitForFunction("client._closed");
  await page.evaluate(() => void (window.waiting = rpc("echo", "waited")));
  await gateway.start();
  await page.waitForFunction("seen.reconnect", undefined, { timeout: 15000 });
  assert.equal((await page.evaluate("waiting")).resp, "waited");
  await page.evaluate(() => client.publish("room", "back"));
  await message(page, "room", "back");
}

test("token-sockjs-client 2.2.0 in a browser", async (t) => {
  const browser = await startBrowser(t);
  for (const transport of TRANSPORTS) {
    await t.test(`over ${transport}`, LIMIT, async (t) => {
      const gateway = await startGateway(t, { files });
      const page = await openPage(t, browser, gateway.url);
      await connect(page, { authentication: { name: "ann" }, sockjs: { transports: [transport], timeout: 5000 } });
      assert.equal(await page.evaluate("client._socket.transport"), transport);
      await use(page);
      await reconnects(page, gateway);
      assert.deepEqual(page.errors.filter((error) => !OF_RESTART.test(error.message)), []);
    });
  }

  await t.test("between two pages", LIMIT, async (t) => {
    const gateway = await startGateway(t, { files });
    const ann = await openPage(t, browser, gateway.url);
    const bob = await openPage(t, browser, gateway.url);
    await connect(ann, { authentication: { name: "ann" } });
    await connect(bob, { authentication: { name: "bob" }, sockjs: { transports: ["xhr-polling"], timeout: 5000 } });
    for (const page of [ann, bob]) {
      await page.evaluate(() => client.subscribe("room"));
      await page.evaluate(() => rpc("echo", "after the subscribe"));
    }
    await ann.evaluate(() => client.publish("room", { not: "ann" }));
    await ann.evaluate(() => client.publish("room", "hello"));
    await message(ann, "room", "hello");
    await message(bob, "room", "hello");
    assert.deepEqual(await ann.evaluate("seen.messages"), [["room", "hello"]]);
    assert.deepEqual(await bob.evaluate("seen.messages"), [["room", { not: "ann" }], ["room", "hello"]]);
  });

  await t.test("is told that it may not come in", LIMIT, async (t) => {
    const gateway = await startGateway(t, { files });
    const page = await openPage(t, browser, gateway.url);
    await page.evaluate(() => window.connect({ authentication: {}, reconnect: false }));
    await page.waitForFunction("seen.error");
    assert.equal(await page.evaluate("seen.error"), "Forbidden");
  });
});

// Pages of another origin ask for the token with JSONP and for all else with CORS.
test("token-sockjs-client 2.2.0 on a page of another origin", async (t) => {
  const browser = await startBrowser(t);
  const elsewhere = createServer((req, res) => {
    const name = req.url === "/" ? "index.html" : req.url.slice(1);
    if (!FILES[name]) return res.writeHead(404).end();
    res.setHeader("Content-Type", name.endsWith(".js") ? "text/javascript" : "text/html");
    res.end(FILES[name]);
  });
  await new Promise((done) => elsewhere.listen(0, "127.0.0.1", done));
  t.after(() => elsewhere.close());
  for (const transport of ["websocket", "xhr-streaming", "iframe-eventsource", "xhr-polling", "jsonp-polling"]) {
    await t.test(`over ${transport}`, LIMIT, async (t) => {
      const gateway = await startGateway(t, { files });
      const page = await openPage(t, browser, `http://localhost:${elsewhere.address().port}/`);
      const sockjs = { transports: [transport], timeout: 5000 };
      await connect(page, { host: gateway.url, authentication: { name: "ann" }, sockjs });
      assert.equal(await page.evaluate("client._socket.transport"), transport);
      await use(page);
    });
  }
});
