// SPDX-License-Identifier: MIT
// What the tests run against: the gateway with site.lua as two sites, or with REFERENCE=1 in the
// environment a server of socket.io from npm that does the same.

import { readFileSync } from "node:fs";
import { startGateway } from "../gateway.mjs";
import { startReference } from "./reference.mjs";

export const isReference = process.env.REFERENCE === "1";

const LIMITS = `drain_timeout = "1s", drain_spread = 0, eio_packets_per_body = 1000, eio_queue_messages = 1000,
  eio_queue_bytes = "8M", ws_max_message = "4M", http_max_body = "4M", published_message = "4M",
  send_buffer_hard = "64M", rpc_concurrency = 1000`;
const script = readFileSync(new URL("site.lua", import.meta.url), "utf8");

// connectTimeout: ms that a client may be in no namespace. beat: ms between heartbeats.
function files({ connectTimeout, beat }) {
  const timeout = connectTimeout ? `, unauth_timeout = "${connectTimeout}ms"` : "";
  const endpoints = beat ? `endpoints = { { path = "/socket.io", transport = "engineio", dialect = "socketio",
    ping_interval = "${beat}ms", ping_timeout = "1s" } },` : "";
  return {
    "conf/gateway.lua": `return { ${endpoints} limits = { ${LIMITS}${timeout} } }`,
    "conf/sites/sio.lua": `return { options = { name = "sio" },
      socketio = { namespaces = { "/", "/chat" }, auth = "request" } }`,
    "conf/sites/sio2.lua": `return { options = { name = "sio2" }, socketio = { auth = "request" } }`,
    "scripts/sio/init.lua": script,
    "scripts/sio2/init.lua": script,
  };
}

// With url, stop() and start(), again on the same port. The test t ends it.
export function startServer(t, options = {}) {
  return isReference ? startReference(t, options) : startGateway(t, { files: files(options) });
}
