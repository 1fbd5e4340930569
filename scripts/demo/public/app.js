// SPDX-License-Identifier: MIT
// The page of the demo. First a client of the token dialect over a plain WebSocket, as small as one can
// be; then the chat. Everything that others wrote is shown as text, never as HTML.
"use strict";

class Client {
  constructor(handlers) {
    this.handlers = handlers; // message(channel, data), call(name, args) -> answer, status(text, isBad)
    this.channels = new Set();
    this.waiting = new Map(); // uuid -> { resolve, reject }
    this.serial = 0;
    this.delay = 200;
  }

  // A token is good for one socket, so each connection begins with a new one.
  async connect(credentials) {
    this.credentials = credentials;
    const response = await fetch("socket/token?" + new URLSearchParams(credentials));
    const body = await response.json();
    if (!response.ok) throw new Error(body.error);
    const url = new URL("ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url);
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onclose = () => this.lost();
    await new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onerror = () => reject(new Error("no connection"));
    });
    await this.send({ rpc: "auth", token: body.token });
    this.delay = 200;
    for (const channel of this.channels) this.subscribe(channel).catch(() => this.channels.delete(channel));
    this.handlers.status("connected", false);
  }

  lost() {
    for (const { reject } of this.waiting.values()) reject(new Error("connection lost"));
    this.waiting.clear();
    this.handlers.status("connection lost, trying again", true);
    this.delay = Math.min(this.delay * 2, 5000);
    setTimeout(() => this.connect(this.credentials).catch(() => this.lost()), this.delay);
  }

  // Sends a message under a uuid of its own; the promise settles with the answer to it, if one comes.
  send(message) {
    const uuid = String(++this.serial);
    return new Promise((resolve, reject) => {
      this.waiting.set(uuid, { resolve, reject });
      this.socket.send(JSON.stringify({ ...message, uuid }));
    });
  }

  rpc(name, req) { return this.send({ rpc: name, req }); }
  subscribe(channel) { return this.send({ rpc: "_subscribe", req: { channel } }); }

  unsubscribe(channel) {
    this.channels.delete(channel);
    return this.send({ rpc: "_unsubscribe", req: { channel } });
  }

  // Answered only when it is refused: what is not refused by then was published.
  publish(channel, data) {
    const uuid = String(this.serial + 1);
    setTimeout(() => this.settle(uuid), 10000);
    return this.send({ rpc: "_publish", req: { channel, data } });
  }

  settle(uuid, error, value) {
    const waiting = this.waiting.get(uuid);
    if (!waiting) return;
    this.waiting.delete(uuid);
    if (error !== undefined) waiting.reject(new Error(error.message || error));
    else waiting.resolve(value);
  }

  receive(message) {
    if (message.internal) this.command(message.command, message.data);
    else if (message.channel) this.handlers.message(message.channel, message.message);
    else this.settle(message.uuid, message.error, message.resp);
  }

  async command(name, data) {
    if (name === "subscribe") {
      this.channels.add(data.channel);
      this.settle(data.uuid, undefined, data.channel);
    } else if (name === "unsubscribe") {
      this.channels.delete(data.channel);
    } else if (name === "rpc") { // the server calls us
      let resp;
      try {
        resp = { data: await this.handlers.call(data.command, data.args) };
      } catch (error) {
        resp = { error: error.message };
      }
      this.socket.send(JSON.stringify({ rpc: "_rpc", fid: data.fid, resp }));
    }
  }
}

// ---- the chat ----

const $ = (id) => document.getElementById(id);
let room = null;

function show(kind, from, text, at) {
  const line = document.createElement("li");
  line.className = kind;
  const who = document.createElement("b");
  who.textContent = from + " ";
  line.append(who, text);
  if (at) {
    const time = document.createElement("time");
    time.textContent = " " + new Date(at * 1000).toLocaleTimeString();
    line.append(time);
  }
  $("messages").append(line);
  line.scrollIntoView({ block: "nearest" });
}

const client = new Client({
  message(channel, m) {
    if (channel === room) show(m.whisper ? "whisper" : m.notice ? "notice" : "said", m.from, m.text, m.at);
  },
  call(name, args) {
    if (name !== "prompt") throw new Error("no such function");
    return ask(args.question);
  },
  status(text, isBad) {
    $("status").textContent = text;
    $("status").classList.toggle("bad", isBad);
  },
});

// What the user types into the dialog that the server asked for.
function ask(question) {
  $("question").textContent = question;
  $("answer").value = "";
  $("prompt").showModal();
  return new Promise((resolve, reject) => {
    $("prompt").onclose = () => ($("answer").value ? resolve($("answer").value) : reject(new Error("no answer")));
  });
}

async function listRooms() {
  const rooms = await client.rpc("rooms");
  $("rooms").replaceChildren(...rooms.map(({ name, people }) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${name} (${people})`;
    button.dataset.room = name;
    button.setAttribute("aria-current", String(name === room));
    button.onclick = () => enter(name);
    item.append(button);
    return item;
  }));
}

async function enter(name) {
  try {
    await client.subscribe(name);
    if (room && room !== name) client.unsubscribe(room);
    room = name;
    $("room").textContent = name;
    $("messages").replaceChildren();
  } catch (error) {
    show("refused", name + ":", error.message);
  }
  await listRooms();
}

$("login").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await client.connect({ name: $("name").value, key: $("key").value });
    const me = await client.rpc("whoami");
    client.handlers.status(`${me.name} (${me.role})`, false);
    $("login").hidden = true;
    $("chat").hidden = false;
    await enter("lobby");
    $("text").focus();
  } catch (error) {
    client.handlers.status(error.message, true);
  }
};

$("say").onsubmit = (event) => {
  event.preventDefault();
  client.publish(room, { text: $("text").value, whisper: $("whisper").checked })
    .catch((error) => show("refused", "refused:", error.message));
  $("text").value = "";
};

$("refresh").onclick = listRooms;
$("ask").onclick = () => client.rpc("ask.colour", room)
  .then((text) => show("notice", "server", text))
  .catch((error) => show("refused", "server", error.message));
