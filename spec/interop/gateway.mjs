// SPDX-License-Identifier: MIT
// Starts the real binary for a test, in a temporary folder and on a free port, and ends it by its pid.
// A bad exit status and a sanitizer's report in the log make stop() throw. The environment names the binary:
// MOONLATCH.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { within } from "./wait.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const binary = resolve(root, process.env.MOONLATCH ?? "build/moonlatch");
const running = new Set();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

const CONF = `return { limits = { drain_timeout = "1s", drain_spread = 0 } }`;
const REPORT = /ERROR: (Address|Leak)Sanitizer|runtime error: |Assertion `/;

class Gateway {
  constructor(dir, args) {
    this.dir = dir;
    this.args = args;
    this.log = "";
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  // Resolves when it listens; again on the same port after a stop.
  async start() {
    const args = ["serve", "--listen", `127.0.0.1:${this.port ?? 0}`, "--set", "admin.socket=off", ...this.args];
    const child = spawn(binary, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    running.add(child);
    this.exited = new Promise((done) => {
      child.on("error", (error) => done(String(error)));
      child.on("close", (code, signal) => done(signal ?? code));
    }).finally(() => running.delete(child));
    child.stderr.on("data", (bytes) => (this.log += bytes));
    let out = "";
    const listening = new Promise((done) => {
      child.stdout.on("data", (bytes) => {
        out += bytes;
        const found = /listening on \S+:(\d+)\n/.exec(out);
        if (found) done(Number(found[1]));
      });
    });
    const ended = this.exited.then((status) => ({ status }));
    const first = await Promise.race([listening.then((port) => ({ port })), ended]);
    if (!first.port) throw new Error(`the gateway did not start (${first.status}):\n${this.log}`);
    this.port = first.port;
    return this;
  }

  // Resolves when the log has a line like this.
  async logged(pattern) {
    const look = (done) => {
      if (!pattern.test(this.log)) return;
      this.child.stderr.off("data", this.looking);
      done();
    };
    await within(new Promise((done) => {
      this.looking = () => look(done);
      this.child.stderr.on("data", this.looking);
      look(done);
    }), `the log to say ${pattern}`);
  }

  // TERM, and KILL after ten seconds. Throws unless it ended with status 0 and a clean log.
  async stop() {
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 10000);
    const status = await this.exited;
    clearTimeout(timer);
    if (REPORT.test(this.log)) throw new Error(`the gateway's log says:\n${this.log}`);
    if (status !== 0) throw new Error(`the gateway ended with ${status}:\n${this.log.slice(-2000)}`);
  }

  async end() {
    try {
      await this.stop();
    } finally {
      rmSync(this.dir, { recursive: true, force: true });
    }
  }
}

// files: path below the folder -> text ("conf/sites/a.lua", "scripts/a/init.lua").
// Without folder the given conf and scripts directories are served. The test t ends it.
export async function startGateway(t, { files = {}, args } = {}) {
  const dir = mkdtempSync(join(tmpdir(), "moonlatch-interop."));
  for (const [path, text] of Object.entries({ "conf/gateway.lua": CONF, ...files })) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  const gateway = new Gateway(dir, args ?? ["--conf", join(dir, "conf"), "--scripts", join(dir, "scripts")]);
  t.after(() => gateway.end());
  return gateway.start();
}
