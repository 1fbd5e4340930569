// SPDX-License-Identifier: MIT
// The real socket.io-client from npm, of four ages, in one form: what happens to a socket is put into
// mailboxes, a call is a promise, and what a client gives of itself goes where its age has a place for it.

import { createRequire } from "node:module";
import { Mailbox, within } from "../wait.mjs";

const require = createRequire(import.meta.url);
const LIBRARIES = {
  "4": require("socket.io-client").io,
  "3": require("socket.io-client-3").io,
  "2": require("socket.io-client-2"),
  "1": require("socket.io-client-1"),
};
export const VERSIONS = ["4", "3", "2", "1"];
export const WAYS = {
  polling: { transports: ["polling"], ends: "polling" },
  websocket: { transports: ["websocket"], ends: "websocket" },
  upgrade: { transports: ["polling", "websocket"], ends: "websocket" },
};

// Whether it speaks Engine.IO 3, where "/" is entered without asking and there is no auth.
export const isOld = (version) => version < "3";

// Bytes of any class as a Buffer, wherever they are in a value.
export function plain(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

// Why a client was kept out: a text, { message, data } or an Error with data, by its age.
function refusal(reason) {
  if (typeof reason === "string") return { message: reason };
  return reason instanceof Error || "message" in reason
    ? { message: reason.message, ...(reason.data !== undefined && { data: plain(reason.data) }) }
    : { data: plain(reason) };
}

class Member {
  constructor(socket, version) {
    this.socket = socket;
    this.version = version;
    this.events = new Mailbox("an event");
    this.connects = new Mailbox("a connect");
    this.refusals = new Mailbox("a refusal");
    this.disconnects = new Mailbox("a disconnect");
    socket.on("connect", () => this.connects.put(socket.id));
    socket.on(isOld(version) ? "error" : "connect_error", (reason) => this.refusals.put(refusal(reason)));
    socket.on("disconnect", (reason) => this.disconnects.put(reason));
  }

  // Events of these names are put into events, as [name, ...args].
  hear(...names) {
    for (const name of names) this.socket.on(name, (...args) => this.events.put([name, ...args.map(plain)]));
    return this;
  }

  // Resolves when it is let in.
  async entered() {
    const no = this.refusals.take(60000).then((why) => {
      throw new Error(`refused: ${JSON.stringify(why)}`);
    });
    no.catch(() => {});
    await within(Promise.race([this.connects.take(60000), no]), "a connect");
    this.refusals.takers.length = 0;
    return this;
  }

  // The ack's arguments.
  call(name, ...args) {
    return within(new Promise((done) => {
      this.socket.emit(name, ...args, (...answer) => done(answer.map(plain)));
    }), `the ack of ${name}`);
  }

  // Another namespace on the same connection.
  in(namespace, given) {
    const options = isOld(this.version) ? { query: String(new URLSearchParams(given)) } : { auth: given };
    return new Member(this.socket.io.socket(namespace, given && options), this.version);
  }

  get engine() {
    return this.socket.io.engine;
  }

  // Resolves when the connection is a WebSocket.
  moved() {
    if (this.engine.transport.name === "websocket") return Promise.resolve();
    return within(new Promise((done) => this.engine.on("upgrade", done)), "the upgrade");
  }

  close() {
    const manager = this.socket.io;
    (manager._close ?? manager.close).call(manager);
  }
}

// A client that begins to connect. options: version, way, url, namespace ("/"), given (what it says of
// itself), reconnects (false), more (options of the library).
export function begin(t, { version, way, url, namespace = "/", given, reconnects = false, more }) {
  const member = new Member(LIBRARIES[version](url + namespace, {
    transports: WAYS[way].transports,
    forceNew: true,
    reconnection: reconnects,
    reconnectionDelay: 30,
    reconnectionDelayMax: 60,
    ...(given && (isOld(version) ? { query: given } : { auth: given })),
    ...more,
  }), version);
  t.after(() => member.close());
  return member;
}

// One that is in, by the carrier that the way ends with.
export async function enter(t, options) {
  const member = await begin(t, options).entered();
  if (options.way === "upgrade") await member.moved();
  return member;
}
