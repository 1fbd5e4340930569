// SPDX-License-Identifier: MIT
// Scenes of channels: who is in them, who may what, and the filter.

import { call, calls, collect, VALUES } from "./play.mjs";

export const { scenes, scene } = collect();

// ---- channels ----

const subscribe = (channel, uuid = "u1") => ({ rpc: "_subscribe", req: { channel }, uuid });
const unsubscribe = (channel, uuid = "u1") => ({ rpc: "_unsubscribe", req: { channel }, uuid });
const publish = (channel, data, uuid = "u1") => ({ rpc: "_publish", req: { channel, data }, uuid });
const broadcast = (data, uuid = "u1") => ({ rpc: "_broadcast", req: { data }, uuid });

// What ann and bob see when ann says this.
const room = (...messages) => async (stage) => {
  const ann = await stage.enter();
  const bob = await stage.enter("name=bob");
  await ann.subscribe("room");
  await bob.subscribe("room", "other");
  for (const message of messages) ann.say(message);
  await stage.flush(ann, bob);
  return { ann: ann.noted, bob: bob.noted };
};

// For broadcasts, which reach bob's two channels in either order.
const roomInAnyOrder = (...messages) => async (stage) => {
  const seen = await room(...messages)(stage);
  const key = ({ channel, message }) => `${JSON.stringify(message)} ${channel}`;
  seen.bob.sort((a, b) => key(a).localeCompare(key(b)));
  return seen;
};

const heard = (message) => ({ channel: "room", message });

scene("subscribes, also twice", calls(
  subscribe("room"), subscribe("room"), unsubscribe("room"), unsubscribe("room"), unsubscribe("never")));
scene("publishes", room(...VALUES.map((value) => publish("room", value))));
scene("publishes to those who are there", room(
  publish("other", 1), publish("nobody", 2), unsubscribe("room"), publish("room", 3)));
scene("delivers once to who subscribed twice", room(subscribe("room"), publish("room", 1)));
const TEXTS = [`{"json":"string"}`, "42", "null"];
const VALUES_OF_TEXTS = TEXTS.map((text) => heard(JSON.parse(text)));
scene("publishes what reads like JSON", room(...TEXTS.map((text) => publish("room", text))), {
  differs: "QUIRK of the Redis payload, which the layout of node-token-sockjs has and the memory store has not",
  original: { ann: VALUES_OF_TEXTS, bob: VALUES_OF_TEXTS },
  ours: { ann: TEXTS.map(heard), bob: TEXTS.map(heard) },
});
scene("broadcasts once for each channel", roomInAnyOrder(broadcast({ n: [] }), broadcast("text")));
scene("broadcasts to nobody without a channel", async (stage) => {
  const ann = await stage.enter();
  ann.say(broadcast(1));
  await stage.flush(ann);
  return ann.noted;
});
scene("subscribes a socket by itself", async (stage) => {
  const ann = await stage.enter();
  await ann.ask("server.subscribe", { channel: "room" });
  await stage.settled("room", 1);
  await ann.ask("server.publish", { channel: "room", data: { n: 1 } });
  await stage.flush(ann);
  await ann.ask("server.broadcast", [2]);
  await stage.flush(ann);
  await ann.ask("server.unsubscribe", { channel: "room" });
  await ann.ask("server.publish", { channel: "room", data: 3 });
  await stage.flush(ann);
  return ann.noted;
});
scene("unsubscribes all", async (stage) => {
  const ann = await stage.enter();
  const bob = await stage.enter("name=bob");
  await ann.subscribe("room", "other");
  await bob.subscribe("room");
  await ann.ask("server.unsubscribeAll", { channel: "room" });
  await stage.settled("room", 0);
  await stage.flush(ann, bob);
  bob.say(publish("room", 1));
  bob.say(publish("other", 2));
  await stage.flush(ann, bob);
  return { ann: ann.noted, bob: bob.noted };
});
scene("forgets who has gone", async (stage) => {
  const ann = await stage.enter();
  const bob = await stage.enter("name=bob");
  await ann.subscribe("room");
  await bob.subscribe("room", "other");
  bob.say(call("end"));
  await bob.closed();
  ann.say(publish("room", 1));
  await stage.flush(ann);
  return ann.noted;
});

// ---- who may ----

const VERDICTS = ["denied", "reasoned", "raised", "numbered"];
scene("asks who may subscribe", async (stage) => {
  const ann = await stage.enter();
  const channels = [...VERDICTS, "second", "room", "slow"];
  for (const channel of channels) ann.say(subscribe(channel, channel));
  await ann.next(channels.length);
  await ann.through();
  return ann.noted;
});
scene("hears two refusals", calls(subscribe("twice")), {
  differs: "QUIRK: the original answers each",
  original: Array(2).fill({ rpc: "_subscribe", uuid: "u1", error: "Forbidden" }),
  ours: [{ rpc: "_subscribe", uuid: "u1", error: "Forbidden" }],
});
scene("asks who may unsubscribe", calls(subscribe("sticky"), unsubscribe("sticky"), unsubscribe("never")));
scene("asks who may publish", room(...[...VERDICTS, "none"].map((verdict) => publish("room", { verdict }, verdict))));
scene("asks who may broadcast", room(...VERDICTS.map((verdict) => broadcast({ verdict }, verdict))));
scene("keeps channels of its own", calls(publish("___sync___", 1), publish("__all__", 1)));
scene("keeps the channel of broadcasts", roomInAnyOrder(publish("___all___", 1)), {
  differs: "QUIRK: clients of the original broadcast with it, past its listeners",
  original: { ann: [heard(1)], bob: [{ channel: "other", message: 1 }, heard(1)] },
  ours: { ann: [{ rpc: "_publish", uuid: "u1", error: "Forbidden" }], bob: [] },
});
const NAMES = { ü: "bad_channel", "a b": "bad_channel", "*": "bad_channel", $x: "Forbidden" };
scene("knows channels by all names", calls(...Object.keys(NAMES).map((name) => subscribe(name))), {
  differs: "names are printable ASCII, without space and the characters of Redis patterns; some are kept",
  original: Object.keys(NAMES).map((channel) => ({ internal: true, command: "subscribe", data: { channel } })),
  ours: Object.values(NAMES).map((error) => ({ rpc: "_subscribe", uuid: "u1", error })),
});

// ---- the filter ----

const withFilter = (play) => async (stage) => {
  const ann = await stage.enter();
  await ann.ask("server.filter", true);
  try {
    return await play(stage);
  } finally {
    await ann.ask("server.filter", false);
  }
};
const FILTERED = [{ not: "bob", n: [] }, { not: "ann" }, "text", { name: "x", map: {} }, [1, {}], true];
scene("filters for each socket", withFilter(room(...FILTERED.map((message) => publish("room", message)))));
scene("filters what is broadcast", withFilter(room(broadcast({ not: "bob", n: 1 }))));
const FALSY = [0, "", null, false];
scene("filters what is false to JavaScript", withFilter(room(...FALSY.map((value) => publish("room", value)))), {
  differs: "only false and nil are false to Lua",
  original: { ann: [], bob: [] },
  ours: { ann: [0, "", null].map(heard), bob: [0, "", null].map(heard) },
});

// ---- what is on the wire ----

scene("answers a subscribe with its request", async (stage) => {
  const ann = await stage.enter();
  ann.exact = true;
  ann.say({ ...subscribe("room"), req: { channel: "room", more: [1] } });
  await ann.next();
  return ann.noted;
}, {
  differs: "the form of 3.1.0, which its browser client needs",
  original: [{ internal: true, command: "subscribe", data: { channel: "room" } }],
  ours: [{ internal: true, command: "subscribe",
    data: { rpc: "_subscribe", req: { channel: "room", more: [1] }, uuid: "u1", channel: "room" } }],
});

const ESCAPED = "ü😀\u0000\u001f\n\u007f\u200c\u200f\u2028\u202f\u2060\u206f\ufff0\uffff \" \\";
scene("writes frames, byte by byte", async (stage) => {
  const ann = await stage.enter();
  await ann.subscribe("room");
  const from = ann.link.frames.length;
  ann.say(`{"rpc":"_publish","req":{"channel":"room","data":${JSON.stringify(ESCAPED)}}}`);
  await ann.next();
  return ann.link.frames.slice(from);
}, { kinds: ["websocket", "xhr-polling", "xhr-streaming"] });
