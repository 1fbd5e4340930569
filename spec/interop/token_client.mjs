// SPDX-License-Identifier: MIT
// Token clients for Node, written after wire/token-sockjs.md sections 2, 5, 6 and 10: the 3.x one speaks
// through sockjs-client, the 2.2.0 one opens the WebSocket itself and sends bare JSON strings.

import { randomInt, randomUUID } from "node:crypto";
import SockJS from "sockjs-client";
import WebSocket from "ws";
import { Mailbox } from "./wait.mjs";

export async function fetchToken(url, query) {
  const response = await fetch(`${url}/socket/token?${new URLSearchParams(query)}`);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body.token;
}

// Both give { send(text), close() } and call open, message(text), closed.
function sockjsLink(url, options, { open, message, closed }) {
  const sock = new SockJS(`${url}/sockets`, null, { transports: options.transports, timeout: 5000 });
  sock.onopen = open;
  sock.onmessage = (e) => message(e.data);
  sock.onclose = (e) => closed(e.code, e.reason);
  return { send: (text) => sock.send(text), close: () => sock.close(), transport: () => sock.transport };
}

function bareLink(url, _options, { open, message, closed }) {
  const base = url.replace(/^http/, "ws");
  const ws = new WebSocket(`${base}/sockets/${randomInt(1000)}/${randomUUID()}/websocket`);
  let reason = [1006, ""];
  ws.on("message", (data) => {
    const frame = data.toString();
    if (frame === "o") open();
    if (frame[0] === "a") JSON.parse(frame.slice(1)).forEach(message);
    if (frame[0] === "c") reason = JSON.parse(frame.slice(1));
  });
  ws.on("close", () => closed(...reason));
  ws.on("error", () => {});
  return { send: (text) => ws.send(JSON.stringify(text)), close: () => ws.close(), transport: () => "bare" };
}

const links = { sockjs: sockjsLink, bare: bareLink };

export class TokenClient {
  constructor(url, { query = {}, link = "sockjs", transports, actions = {}, reconnect = true } = {}) {
    Object.assign(this, { url, query, actions, reconnect });
    this.open = (events) => links[link](url, { transports }, events);
    this.channels = new Set();
    this.messages = new Mailbox("a channel message");
    this.internals = new Mailbox("an internal frame");
    this.closes = new Mailbox("the end of the session");
    this.readies = new Mailbox("a login");
    this.queue = [];
    this.transit = new Map();
    this.delay = 10;
    this.connect();
  }

  async connect() {
    let token;
    try {
      token = await fetchToken(this.url, this.query);
    } catch (error) {
      this.readies.put(error);
      if (this.wasReady) this.retry();
      return;
    }
    this.link = this.open({
      open: () => this.login(token),
      message: (text) => this.received(JSON.parse(text)),
      closed: (code, reason) => this.closed(code, reason),
    });
  }

  async login(token) {
    try {
      await this.say({ rpc: "auth", token });
    } catch (error) {
      return this.readies.put(error);
    }
    this.ready = this.wasReady = true;
    this.delay = 10;
    for (const channel of this.channels) this.say({ rpc: "_subscribe", req: { channel } }).catch(() => {});
    for (const send of this.queue.splice(0)) send();
    this.readies.put(null);
  }

  closed(code, reason) {
    this.ready = false;
    this.closes.put({ code, reason });
    if (this.reconnect) this.retry();
  }

  retry() {
    this.timer = setTimeout(() => this.connect(), this.delay);
    this.delay = Math.min(this.delay * 5, 5000);
  }

  // Sends now and waits for the answer under a new uuid.
  say(message) {
    const uuid = randomUUID();
    const answer = new Promise((done, fail) => this.transit.set(uuid, { done, fail }));
    this.link.send(JSON.stringify({ ...message, uuid }));
    return answer;
  }

  // Sends once it is logged in.
  later(message) {
    if (this.ready) return this.say(message);
    return new Promise((done, fail) => this.queue.push(() => this.say(message).then(done, fail)));
  }

  received(message) {
    if (message.internal) return this.internal(message.command, message.data);
    if (message.rpc && message.uuid) {
      const waiting = this.transit.get(message.uuid);
      if (!waiting) throw new Error(`a second answer: ${JSON.stringify(message)}`);
      this.transit.delete(message.uuid);
      if (message.error) waiting.fail(Object.assign(new Error("refused"), { answer: message.error }));
      else waiting.done(message.resp);
    }
    if (message.channel) this.messages.put([message.channel, message.message]);
  }

  internal(command, data) {
    if (command === "subscribe") this.channels.add(data.channel);
    if (command === "unsubscribe") this.channels.delete(data.channel);
    if (command !== "rpc") return this.internals.put([command, data.channel]);
    const action = data.command.split(".").reduce((at, name) => at?.[name], this.actions);
    if (typeof action !== "function") return;
    action(data.args, (error, resp) => {
      const answer = error ? { error: error.message ?? error } : { data: resp };
      this.link.send(JSON.stringify({ rpc: "_rpc", fid: data.fid, resp: answer }));
    });
  }

  rpc(name, req) {
    return this.later({ rpc: name, req });
  }

  // These have no answer but a refusal, which fails the promise.
  subscribe(channel) {
    this.channels.add(channel);
    return this.later({ rpc: "_subscribe", req: { channel } });
  }

  unsubscribe(channel) {
    this.channels.delete(channel);
    return this.later({ rpc: "_unsubscribe", req: { channel } });
  }

  publish(channel, data) {
    return this.later({ rpc: "_publish", req: { channel, data } });
  }

  broadcast(data) {
    return this.later({ rpc: "_broadcast", req: { data } });
  }

  end() {
    this.reconnect = false;
    clearTimeout(this.timer);
    this.link?.close();
  }
}
