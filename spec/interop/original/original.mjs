// SPDX-License-Identifier: MIT
// Starts the original of the token dialect, node-token-sockjs with the site twin.cjs, and a Redis for
// it, on a socket in a temporary folder and a free port.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { end, start } from "../children.mjs";

const twin = join(dirname(fileURLToPath(import.meta.url)), "twin.cjs");

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
