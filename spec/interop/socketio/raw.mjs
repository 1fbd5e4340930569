// SPDX-License-Identifier: MIT
// A plain engine.io-client that says Socket.IO's packets as they are given, good or bad.

import { createRequire } from "node:module";
import { Socket } from "engine.io-client";
import { Mailbox, within } from "../wait.mjs";
import { plain, WAYS } from "./clients.mjs";

const require = createRequire(import.meta.url);
const ENGINES = { "4": Socket, "3": require("engine.io-client-3"), "1": require("engine.io-client-1") };

class Raw {
  constructor(age, url, way) {
    this.age = age;
    this.engine = new ENGINES[age](url, { path: "/socket.io/", transports: WAYS[way].transports });
    this.packets = new Mailbox("a packet");
    this.engine.on("message", (data = "") => this.packets.put(plain(data)));
    this.opened = new Promise((done, fail) => {
      this.engine.on("open", done);
      this.engine.on("error", fail);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((done) => this.engine.on("close", () => done("closed")));
  }

  send(...packets) {
    for (const packet of packets) this.engine.send(packet);
  }

  // Enters "/", where the old ones are without asking.
  async enter() {
    if (this.age === "4") this.send("0");
    const answer = await this.packets.take();
    if (answer[0] !== "0") throw new Error(`not let in: ${answer}`);
  }

  // "closed", or "alive" when the server still answers.
  async outcome() {
    this.send('2777["echo","alive"]');
    const alive = (async () => {
      while ((await this.packets.take(60000)) !== '3777["alive"]');
      return "alive";
    })();
    alive.catch(() => {});
    return within(Promise.race([alive, this.closed]), "an answer or a close");
  }

  close() {
    this.engine.close();
  }
}

// Opens a connection of an age of ENGINES.
export async function openRaw(t, age, url, way = "websocket") {
  const raw = new Raw(age, url, way);
  t.after(() => raw.close());
  await within(raw.opened, "the open packet");
  return raw;
}
