// SPDX-License-Identifier: MIT
// The wires of a SockJS prefix spoken by hand, so that a test sees what is on them: each link sends
// texts and collects the messages that come, the close as { closed: [code, reason] }.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import WebSocket from "ws";
import { Mailbox, within } from "../wait.mjs";

class Link {
  arrived = new Mailbox("a message");
  frames = []; // as they were on the wire

  message(text) {
    this.arrived.put(JSON.parse(text));
  }

  closed(code, reason) {
    if (!this.over) this.arrived.put({ closed: [code, reason] });
    this.over = true;
  }

  frame(text) {
    this.frames.push(text);
    if (text === "o") this.opened();
    if (text[0] === "a") JSON.parse(text.slice(1)).forEach((message) => this.message(message));
    if (text[0] === "c") this.closed(...JSON.parse(text.slice(1)));
  }

  // Resolves after the open frame.
  open() {
    const opened = new Promise((done) => (this.opened = done));
    this.start();
    return within(opened, "the open frame").then(() => this);
  }
}

class WebSocketLink extends Link {
  constructor(url) {
    super();
    this.url = url.replace(/^http/, "ws");
  }

  start() {
    this.ws = new WebSocket(`${this.url}/sockets/000/${randomUUID()}/websocket`);
    this.ws.on("message", (data) => this.frame(data.toString()));
    this.ws.on("close", (code, reason) => this.closed(code, reason.toString()));
  }

  send(text) {
    this.ws.send(JSON.stringify([text]));
  }

  end() {
    this.ws.terminate();
  }
}

class RawLink extends WebSocketLink {
  start() {
    this.ws = new WebSocket(`${this.url}/sockets/websocket`);
    this.ws.on("open", () => this.opened());
    this.ws.on("message", (data) => this.message(data.toString()));
    this.ws.on("close", (code, reason) => this.closed(code, reason.toString()));
  }

  send(text) {
    this.ws.send(text);
  }
}

class XhrLink extends Link {
  receiver = "xhr";
  sent = Promise.resolve();

  constructor(url) {
    super();
    this.base = `${url}/sockets/000/${randomUUID()}`;
    this.agent = new http.Agent({ keepAlive: true });
  }

  async post(name, body = "") {
    const headers = { "Content-Length": Buffer.byteLength(body) };
    const request = http.request(`${this.base}/${name}`, { method: "POST", agent: this.agent, headers });
    request.end(body);
    const [response] = await once(request, "response");
    return response;
  }

  async start() {
    try {
      while (!this.over) await this.receive();
    } catch (error) {
      if (!this.ended) this.closed(1006, String(error));
    }
  }

  async receive() {
    const response = await this.post(this.receiver);
    if (response.statusCode !== 200) return this.closed(1006, `status ${response.statusCode}`);
    let line = "";
    for await (const bytes of response.setEncoding("utf8")) {
      const lines = (line + bytes).split("\n");
      line = lines.pop();
      lines.filter((frame) => !/^h+$/.test(frame)).forEach((frame) => this.frame(frame));
    }
  }

  // Sends follow each other, as sockjs-client's do.
  send(text) {
    this.sent = this.sent.then(async () => {
      const response = await this.post("xhr_send", JSON.stringify([text]));
      response.resume();
      if (response.statusCode !== 204) this.closed(1006, `send: status ${response.statusCode}`);
    });
    this.sent.catch((error) => this.ended || this.closed(1006, String(error)));
  }

  end() {
    this.ended = this.over = true;
    this.agent.destroy();
  }
}

class XhrStreamingLink extends XhrLink {
  receiver = "xhr_streaming";
}

export const LINKS = {
  websocket: WebSocketLink,
  "websocket-raw": RawLink,
  "xhr-polling": XhrLink,
  "xhr-streaming": XhrStreamingLink,
};
