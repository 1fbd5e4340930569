// SPDX-License-Identifier: MIT
// Scenes of the token route and of the login.

import { collect } from "./play.mjs";

export const { scenes, scene } = collect();
const http = (name, play, more) => scene(name, play, { kinds: ["http"], ...more });

// ---- the token route ----

const get = (...paths) => async (stage) => {
  const answers = {};
  for (const path of paths) answers[path] = await stage.get(path);
  return answers;
};

http("issues a token", get("/socket/token?name=ann", "/socket/token?name=ann&x[y]=1"));
http("refuses whom authentication refuses", get("/socket/token", "/socket/token?", "/socket/token?name="));
http("fails as authentication fails", get("/socket/token?mode=error", "/socket/token?mode=text"));
http("takes the session's data for true", async (stage) => {
  const ann = await stage.enter("mode=session", "websocket");
  return ann.ask("who.am.i");
});
http("lets the middleware answer", get("/socket/token?mode=middleware"));
http("answers JSONP", get(
  "/socket/token?callback=token_callback_1795223896989_w856l438ue&name=ann",
  "/socket/token?name=ann&callback=a.b[0].$c&callback=second",
  "/socket/token?callback=x;alert(1)&name=ann",
  "/socket/token?callback=%3Cscript%3E&name=ann",
  "/socket/token?callback=&name=ann",
  "/socket/token?callback=cb&",
  "/socket/token?callback=cb&mode=error",
  "/socket/token?callback=cb&mode=text",
));
http("answers other methods", async (stage) => {
  const answers = {};
  for (const method of ["HEAD", "OPTIONS", "POST"]) {
    const answer = await stage.get("/socket/token?name=ann", { method });
    answers[method] = method === "HEAD" ? answer : { status: answer.status, allow: answer.allow };
  }
  return answers;
});

const queries = (...texts) => async (stage) => {
  const read = {};
  for (const text of texts) {
    const ann = await stage.enter(`name=ann&${text}`, "websocket");
    const { query: { name, ...rest } } = await ann.ask("who.am.i");
    read[text] = rest;
    ann.link.end();
  }
  return read;
};
http("reads queries as Express does", queries(
  "email=a%40b.c&nested%5Bx%5D=1&nested%5By%5D%5B0%5D=p&nested%5By%5D%5B1%5D=q&empty=", "a=1&b=2", "a[b]=1&a[c][d]=2",
  "a=1&a=2&a=3", "a[]=1&a[]=2", "a[]=1", "a[0]=x", "a[1]=y&a[0]=x", "a[2]=c&a[7]=d", "a[1]=y", "a[20]=x",
  "a[21]=x", "a[01]=x", "a[-1]=x", "a[0][b]=1&a[1][b]=2", "a[b][]=1&a[b][]=2", "a[0]=x&a=y", "a[0]=x&a[]=y",
  "a[0]=x&a[b]=y", "a[b]=1&a[b]=2", "a[b]=&a[c]",
  "a", "a&b=", "a=b=c", "=1", "&&a=1&&", "a+b=c+d", "a=%zz", "a=%e4", "%F0%9F%98%80=%C3%BC",
  "a[b=1", "a]b=1", "[a]=1", "[]=1", "a[b]c=1", "a.b=1", "a[b].c=1", "a[b]c[d]=1", "a[b][c][d][e][f][g][h]=1"));
http("reads what no client sends", queries("a=1&a[b]=2", "a[b]=1&a=2", "a[][b]=1&a[][b]=2", "a[][]=1"), {
  differs: "the original mixes what does not fit together",
  original: { "a=1&a[b]=2": { a: ["1", { b: "2" }] }, "a[b]=1&a=2": { a: { 2: true, b: "1" } },
    "a[][b]=1&a[][b]=2": { a: [{ b: ["1", "2"] }] }, "a[][]=1": { a: ["1"] } },
  ours: { "a=1&a[b]=2": { a: "1" }, "a[b]=1&a=2": { a: { b: "1" } },
    "a[][b]=1&a[][b]=2": { a: [{ b: "1" }, { b: "2" }] }, "a[][]=1": { a: [["1"]] } },
});

// ---- the login ----

const auth = (token, more) => ({ rpc: "auth", token, uuid: "login", ...more });

scene("logs in", async (stage) => {
  const ann = await stage.stranger();
  ann.say(auth(await stage.token("name=ann")));
  await ann.next();
  await ann.through();
  return ann.noted;
});
scene("waits for the listeners of a login", async (stage) => {
  const ann = await stage.stranger();
  ann.say(auth(await stage.token("name=slow")));
  await ann.next();
  return [ann.noted, await ann.ask("who.am.i")];
});
scene("takes a token once", async (stage) => {
  const { token } = await stage.enter();
  const bob = await stage.stranger();
  bob.say(auth(token));
  await bob.closed();
  return bob.noted;
});
scene("does not know a token", async (stage) => {
  const ann = await stage.stranger();
  ann.say(auth("01234567-89ab-4cde-8f01-23456789abcd"));
  await ann.closed();
  return ann.noted;
});
for (const token of ["x", "01234567-89ab-1cde-8f01-23456789abcd", "01234567-89AB-4CDE-8F01-23456789ABCD"]) {
  scene(`closes at the token ${token}`, async (stage) => {
    const ann = await stage.stranger();
    ann.say(auth(token));
    await ann.closed();
    return ann.noted;
  });
}
scene("is told what is no JSON, before the login and after", async (stage) => {
  const ann = await stage.stranger();
  ann.say("{");
  await ann.next();
  ann.say(auth(await stage.token("name=ann")));
  await ann.next();
  ann.say("[");
  await ann.next();
  await ann.through();
  return ann.noted;
});

const strangers = {
  "a call": { rpc: "echo", req: { list: [], map: {} }, uuid: "u1" },
  "a ping": { rpc: "_ping", req: {}, uuid: "u1" },
  "a login without token": { rpc: "auth", uuid: "u1" },
  "a login with an empty token": { rpc: "auth", token: "", uuid: "u1" },
  "an empty object": {},
  "a subscribe": { rpc: "_subscribe", req: { channel: "c" }, uuid: "u1" },
};
for (const [what, message] of Object.entries(strangers)) {
  const forbidden = { ...message, error: "Forbidden" };
  scene(`refuses ${what} before the login`, async (stage) => {
    const ann = await stage.stranger();
    ann.say(message);
    await ann.closed();
    return ann.noted;
  }, {
    differs: "the close says why",
    original: [forbidden, { closed: [1000, "Normal closure"] }],
    ours: [forbidden, { closed: [4401, "not authenticated"] }],
  });
}
scene("closes who does not log in", async (stage) => {
  const ann = await stage.enter();
  await ann.ask("server.cleanup", 100);
  const bob = await stage.stranger();
  await bob.closed();
  await ann.ask("server.cleanup", null);
  await ann.through();
  return bob.noted;
}, {
  differs: "the close says why",
  original: [{ closed: [1000, "Normal closure"] }],
  ours: [{ closed: [4408, "authentication timeout"] }],
});
scene("logs in twice", async (stage) => {
  const ann = await stage.enter();
  ann.say(auth(await stage.token("name=bob")));
  await ann.next();
  await ann.through();
  return [ann.noted, (await ann.ask("who.am.i")).name];
}, {
  differs: "a second login would change who the calls under way are from; token.reauth allows it",
  original: [[{ rpc: "auth", token: "<uuid>", uuid: "login", resp: "success" }], "bob"],
  ours: [[{ rpc: "auth", token: "<uuid>", uuid: "login", error: "Forbidden" }], "ann"],
});
scene("knows where a socket is from", async (stage) => (await stage.enter()).ask("where"), {
  differs: "the original knows it of sessions only",
  original: {},
  ours: { host: "127.0.0.1", ip: "127.0.0.1", ips: [] },
});
scene("knows where a socket with a session is from", async (stage) => (await stage.enter("mode=session")).ask("where"));
