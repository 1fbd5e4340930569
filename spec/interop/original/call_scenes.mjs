// SPDX-License-Identifier: MIT
// Scenes of calls in both directions, and of routes.

import assert from "node:assert/strict";
import { call, calls, collect, mutters, VALUES } from "./play.mjs";

export const { scenes, scene } = collect();

// ---- calls ----

scene("gives values back as they were", calls(...VALUES.map((value, i) => call("echo", value, `u${i}`))));
scene("hears half a character", calls(call("echo", "\ud800")), {
  differs: "refused, as all text that is no Unicode",
  original: [{ rpc: "echo", uuid: "u1", resp: "\ud800" }],
  ours: [{ error: "Invalid message" }],
});
const AMBIGUOUS = [`{"rpc":"echo","req":1,"req":2}`, `{"rpc":"echo","req":1e999}`];
scene("hears members twice, and numbers without end", calls(...AMBIGUOUS), {
  differs: "refused, as JSON that its readers do not agree upon",
  original: [{ rpc: "echo", resp: 2 }, { rpc: "echo", resp: null }],
  ours: Array(2).fill({ error: "Invalid message" }),
});
scene("answers undefined and null", calls(call("undef"), call("nil"), call("echo"), call("none"), call("none", null)));
const UUIDS = [0, 1, -1.5, null, false, "", "ü", [1, []], { a: {} }, undefined];
scene("answers under any uuid", calls(...UUIDS.map((uuid) => ({ rpc: "echo", req: 1, uuid }))));
scene("answers errors", calls(...["text", "number", "error", "list", "object"].map((name) => call(`fail.${name}`))));
const NAMES = ["who.am.i", "who.am", "who", "nobody", "who.am.you", ".", "who.", ".who", "who..am.i", " echo", "Echo",
  "_nobody", "auth", "__proto__", "ü"];
scene("finds controllers by their names", calls(...NAMES.map((name) => call(name))));
scene("wants an rpc", calls({ uuid: "u1", req: 1 }, {}, ...["", null, false, 0].map((rpc) => ({ rpc, uuid: "u1" }))));
scene("answers pings", calls(call("_ping", {}), call("_ping")));
scene("answers calls side by side", async (stage) => {
  const ann = await stage.enter();
  ann.say(call("later", "late", "u1"));
  ann.say(call("echo", "soon", "u2"));
  await ann.next(2);
  return ann.noted;
});
scene("lets a socket end itself", async (stage) => {
  const ann = await stage.enter();
  ann.say(call("end"));
  await ann.closed();
  return ann.noted;
});
scene("finds functions behind functions", calls(call("echo.more.path", 1)), {
  differs: "QUIRK: the rest of the path is ignored",
  original: [{ rpc: "echo.more.path", uuid: "u1", resp: 1 }],
  ours: [{ rpc: "echo.more.path", uuid: "u1", error: "Function not found" }],
});
scene("finds what every object has", mutters(call("toString"), call("who.constructor")), {
  differs: "QUIRK: such calls are never answered",
  original: [],
  ours: ["toString", "who.constructor"].map((rpc) => ({ rpc, uuid: "u1", error: "Function not found" })),
});
scene("echoes other members", calls({ ...call("echo", 1), extra: [1], resp: 5 }), {
  differs: "optional; nothing reads them",
  original: [{ rpc: "echo", uuid: "u1", extra: [1], resp: 1 }],
  ours: [{ rpc: "echo", uuid: "u1", resp: 1 }],
});
scene("hears values that are no objects", calls("[]", "5", "\"text\"", "true"), {
  differs: "the original has nowhere to put its error",
  original: [[], 5, "text", true],
  ours: Array(4).fill({ error: "Invalid request" }),
});

// ---- routes ----

const ROUTES = ["user.read", "user.create", "user.fail", "user.failWith", "user.missing", "user.moved", "user.error200",
  "user.list", "user.empty", "user.text", "clash"];
scene("answers routes", calls(...ROUTES.map((name) => call(name, { id: 1, list: [] }))));
scene("answers routes with what came", calls(...[{ a: [] }, {}, [], [{}], "text"].map((req) => call("user.same", req))));
scene("answers routes later", async (stage) => {
  const ann = await stage.enter();
  ann.say(call("user.later", {}));
  await ann.next();
  return ann.noted;
});
const HIDDEN = ["socket.read", "public", "user", "user.nobody"];
scene("hides some branches of the routes", calls(...HIDDEN.map((name) => call(name, {}))));

// ---- calls to the client ----

const ASKED = { fid: "<uuid>", command: "client.answer", args: { q: [] } };
const answering = (...resps) => async (stage) => {
  const ann = await stage.enter();
  for (const resp of resps) {
    ann.say(call("ask", { q: [] }));
    const { data } = await ann.until((message) => message.command === "rpc");
    assert.match(data.fid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    ann.noted.push({ ...data, fid: "<uuid>" });
    ann.say({ rpc: "_rpc", fid: data.fid, resp });
    await ann.next();
  }
  return ann.noted;
};
scene("asks the client", answering({ data: { n: [1, {}, null] } }, { data: null }, { data: 0 }, { data: "" }));
scene("hears an answer without data", answering({}), {
  differs: "an answer is never nil to Lua, where nil says that there is none",
  original: [ASKED, { rpc: "ask", uuid: "u1", resp: {} }],
  ours: [ASKED, { rpc: "ask", uuid: "u1", resp: { heard: null } }],
});
const ERRORS = ["no", 5, { code: 7 }, [{ code: 7 }]];
scene("hears the client's errors", answering(...ERRORS.map((error) => ({ error, data: 1 }))));
const NO_ERRORS = [null, "", 0, false];
scene("hears errors that are none", answering(...NO_ERRORS.map((error) => ({ error, data: 1 }))));
const FIDS = ["01234567-89ab-4cde-8f01-23456789abcd", "x", 5, undefined];
scene("ignores answers that nobody waits for", mutters(
  ...FIDS.map((fid) => ({ rpc: "_rpc", fid, resp: { data: 1 } }))));
scene("hears answers that are none", mutters({ rpc: "_rpc", uuid: "u1" }, { rpc: "_rpc", fid: 5, resp: null }), {
  differs: "QUIRK: with a fid that it knows the original would end",
  original: [],
  ours: [{ rpc: "_rpc", uuid: "u1", error: "Invalid request" }, { rpc: "_rpc", error: "Invalid request" }],
});
