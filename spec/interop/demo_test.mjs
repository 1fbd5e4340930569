// SPDX-License-Identifier: MIT
// The demo page in chromium, as `make run` serves it: conf/ and scripts/ as they ship.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openPage, startBrowser } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";
import { startRedis } from "./original/original.mjs";

const ARGS = ["--conf", "conf", "--scripts", "scripts", "--set", "limits.drain_timeout=1s",
  "--set", "limits.drain_spread=0"];
const LIMIT = { timeout: 60000 };

async function enter(t, browser, gateway, name, key = "") {
  const page = await openPage(t, browser, gateway.url);
  await page.fill("#name", name);
  await page.fill("#key", key);
  await page.click("#login button");
  await page.waitForSelector("#chat:visible");
  await page.waitForFunction(() => document.querySelector("#room").textContent === "lobby");
  return page;
}

async function say(page, text, whisper = false) {
  await page.setChecked("#whisper", whisper);
  await page.fill("#text", text);
  await page.click("#say button");
}

const line = (page, text) => page.waitForSelector(`#messages li:has-text(${JSON.stringify(text)})`);
const lines = (page) => page.locator("#messages li").allTextContents();

test("the demo page", async (t) => {
  const browser = await startBrowser(t);
  const gateway = await startGateway(t, { args: ARGS });

  await t.test("lets two people talk in a room", LIMIT, async (t) => {
    const ann = await enter(t, browser, gateway, "ann");
    const bob = await enter(t, browser, gateway, "bob");
    assert.equal(await ann.textContent("#status"), "ann (guest)");
    await say(ann, "hello bob");
    await line(bob, "hello bob");
    await line(ann, "hello bob");
    await say(bob, "<b>bold</b> & ü😀");
    await line(ann, "<b>bold</b> & ü😀");
    assert.match((await lines(ann))[1], /^bob <b>bold<\/b> & ü😀/);
    await ann.click("#refresh");
    await ann.waitForSelector("#rooms button:has-text('lobby (2)')");
    assert.deepEqual([...ann.errors, ...bob.errors], []);
  });

  await t.test("refuses a guest the staff room, and lets staff in", LIMIT, async (t) => {
    const guest = await enter(t, browser, gateway, "guest");
    await guest.click("#rooms button[data-room=staff]");
    const refusal = await guest.waitForSelector("#messages li.refused");
    assert.equal(await refusal.textContent(), "staff: not your room");
    assert.equal(await guest.textContent("#room"), "lobby");
    const staff = await enter(t, browser, gateway, "boss", "moon");
    assert.equal(await staff.textContent("#status"), "boss (staff)");
    await staff.click("#rooms button[data-room=staff]");
    await staff.waitForFunction(() => document.querySelector("#room").textContent === "staff");
    assert.deepEqual([...guest.errors, ...staff.errors], []);
  });

  await t.test("keeps whispers from those they are not for", LIMIT, async (t) => {
    const ann = await enter(t, browser, gateway, "ann");
    const bob = await enter(t, browser, gateway, "bob");
    const staff = await enter(t, browser, gateway, "boss", "moon");
    await say(ann, "only for staff", true);
    await say(ann, "for everybody");
    for (const page of [ann, bob, staff]) await line(page, "for everybody");
    assert.equal((await lines(staff)).length, 2);
    assert.equal((await lines(ann)).length, 2);
    assert.equal((await lines(bob)).length, 1);
  });

  await t.test("is called by the server, and answers", LIMIT, async (t) => {
    const ann = await enter(t, browser, gateway, "ann");
    const bob = await enter(t, browser, gateway, "bob");
    await ann.click("#ask");
    await ann.waitForSelector("#prompt[open]");
    assert.equal(await ann.textContent("#question"), "Your favourite colour?");
    await ann.fill("#answer", "moon grey");
    await ann.click("#prompt button");
    await line(ann, "told everybody in lobby");
    await line(bob, "likes moon grey");
    assert.deepEqual([...ann.errors, ...bob.errors], []);
  });

  await t.test("comes back after a restart", LIMIT, async (t) => {
    const ann = await enter(t, browser, gateway, "ann");
    await gateway.stop();
    await ann.waitForFunction(() => document.querySelector("#status").textContent.startsWith("connection lost"));
    await gateway.start();
    await ann.waitForFunction(() => document.querySelector("#status").textContent === "connected");
    await say(ann, "still here");
    await line(ann, "still here");
  });
});

test("the demo page on two nodes over one Redis", LIMIT, async (t) => {
  const browser = await startBrowser(t);
  const args = [...ARGS, "--set", `store=unix://${await startRedis(t)}`];
  const nodes = [await startGateway(t, { args }), await startGateway(t, { args })];
  for (const node of nodes) {
    await node.logged(/connection=moonlatch-commands/);
    await node.logged(/connection=moonlatch-pushes/);
  }
  const ann = await enter(t, browser, nodes[0], "ann");
  const bob = await enter(t, browser, nodes[1], "bob");
  await say(ann, "hello over there");
  await line(bob, "hello over there");
  await say(bob, "hello back");
  await line(ann, "hello back");
  await ann.click("#refresh");
  await ann.waitForSelector("#rooms button:has-text('lobby (2)')");
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});

test("a script that is saved while the demo page is open", LIMIT, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "moonlatch-demo."));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const folder of ["conf", "scripts"]) cpSync(folder, join(dir, folder), { recursive: true });
  const init = join(dir, "scripts/demo/init.lua"), original = readFileSync(init, "utf8");
  const browser = await startBrowser(t);
  const gateway = await startGateway(t, { args: ["--conf", join(dir, "conf"), "--scripts", join(dir, "scripts"), "--dev",
    ...ARGS.slice(4), "--set", "limits.script_reload=5s"] });
  const ann = await enter(t, browser, gateway, "ann");
  const enterStaff = async (refusal) => {
    await ann.click("#rooms button[data-room=staff]");
    await ann.waitForSelector(`#messages li.refused:has-text("staff: ${refusal}")`);
  };
  await enterStaff("not your room");

  writeFileSync(init, original.replaceAll("not your room", "closed today"));
  await gateway.logged(/msg="script reloaded" site=demo@2/);
  await enterStaff("closed today");

  writeFileSync(init, original.replace("return site", "return sit"));
  await gateway.logged(/msg="reload failed" .*scripts\/demo\/init.lua:\d+: variable 'sit' is not declared/);
  await say(ann, "still here");
  await line(ann, "still here");
  assert.equal(await ann.textContent("#status"), "ann (guest)"); // a page that came back says "connected"
  assert.deepEqual(ann.errors, []);
});
