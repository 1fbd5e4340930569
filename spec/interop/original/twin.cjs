// SPDX-License-Identifier: MIT
// The original: node-token-sockjs 2.1.11 with the site that twin.lua has, rule for rule. It wants the path
// of a Redis socket, and takes a free port.

const express = require("express");
const http = require("http");
const redis = require("redis");
const sockjs = require("sockjs");
const TokenSocketServer = require("node-token-sockjs");

const path = process.argv[2];
const commands = redis.createClient({ path });
const messages = redis.createClient({ path });
const app = express();
app.set("etag", false);
const server = http.createServer(app);
const socketServer = sockjs.createServer({ log() {}, disconnect_delay: 5000 });

function customMiddleware(req, res, next) {
  if (req.query.mode === "middleware") return res.status(402).set("x-twin", "yes").json({ pay: [1, {}] });
  if (req.query.mode === "session") req.session = { name: "of the session", list: [], deep: { n: null } };
  next();
}

function authentication(req, done) {
  const { mode, name } = req.query;
  if (mode === "session") return done(null, true);
  if (mode === "error") return done(new Error("backend down"));
  if (mode === "text") return done("no \u2028backend");
  done(null, name ? { name, query: req.query } : false);
}

function filter(socket, channel, message) {
  if (channel === "flush") return message;
  if (message && message.not === socket.auth.name) return null;
  return message && message.name ? { ...message, seenBy: socket.auth.name } : message;
}

const failure = () => Object.assign(new Error("boom"), { code: "E42", extra: { n: [1] } });

const socketController = {
  echo: (auth, data, done) => done(null, data),
  who: { am: { i: (auth, data, done) => done(null, auth) } },
  where: (auth, data, done, { host, ip, ips }) => done(null, { host, ip, ips }),
  undef: (auth, data, done) => done(),
  nil: (auth, data, done) => done(null, null),
  none: (auth, data, done) => done(null, [data === undefined, data === null]),
  fail: {
    text: (auth, data, done) => done("no luck"),
    number: (auth, data, done) => done(42),
    error: (auth, data, done) => done(failure()),
    list: (auth, data, done) => done([failure(), { code: 7 }]),
    object: (auth, data, done) => done({ reason: "why", list: [], map: {} }),
  },
  later: (auth, data, done) => setTimeout(done, 30, null, data),
  clash: (auth, data, done) => done(null, "controller"),
  ask: (auth, data, done, socket) =>
    tokens.rpc(socket, "client.answer", data, (error, answer) => done(error, { heard: answer })),
  end: (auth, data, done, socket) => socket.end(),
  // whether Redis has (count 1) or has no more (0) a subscriber; the internal frames do not wait for it
  settled: (auth, { channel, count }, done) => {
    const look = () => commands.pubsub("NUMSUB", channel, (error, [, found]) =>
      error || Number(found) === count ? done(error, "settled") : setTimeout(look, 2));
    look();
  },
  server: {
    subscribe: (auth, { channel }, done, socket) => done(null, void tokens.subscribe(socket, channel)),
    unsubscribe: (auth, { channel }, done, socket) => done(null, void tokens.unsubscribe(socket, channel)),
    unsubscribeAll: (auth, { channel }, done) => done(null, void tokens.unsubscribeAll(channel)),
    publish: (auth, { channel, data }, done) => done(null, void tokens.publish(channel, data)),
    broadcast: (auth, data, done) => done(null, void tokens.broadcast(data)),
    filter: (auth, on, done) => done(null, void tokens.publishFilter(on ? filter : null)),
    cleanup: (auth, ms, done) => done(null, void (ms ? tokens.enableCleanup(ms) : tokens.disableCleanup())),
  },
};

const routes = {
  clash: (req, res) => res.json({ from: "route" }),
  user: {
    read: (req, res) => {
      res.set("X-Foo", "bar");
      res.status(200).json({ users: [1] });
    },
    create: (req, res) => res.status(201).json({
      body: req.body, query: req.query, params: req.params, user: req.user, session: req.session, headers: req.headers,
      method: req.method, protocol: req.protocol, originalUrl: req.originalUrl,
    }),
    fail: (req, res) => res.status(500).json({ error: "db down", more: 1 }),
    failWith: (req, res) => res.status(400).json({ error: { field: "name" } }),
    missing: (req, res) => res.status(404).json({ nothing: true }),
    moved: (req, res) => res.status(302).json({ to: "there" }),
    error200: (req, res) => res.json({ error: "but fine" }),
    list: (req, res) => res.json([1, 2, 3]),
    empty: (req, res) => res.json({}),
    same: (req, res) => res.json(req.body),
    text: (req, res) => res.json("hello"),
    later: (req, res) => setTimeout(() => res.json({ late: true }), 20),
  },
  socket: { read: (req, res) => res.json({}) },
  public: (req, res) => res.json({}),
};

socketServer.installHandlers(server, { prefix: "/sockets" });
const tokens = new TokenSocketServer(app, commands, socketServer, {
  customMiddleware, authentication, socketController, routes, pubsubClient: messages, ping: true, debug: false,
});

const VERDICTS = {
  denied: [null, false],
  twice: [null, false],
  reasoned: ["staff only"],
  raised: [failure()],
  numbered: [7],
};
const judge = (name, done) => (VERDICTS[name] ? done(...VERDICTS[name]) : done(null, true));

tokens.on("authentication", (socket, auth, done) => (auth.name === "slow" ? setTimeout(done, 40) : done()));
tokens.on("subscribe", (socket, { channel }, done) =>
  channel === "slow" ? setTimeout(judge, 40, channel, done) : judge(channel, done));
tokens.on("subscribe", (socket, { channel }, done) => done(null, channel !== "second" && channel !== "twice"));
tokens.on("unsubscribe", (socket, { channel }, done) => done(null, channel !== "sticky"));
tokens.on("publish", (socket, { data }, done) => judge(data?.verdict, done));
tokens.on("broadcast", (socket, { data }, done) => judge(data?.verdict, done));

server.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
