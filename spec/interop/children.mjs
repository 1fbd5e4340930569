// SPDX-License-Identifier: MIT
// Programs that a test starts beside the gateway, ended by their pids, also when this process dies.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { within } from "./wait.mjs";

const running = new Set();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

// The child, once its output has a line like ready (whose match is the result), or its failure to.
export async function start(command, args, ready) {
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

export async function end(child) {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
