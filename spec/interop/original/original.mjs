// SPDX-License-Identifier: MIT
// Starts the original of the token dialect, node-token-sockjs with the site twin.cjs, and a Redis for
// it, on a socket in a temporary folder and a free port. Both are ended by their pids, also when this
// process dies.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { within } from "../wait.mjs";

const twin = join(dirname(fileURLToPath(import.meta.url)), "twin.cjs");
const running = new Set();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

// The child, once its output has a line like ready (whose match is the result), or its failure to.
async function start(command, args, ready) {
  const words = ["--pdeathsig", "KILL", command, ...args];
  const child = spawn("setpriv", words, { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let output = "";
  const found = new Promise((done, fail) => {
    const look = (bytes) => {
      output += bytes;
      const match = ready.exec(output);
      if (match) done(match);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.on("error", fail);
    child.on("exit", (code, signal) => fail(new Error(`${command} ended (${signal ?? code}):\n${output}`)));
  });
  return { child, match: await within(found, `${command} to start`) };
}

async function end(child) {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

// A Redis that the test t ends: the path of its socket.
export async function startRedis(t) {
  const dir = mkdtempSync(join(tmpdir(), "moonlatch-interop."));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const socket = join(dir, "redis");
  const redis = await start("redis-server",
    ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir], /eady to accept connections/);
  t.after(() => end(redis.child));
  return socket;
}

// The test t ends it. url: of the server; redis: the path of its Redis's socket.
export async function startOriginal(t) {
  const socket = await startRedis(t);
  const node = await start(process.execPath, [twin, socket], /listening on (\d+)\n/);
  t.after(() => end(node.child));
  return { url: `http://127.0.0.1:${node.match[1]}`, redis: socket };
}
