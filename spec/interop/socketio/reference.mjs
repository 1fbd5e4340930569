// SPDX-License-Identifier: MIT
// What site.lua does, as a server of socket.io from npm: the tests are held against it, so that they ask
// of the gateway what clients know. Rooms of a site are those of all its namespaces, as channels are.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Server } from "socket.io";

const SITES = { sio: ["/", "/chat"], sio2: ["/sio2"] };

// Who connects: { name, via, header }, or an Error for the client.
async function judge({ handshake }) {
  const { query, auth, headers } = handshake;
  const name = auth?.name ?? query.name ?? "anon";
  if (name === "unwelcome") return new Error("not today");
  if (name === "banned") return Object.assign(new Error("banned"), { data: { code: 7, list: ["x", 1] } });
  if (name === "slowly") await sleep(100);
  return { name, via: query.via, header: headers["x-moon"] };
}

const list = (value) => (Array.isArray(value) ? value : [value]);

// Emits to rooms of all namespaces of a site; everybody without rooms.
class Audience {
  constructor(io, site) {
    this.namespaces = SITES[site].map((name) => io.of(name));
  }

  emit({ rooms = [], except = [], volatile }, name, ...args) {
    for (const namespace of this.namespaces) {
      let operator = namespace.to(rooms).except(except);
      if (volatile) operator = operator.volatile;
      operator.emit(name, ...args);
    }
    return [true];
  }
}

function eventsOf(site, everybody) {
  return {
    echo: (_, ...args) => args,
    back: (socket, ...args) => void socket.emit("back", ...args),
    me: (socket) => [{ ...socket.data, namespace: socket.nsp.name, site }],
    sid: (socket) => [socket.id],
    slow: async (_, ms) => {
      await sleep(ms);
      return ["late"];
    },
    flip: (_, picture) => [picture.length, Buffer.from(picture).reverse(), { deep: [picture] }],
    ask: (socket, question, seconds) => new Promise((done) => {
      socket.timeout((seconds ?? 5) * 1000).emit("question", question, (error, answer) => {
        done([error ? { failed: "timeout" } : { answer }]);
      });
    }),
    count: (socket, to) => {
      for (let i = 1; i <= to; i++) socket.emit("count", i);
    },
    murmur: (socket, to) => {
      for (let i = 1; i <= to; i++) everybody.emit({ rooms: [socket.id], volatile: true }, "count", i);
      return [true];
    },
    join: (socket, room) => {
      socket.join(room);
      return [true];
    },
    leave: (socket, room) => {
      socket.leave(room);
      return [true];
    },
    say: (_, rooms, except, ...args) => everybody.emit({ rooms: list(rooms), except: list(except) }, "said", ...args),
    others: (socket, ...args) => everybody.emit({ except: [socket.id] }, "said", ...args),
    all: (_, ...args) => everybody.emit({}, "said", ...args),
    publish: (_, channel, value) => everybody.emit({ rooms: [channel] }, channel, value),
    kick: (socket) => void socket.disconnect(),
    kickAll: (socket) => void socket.disconnect(true),
  };
}

const CONTROLLERS = {
  add: (data) => {
    if (!Number.isInteger(data?.a)) throw new Error("no numbers");
    return data.a + data.b;
  },
};

// As the gateway's controllers: (err, result).
function called(name, data) {
  try {
    return [null, CONTROLLERS[name](data)];
  } catch (error) {
    return [error.message];
  }
}

async function take(events, socket, name, args) {
  const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
  if (events[name]) ack(...((await events[name](socket, ...args)) ?? []));
  else if (CONTROLLERS[name]) ack(...called(name, args[0]));
}

function serve(io, site) {
  const everybody = new Audience(io, site);
  const events = eventsOf(site, everybody);
  for (const namespace of everybody.namespaces) {
    namespace.use(async (socket, next) => {
      const who = await judge(socket);
      if (who instanceof Error) return next(who);
      socket.data = who;
      next();
    });
    namespace.on("connection", (socket) => {
      if (socket.data.name === "greeted") socket.emit("hello", socket.nsp.name);
      socket.onAny((name, ...args) => take(events, socket, name, args));
      socket.on("disconnect", (reason) => {
        everybody.emit({ rooms: [`watch:${socket.data.name}`] }, "gone", reason);
      });
    });
  }
}

class Reference {
  constructor(options) {
    this.options = options;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    const { connectTimeout = 45000, beat } = this.options;
    this.http = createServer();
    this.io = new Server(this.http, {
      allowEIO3: true,
      maxHttpBufferSize: 4e6,
      connectTimeout,
      ...(beat && { pingInterval: beat, pingTimeout: 1000 }),
    });
    for (const site of Object.keys(SITES)) serve(this.io, site);
    await new Promise((done) => this.http.listen(this.port ?? 0, "127.0.0.1", done));
    this.port = this.http.address().port;
    return this;
  }

  stop() {
    return this.io.close();
  }
}

// options: as startServer's.
export async function startReference(t, options) {
  const reference = new Reference(options);
  t.after(() => reference.stop());
  return reference.start();
}
