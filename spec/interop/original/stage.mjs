// SPDX-License-Identifier: MIT
// A stage is one server with clients on it, for scenes that are played on two servers and must look the
// same from the seats: what a client saw is noted with ids and tokens made alike.

import { LINKS } from "./links.mjs";

const UUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b/g;

const alike = (value) => JSON.parse(JSON.stringify(value).replace(UUID, "<uuid>"));

// 2.1.11 answers a subscribe without the request, 3.1.0 with it.
function withoutRequest(message) {
  if (!message.internal || message.command !== "subscribe") return message;
  return { ...message, data: { channel: message.data.channel } };
}

class Actor {
  noted = [];
  count = 0;

  constructor(link, stage) {
    this.link = link;
    this.stage = stage;
  }

  say(message) {
    this.link.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  note(message) {
    this.noted.push(alike(this.exact ? message : withoutRequest(message)));
  }

  // Notes what arrives up to the message that is the end, which is returned.
  async until(isEnd) {
    for (;;) {
      const message = await this.link.arrived.take();
      if (isEnd(message)) return message;
      this.note(message);
    }
  }

  // The answer to a call, not noted.
  async ask(rpc, req) {
    const uuid = `ask${++this.count}`;
    this.say({ rpc, req, uuid });
    const answer = await this.until((message) => message.uuid === uuid);
    if (answer.error) throw new Error(`${rpc}: ${JSON.stringify(answer.error)}`);
    return answer.resp;
  }

  // All that was said before this has been answered, as far as it is answered at once.
  through() {
    return this.ask("echo");
  }

  async next(count = 1) {
    for (let i = 0; i < count; i++) this.note(await this.link.arrived.take());
  }

  async subscribe(...channels) {
    for (const channel of channels) {
      this.say({ rpc: "_subscribe", req: { channel }, uuid: "sub" });
      await this.until(({ internal, command, data }) => internal && command === "subscribe" && data.channel === channel);
      await this.stage.settled(channel, 1);
    }
    await this.through();
    this.noted.length = 0;
  }

  // Notes what arrives up to the end of the session, and this.
  async closed() {
    this.noted.push(await this.until((message) => message.closed));
  }
}

export class Stage {
  actors = [];
  marks = 0;

  constructor(url, kind) {
    this.url = url;
    this.kind = kind;
  }

  // What a client reads of an answer: of a script also that its type is meant.
  async get(path, options) {
    const response = await fetch(this.url + path, options);
    const [type] = (response.headers.get("content-type") ?? "").split(";", 1);
    const text = (await response.text()).replace(UUID, "<uuid>");
    const body = type === "application/json" && text ? JSON.parse(text) : text;
    const answer = { status: response.status, type, body };
    for (const name of type === "text/javascript" ? ["content-type", "x-content-type-options"] : ["allow", "x-twin"]) {
      if (response.headers.has(name)) answer[name] = response.headers.get(name);
    }
    return answer;
  }

  async token(query) {
    const response = await fetch(`${this.url}/socket/token?${query}`);
    const { token, error } = await response.json();
    if (error) throw new Error(error);
    return token;
  }

  // Somebody who is not logged in.
  async stranger(kind = this.kind) {
    const link = await new LINKS[kind](this.url).open();
    const actor = new Actor(link, this);
    this.actors.push(actor);
    return actor;
  }

  async enter(query = "name=ann", kind = this.kind) {
    const actor = await this.stranger(kind);
    actor.token = await this.token(query);
    actor.say({ rpc: "auth", token: actor.token, uuid: "auth" });
    await actor.until((message) => message.uuid === "auth");
    return actor;
  }

  // Somebody behind the scene.
  async prompter() {
    return (this.behind ??= await this.enter("name=prompter", "websocket"));
  }

  // Waits until Redis, if there is one, has so many subscribers of the channel.
  async settled(channel, count) {
    const prompter = await this.prompter();
    await prompter.ask("settled", { channel, count });
  }

  // Everything that was published before this has arrived.
  async flush(...actors) {
    for (const actor of actors) await actor.through();
    const prompter = await this.prompter();
    if (!this.marks) await prompter.subscribe("flush");
    const mark = `mark ${++this.marks}`;
    prompter.say({ rpc: "_publish", req: { channel: "flush", data: mark } });
    await prompter.until(({ channel, message }) => channel === "flush" && message === mark);
    for (const actor of actors) await actor.through();
  }

  close() {
    for (const { link } of this.actors) link.end();
  }
}
