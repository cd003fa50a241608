import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Outstanding, read } from "../../watch/outstanding";

const NOW = 1_000_000_000;
const HOUR_MS = 3_600_000;
const decision = { item: { product: "tea", sale: "flash", amount: 600, currency: "CNY", coupon: "c" }, quantity: 2, total: 700 };

describe("a purchase without an answer", () => {
  const kept = new Map<string, string>();

  beforeEach(() => {
    kept.clear();
    vi.stubGlobal("sessionStorage", {
      getItem: (name: string) => kept.get(name) ?? null,
      setItem: (name: string, value: string) => void kept.set(name, value),
      removeItem: (name: string) => void kept.delete(name),
    });
  });
  afterEach(() => void vi.unstubAllGlobals());

  it("is there after a reload, with its key, in its room alone", () => {
    const asked = new Outstanding("a").begin(decision);
    expect(asked).toMatchObject(decision);
    expect(new Outstanding("a").asked).toEqual(asked);
    expect(new Outstanding("b").asked).toBeNull();
  });

  it("is forgotten with its answer, and the next one has another key", () => {
    const before = new Outstanding("a");
    const { key } = before.begin(decision);
    before.end();
    expect([before.asked, kept.size]).toEqual([null, 0]);
    expect(new Outstanding("a").asked).toBeNull();
    expect(before.begin(decision).key).not.toBe(key);
  });

  it("holds until the page is closed where the browser keeps nothing", () => {
    vi.stubGlobal("sessionStorage", undefined);
    const outstanding = new Outstanding("a");
    expect(outstanding.asked).toBeNull();
    const asked = outstanding.begin(decision);
    expect(outstanding.asked).toBe(asked);
    outstanding.end();
    expect(outstanding.asked).toBeNull();
  });
});

describe("what was kept", () => {
  const good = { key: "9f3c", askedWallMs: NOW, ...decision };

  it("is read as it was written, and no more than that", () => {
    expect(read(JSON.stringify({ ...good, name: "ann" }), NOW + HOUR_MS)).toEqual(good);
    const plain = { product: "tea", amount: 0, currency: "CNY" };
    expect(read(JSON.stringify({ ...good, item: { ...plain, sale: null } }), NOW)?.item).toEqual(plain);
  });

  it.each([
    ["nothing", null],
    ["no JSON", "{"],
    ["a number", "7"],
    ["null", "null"],
    ["an empty object", "{}"],
    ["an old purchase", JSON.stringify({ ...good, askedWallMs: NOW - HOUR_MS - 1 })],
    ["one of the future", JSON.stringify({ ...good, askedWallMs: NOW + HOUR_MS + 1 })],
    ["no time", JSON.stringify({ ...good, askedWallMs: "yesterday" })],
    ["no key", JSON.stringify({ ...good, key: undefined })],
    ["an empty key", JSON.stringify({ ...good, key: "" })],
    ["a key that the shop does not take", JSON.stringify({ ...good, key: "a b" })],
    ["a long key", JSON.stringify({ ...good, key: "k".repeat(65) })],
    ["none of it", JSON.stringify({ ...good, quantity: 0 })],
    ["half of it", JSON.stringify({ ...good, quantity: 0.5 })],
    ["a price below nothing", JSON.stringify({ ...good, item: { ...decision.item, amount: -1 } })],
    ["no currency", JSON.stringify({ ...good, item: { ...decision.item, currency: 1 } })],
    ["no product", JSON.stringify({ ...good, item: null })],
    ["no total", JSON.stringify({ ...good, total: null })],
  ])("is dropped if it is %s", (_, text) => expect(read(text, NOW)).toBeNull());
});
