// SPDX-License-Identifier: MIT
// Debian's chromium, headless, with a profile of its own in a temporary folder; talks to nobody but
// the gateway. The test ends it.

import { chromium } from "playwright-core";

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--no-first-run", "--proxy-server=direct://"];

export async function startBrowser(t) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ARGS });
  t.after(() => browser.close());
  return browser;
}

// A page that fails the test when its scripts throw; what they threw is in page.errors.
export async function openPage(t, browser, url) {
  const page = await browser.newPage();
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(error));
  page.setDefaultTimeout(8000);
  t.after(() => page.close());
  await page.goto(url);
  return page;
}
