// SPDX-License-Identifier: MIT
// A redis-server of the test's own, on a free port and without a disk.

import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { end, start } from "./children.mjs";

const freePort = () => new Promise((done) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

// Its port. The test t ends it.
export async function startRedis(t) {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), "moonlatch-redis."));
  const words = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", dir].map(String);
  const { child } = await start("redis-server", words, /eady to accept connections/);
  t.after(async () => {
    await end(child);
    rmSync(dir, { recursive: true, force: true });
  });
  return port;
}
