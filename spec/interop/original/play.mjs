// SPDX-License-Identifier: MIT
// What scenes are made of: who says what, and over which links the scene is played. A scene that differs
// says what the original shows, what we show, and why.

import { LINKS } from "./links.mjs";

export function collect() {
  const scenes = [];
  // play(stage) gives what is compared. more: kinds (of links), or differs, original and ours.
  const scene = (name, play, more = {}) => scenes.push({ name, play, kinds: Object.keys(LINKS), ...more });
  return { scenes, scene };
}

// A call as a message.
export const call = (rpc, req, uuid = "u1") => ({ rpc, uuid, ...(req === undefined ? {} : { req }) });

// Values that must come through as they are.
export const VALUES = [null, true, false, 0, -0.5, 1e300, 2 ** 53 - 1, -(2 ** 53 - 1),
  "", "text", "ü😀\u2028\u0000\u007f", "\"\\/\b\f\n\r\t",
  [], {}, [[]], [{}], [null], { a: { b: [] } }, { "": 1, "a.b": 3, "1": 4 }, [1, [2, [3, { x: null }]]]];

// Says each when the one before has been answered.
export const calls = (...messages) => async (stage) => {
  const ann = await stage.enter();
  for (const message of messages) {
    ann.say(message);
    await ann.next();
  }
  await ann.through();
  return ann.noted;
};

// Says each, whether it is answered or not.
export const mutters = (...messages) => async (stage) => {
  const ann = await stage.enter();
  for (const message of messages) ann.say(message);
  await ann.through();
  return ann.noted;
};
