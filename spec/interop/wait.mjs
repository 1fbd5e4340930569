// SPDX-License-Identifier: MIT
// Events as promises, with a time after which waiting fails and says for what.

export function within(promise, what, ms = 8000) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A queue that is awaited: put() what happened, take() the next, in order.
export class Mailbox {
  constructor(name) {
    this.name = name;
    this.items = [];
    this.takers = [];
  }

  put(item) {
    const taker = this.takers.shift();
    if (taker) taker(item);
    else this.items.push(item);
  }

  take(ms) {
    if (this.items.length) return Promise.resolve(this.items.shift());
    return within(new Promise((done) => this.takers.push(done)), this.name, ms);
  }

  async takeAll(count, ms) {
    const all = [];
    while (all.length < count) all.push(await this.take(ms));
    return all;
  }
}
