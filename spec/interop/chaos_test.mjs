// SPDX-License-Identifier: MIT
// Two gateways over one Redis, sockets that publish and listen, and random faults: connections that are
// reset, stalled, refused, slow or half dead, a Redis that hangs, cuts its clients, or is killed and comes
// back empty (RELIABILITY.md: R-TOK, R-ORDER, R-GAP, R-REDISDOWN). In the end no socket was closed, and whoever
// missed a message was told. CHAOS_SECONDS says how long (6); CHAOS_SEED repeats a run's choices.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import WebSocket from "ws";
import { end, start } from "./children.mjs";
import { startGateway } from "./gateway.mjs";
import { within } from "./wait.mjs";

const SECONDS = Number(process.env.CHAOS_SECONDS ?? 6);
const SEED = Number(process.env.CHAOS_SEED ?? Date.now() % 1000000);
const CHANNELS = ["plain:1", "plain:2", "kept:1", "kept:2"];
const LISTENERS = 24;
const PUBLISHERS = 4;
const PACE_MS = 20; // between two messages of a publisher

const LIMITS = `drain_timeout = "1s", drain_spread = 0, store_timeout = "400ms", redis_connect_timeout = "300ms",
  redis_heartbeat = "300ms", redis_backoff = "200ms", publish_rate = 1000, publish_burst = 1000`;

const files = (port) => ({
  "conf/gateway.lua": `return { store = "redis://127.0.0.1:${port}", limits = { ${LIMITS} } }`,
  "conf/sites/chaos.lua": `return { path = "/", channels = { ["kept:*"] = { history = { size = 1000 } } } }`,
  "scripts/chaos/init.lua": `
    local site = { controllers = { echo = function(_, data) return data end } }
    function site.authentication() return { name = "x" } end
    function site.setup(server)
      for _, event in ipairs { "subscribe", "publish" } do server:on(event, function() return true end) end
    end
    return site`,
});

// ---- chance, the same for the same seed ----

let state = SEED >>> 0 || 1;

function below(n) {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % n;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- what can be broken ----

class Redis {
  constructor(t) {
    this.dir = mkdtempSync(join(tmpdir(), "moonlatch-interop."));
    t.after(async () => {
      await this.kill();
      rmSync(this.dir, { recursive: true, force: true });
    });
  }

  async open() {
    this.port ??= await new Promise((done) => {
      const server = net.createServer().listen(0, "127.0.0.1", () => {
        const { port } = server.address();
        server.close(() => done(port));
      });
    });
    const words = ["--port", this.port, "--bind", "127.0.0.1", "--save", "", "--dir", this.dir].map(String);
    ({ child: this.child } = await start("redis-server", words, /eady to accept connections/));
  }

  async kill() {
    this.child.kill("SIGCONT");
    await end(this.child);
  }

  signal(name) {
    this.child.kill(name);
  }

  // A command whose answer nobody looks at.
  say(...words) {
    const socket = net.connect(this.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.end(`${words.join(" ")}\r\n`);
    socket.resume();
  }
}

class Proxy {
  async open(t, target) {
    const { child, match } = await start("lua5.4", ["spec/support/fault_proxy_main.lua", String(target)], /(\d+) (\d+)\n/);
    t.after(() => end(child));
    this.port = Number(match[1]);
    this.control = net.connect(Number(match[2]), "127.0.0.1");
    this.control.on("error", () => {});
    this.control.resume();
    t.after(() => this.control.destroy());
  }

  set(mode) {
    this.control.write(`${mode}\n`);
  }
}

async function outage(redis) {
  await redis.kill();
  await pause(100 + below(700));
  await redis.open();
}

async function hang(redis) {
  redis.signal("SIGSTOP");
  await pause(100 + below(900));
  redis.signal("SIGCONT");
}

async function during(proxy, ...modes) {
  for (const mode of modes) proxy.set(mode);
  await pause(100 + below(900));
  proxy.set("pass");
}

const FAULTS = {
  reset: (redis, proxy) => proxy.set("rst"),
  end: (redis, proxy) => proxy.set("fin"),
  stall: (redis, proxy) => during(proxy, "stall"),
  deaf: (redis, proxy) => during(proxy, "stall_down"),
  dumb: (redis, proxy) => during(proxy, "stall_up"),
  refuse: (redis, proxy) => during(proxy, "refuse", "rst"),
  blackhole: (redis, proxy) => during(proxy, "blackhole", "rst"),
  slow: (redis, proxy) => during(proxy, "slow 20000"),
  halfDead: (redis, proxy) => proxy.set("half_dead"),
  cutPushes: (redis) => redis.say("CLIENT", "KILL", "TYPE", "pubsub"),
  cutCommands: (redis) => redis.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
  pause: (redis) => redis.say("CLIENT", "PAUSE", 100 + below(500)),
  forgetScripts: (redis) => redis.say("SCRIPT", "FLUSH"),
  hang,
  outage,
};

// ---- clients ----

let turn = 0; // counts what is published and what is told, in their order

class Client {
  events = []; // { channel, by, at } or { channel, gap: its turn }, as they came
  refused = new Set(); // uuids
  open = true;

  constructor(url) {
    this.url = url;
  }

  async enter(token) {
    this.ws = new WebSocket(`${this.url.replace(/^http/, "ws")}/ws`);
    this.ws.on("error", () => {});
    this.ws.on("close", (code) => {
      this.open = false;
      this.code = code;
    });
    const answered = new Promise((done) => (this.answered = done));
    this.ws.on("message", (data) => this.take(JSON.parse(data)));
    this.ws.on("open", () => this.say({ rpc: "auth", token, uuid: "auth" }));
    this.ws.on("close", () => this.answered({ error: "closed" }));
    return within(answered, "the answer to a login");
  }

  say(message) {
    if (this.open) this.ws.send(JSON.stringify(message));
  }

  take(message) {
    if (message.uuid === "auth") this.answered(message);
    else if (message.channel) this.events.push({ channel: message.channel, ...message.message });
    else if (message.internal && message.command === "gap") this.events.push({ channel: message.data.channel, gap: ++turn });
    else if (message.internal && message.command === "subscribe") this.joined?.(message.data.channel);
    else if (message.error) this.refused.add(message.uuid);
  }

  join(channel, ms) {
    const joined = new Promise((done) => (this.joined = (name) => name === channel && done(true)));
    this.say({ rpc: "_subscribe", req: { channel }, uuid: `join ${channel}` });
    return within(joined, `joining ${channel}`, ms);
  }
}

async function token(url) {
  const response = await fetch(`${url}/socket/token`);
  return (await response.json()).token;
}

async function enter(url) {
  const client = new Client(url);
  const answer = await client.enter(await token(url));
  assert.equal(answer.resp, "success");
  return client;
}

// Publishes to every channel in turn until it is told to stop; said: channel -> uuids in their order;
// turns: uuid -> when.
class Publisher {
  turns = new Map();
  said = new Map(CHANNELS.map((channel) => [channel, []]));

  constructor(client, name) {
    this.client = client;
    this.name = name;
  }

  publish(channel) {
    const list = this.said.get(channel);
    const uuid = `${this.name} ${channel} ${list.length}`;
    this.client.say({ rpc: "_publish", uuid, req: { channel, data: { by: this.name, at: list.length } } });
    list.push(uuid);
    this.turns.set(uuid, ++turn);
  }

  async run() {
    for (let i = 0; !this.done; i++) {
      this.publish(CHANNELS[i % CHANNELS.length]);
      await pause(PACE_MS);
    }
  }

  // The numbers that were accepted on a channel.
  accepted(channel) {
    const all = this.said.get(channel).map((uuid, at) => ({ uuid, at }));
    return all.filter(({ uuid }) => !this.client.refused.has(uuid)).map(({ at }) => at);
  }
}

// Each token is tried on both nodes at once.
async function logins(urls, count, over) {
  while (!over.now) {
    const url = urls[below(urls.length)];
    const id = await token(url).catch(() => undefined);
    if (id) {
      const clients = urls.map((at) => new Client(at));
      const answers = await Promise.all(clients.map((client) => client.enter(id).catch(() => ({}))));
      const admitted = answers.filter((answer) => answer.resp === "success").length;
      count.logins += admitted;
      if (admitted > 1) count.auth_twice++;
      for (const client of clients) client.ws.terminate();
    }
    await pause(50);
  }
}

// Joins a new channel, and as soon as it is said to be live, it is published to from the other node: what is
// accepted arrives, unless a gap was told (R-SUBLIVE).
async function joins(urls, count, over) {
  const [here, there] = [await enter(urls[0]), await enter(urls[1])];
  for (let i = 0; !over.now; i++) {
    const channel = `join:${i}`;
    const uuid = `to ${channel}`;
    const live = await here.join(channel, 1000).catch(() => false);
    if (live) {
      there.say({ rpc: "_publish", uuid, req: { channel, data: { by: "there", at: i } } });
      const came = () => here.events.some((event) => event.channel === channel) || there.refused.has(uuid);
      for (let waited = 0; !came() && waited < 4000; waited += 20) await pause(20);
      count.joins++;
      if (!came()) count.silent_gap++;
    }
    here.say({ rpc: "_unsubscribe", req: { channel } });
    await pause(20);
  }
  count.unexplained_close += [here, there].filter(({ open }) => !open).length;
  for (const { ws } of [here, there]) ws.terminate();
}

// ---- judging ----

// What one listener saw of one publisher on one channel.
function judge(events, publisher, channel, count) {
  const accepted = new Set(publisher.accepted(channel));
  const seen = new Set();
  let next = 0; // the first number that has not come
  let told = 0; // the turn of a gap since the last accepted message: it covers what was published before
  const covered = (at) => publisher.turns.get(publisher.said.get(channel)[at]) < told;
  const skip = (to) => {
    for (; next < to; next++) if (accepted.has(next) && !seen.has(next) && !covered(next)) count.silent_gap++;
  };
  for (const event of events) {
    if (event.channel !== channel) continue;
    if (event.gap) {
      told = event.gap;
      count.gaps++;
    } else if (event.by === publisher.name) {
      count.delivered++;
      if (seen.has(event.at)) count.dup++;
      else if (event.at < next && accepted.has(event.at)) count.order_violation++;
      seen.add(event.at);
      if (event.at < next) continue; // it was refused, and came late
      skip(event.at);
      next = event.at + 1;
      if (accepted.has(event.at)) told = 0;
    }
  }
  const before = count.silent_gap;
  skip(publisher.said.get(channel).length);
  count.lost_accepted += count.silent_gap - before;
}

// ---- the play ----

test("random faults of Redis", { timeout: (SECONDS + 60) * 1000 }, async (t) => {
  const redis = new Redis(t);
  await redis.open();
  const proxies = [new Proxy(), new Proxy()];
  for (const proxy of proxies) await proxy.open(t, redis.port);
  const gateways = [];
  for (const { port } of proxies) gateways.push(await startGateway(t, { files: files(port) }));
  for (const gateway of gateways) {
    await gateway.logged(/connection=moonlatch-pushes/);
    await gateway.logged(/connection=moonlatch-commands/);
  }
  const urls = gateways.map(({ url }) => url);

  const listeners = [];
  for (let i = 0; i < LISTENERS; i++) {
    const client = await enter(urls[i % 2]);
    for (const channel of CHANNELS) await client.join(channel);
    listeners.push(client);
  }
  const publishers = [];
  for (let i = 0; i < PUBLISHERS; i++) publishers.push(new Publisher(await enter(urls[i % 2]), `p${i}`));

  const over = { now: false };
  const count = { silent_gap: 0, dup: 0, order_violation: 0, lost_accepted: 0, auth_twice: 0, unexplained_close: 0,
    delivered: 0, gaps: 0, logins: 0, joins: 0, faults: 0 };
  const work = [...publishers.map((publisher) => publisher.run()), logins(urls, count, over), joins(urls, count, over)];
  const until = Date.now() + SECONDS * 1000;
  const names = Object.keys(FAULTS);
  while (Date.now() < until) {
    await pause(100 + below(600));
    await FAULTS[names[below(names.length)]](redis, proxies[below(2)]);
    count.faults++;
  }

  for (const proxy of proxies) proxy.set("pass");
  await pause(3000); // all is back three seconds after Redis is
  const last = publishers.map(({ said }) => said.get(CHANNELS[0]).length);
  await pause(PACE_MS * CHANNELS.length * 3);
  over.now = true;
  for (const publisher of publishers) publisher.done = true;
  await Promise.all(work);
  for (const publisher of publishers) for (const channel of CHANNELS) publisher.publish(channel); // the end of each
  await pause(1000);

  for (const listener of listeners) {
    for (const publisher of publishers) for (const channel of CHANNELS) judge(listener.events, publisher, channel, count);
  }
  count.unexplained_close += [...listeners, ...publishers.map(({ client }) => client)].filter(({ open }) => !open).length;
  console.log(`chaos: seed=${SEED} ${Object.entries(count).map(([name, n]) => `${name}=${n}`).join(" ")}`);
  for (const { ws } of [...listeners, ...publishers.map(({ client }) => client)]) ws.terminate();

  for (const [i, publisher] of publishers.entries()) {
    const after = publisher.accepted(CHANNELS[0]).filter((at) => at >= last[i]);
    assert.ok(after.length > 1, "publishing goes on three seconds after the last fault");
  }
  for (const name of ["silent_gap", "dup", "order_violation", "lost_accepted", "auth_twice", "unexplained_close"]) {
    assert.equal(count[name], 0, name);
  }
  assert.ok(count.delivered > 0 && count.logins > 0 && count.joins > 0);
});
