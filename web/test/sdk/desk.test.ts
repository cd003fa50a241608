import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { LinkLost } from "../../sdk/channel";
import { Desk } from "../../sdk/desk";
import { Refused } from "../../sdk/refusal";
import { type Asker, Requests } from "../../sdk/requests";
import type { Fields } from "../../sdk/room_wire";
import { EMPTY } from "../../sdk/shelf";
import type { Buying, Shelf } from "../../sdk/types";
import { random } from "./random";

const TEA = { product: "tea", amount: 999, currency: "CNY" };
const error = (code: number): Fields => ({ type: "error", code, name: "n", text: "the numbers" });

/** A shop that is exactly as docs/shop.md says, behind a network that loses what it likes. */
class Shop implements Asker {
  isJoined = true;
  over: Asker["over"] = null;
  left = 1;
  readonly orders = new Map<string, string>();
  readonly asked: Fields[] = [];
  fate: () => "answer" | "lost before" | "lost after" | "too fast" | "unavailable" = () => "answer";

  async ask(message: Fields): Promise<Fields> {
    this.asked.push(message);
    const fate = this.fate();
    if (fate === "lost before") throw new LinkLost();
    if (fate === "too fast") return error(1002);
    if (fate === "unavailable") return error(1001);
    const answer = this.#sell(String(message["id"]));
    if (fate === "lost after") throw new LinkLost();
    return answer;
  }

  #sell(id: string): Fields {
    const duplicate = this.orders.has(id);
    if (!duplicate && this.left === 0) return error(1121);
    if (!duplicate) {
      this.left--;
      this.orders.set(id, `o${this.orders.size}`);
    }
    return { type: "order", ...TEA, order: this.orders.get(id), total: 999, quantity: 1, state: "reserved", expires_ms: 5, duplicate };
  }
}

function desk(shop: Asker, shelf: Shelf = EMPTY) {
  const requests = new Requests(shop, "en");
  const told: Buying[] = [];
  return { requests, told, desk: new Desk(requests, () => shelf, (buying) => told.push(buying)) };
}

describe("buying", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("is a yes with an order and its deadline", async () => {
    const { desk: buyer, told } = desk(new Shop());
    const bought = await buyer.buy(TEA, 1, { idempotencyKey: "k" });
    expect(bought).toMatchObject({ ok: true, idempotencyKey: "k", order: { order: "o0", expiresWallMs: 5, sale: null } });
    expect(told.map(({ phase, attempts }) => [phase, attempts])).toEqual([
      ["sent", 1],
      ["answered", 1],
    ]);
  });

  it("is a no in plain words, with the number", async () => {
    const shop = new Shop();
    shop.left = 0;
    const bought = await desk(shop).desk.buy(TEA, 1, {});
    expect(bought).toMatchObject({ ok: false, refusal: { code: 1121, text: "Sold out.", detail: "the numbers", mayRetry: false } });
  });

  it("takes the price from the shelf that the viewer saw, and asks nothing without one", async () => {
    const shop = new Shop();
    const known = { title: "", image: null, link: null, was: null, left: null, limit: 0, listed: true };
    const shelf = { ...EMPTY, products: new Map([["tea", { ...TEA, ...known }]]) };
    await desk(shop, shelf).desk.buy("tea", 2, { coupon: "five" });
    expect(shop.asked[0]).toMatchObject({ type: "buy", ...TEA, quantity: 2, coupon: "five" });
    expect(await desk(shop, shelf).desk.buy("coffee", 1, {})).toMatchObject({ ok: false, refusal: { code: 13 } });
    expect(shop.asked.length).toBe(1);
  });

  it("is answered truly and once, whatever the network does", async () => {
    for (let run = 0; run < 100; run++) {
      const next = random(run);
      const shop = new Shop();
      shop.left = Math.floor(next() * 3);
      const stock = shop.left;
      const fates = ["lost before", "lost after", "too fast", "unavailable"] as const;
      shop.fate = () => (next() < 0.6 ? (fates[Math.floor(next() * 4)] ?? "answer") : "answer");
      const answers = Promise.all(Array.from({ length: 4 }, () => desk(shop).desk.buy(TEA, 1, {})));
      await vi.runAllTimersAsync();
      const bought = await answers;
      expect(bought.filter(({ ok }) => ok).length).toBe(stock);
      expect(shop.orders.size).toBe(stock);
      for (const one of bought) expect(shop.orders.has(one.idempotencyKey)).toBe(one.ok);
    }
  });

  it("waits for the room, and goes on as soon as it is joined", async () => {
    const shop = new Shop();
    shop.isJoined = false;
    const { desk: buyer, requests, told } = desk(shop);
    const bought = buyer.buy(TEA, 1, {});
    await vi.advanceTimersByTimeAsync(1);
    expect([shop.asked.length, told.at(-1)?.phase, told.at(-1)?.attempts]).toEqual([0, "waiting", 0]);
    shop.isJoined = true;
    requests.wake();
    expect(await bought).toMatchObject({ ok: true });
  });

  it("says that it was given up, which is no answer", async () => {
    const shop = new Shop();
    shop.fate = () => "lost after";
    const { desk: buyer, requests } = desk(shop);
    const giveUp = new AbortController();
    const first = buyer.buy(TEA, 1, { signal: giveUp.signal }).catch((no: unknown) => no);
    const second = buyer.buy(TEA, 1, {}).catch((no: unknown) => no);
    await vi.advanceTimersByTimeAsync(1);
    giveUp.abort();
    const aborted = await first;
    requests.close();
    const closed = await second;
    expect(aborted).toBeInstanceOf(Refused);
    expect([(aborted as Refused).refusal.code, (closed as Refused).refusal.code]).toEqual([11, 10]);
  });

  it("is a no when the room is over before it could be sent", async () => {
    const shop = new Shop();
    shop.isJoined = false;
    const { desk: buyer, requests, told } = desk(shop);
    const bought = buyer.buy(TEA, 1, {});
    const entered = buyer.enter("draw").catch((no: unknown) => no);
    await vi.advanceTimersByTimeAsync(1);
    shop.over = "token";
    requests.wake();
    expect(await bought).toMatchObject({ ok: false, refusal: { code: 1110, mayRetry: false } });
    expect(await entered).toMatchObject({ refusal: { code: 1110 } });
    expect(told.at(-1)).toMatchObject({ phase: "answered", attempts: 0 });
    shop.over = "no-room";
    await expect(buyer.claim("five", {})).rejects.toMatchObject({ refusal: { code: 1113 } });
    expect(shop.asked).toEqual([]);
  });

  it("is no answer when the room is over after it was sent, nor with the same key again", async () => {
    const shop = new Shop();
    shop.fate = () => "lost after";
    const { desk: buyer, requests } = desk(shop);
    const bought = buyer.buy(TEA, 1, { idempotencyKey: "k" }).catch((no: unknown) => no);
    await vi.advanceTimersByTimeAsync(1);
    [shop.isJoined, shop.over] = [false, "token"];
    requests.wake();
    expect(await bought).toMatchObject({ name: "Refused", refusal: { code: 12, mayRetry: true } });
    await expect(buyer.buy(TEA, 1, { idempotencyKey: "k" })).rejects.toMatchObject({ refusal: { code: 12 } });
    [shop.isJoined, shop.over, shop.fate] = [true, null, () => "answer"];
    expect(await buyer.buy(TEA, 1, { idempotencyKey: "k" })).toMatchObject({ ok: true, order: { duplicate: true } });
    [shop.isJoined, shop.over] = [false, "token"];
    expect(await buyer.buy(TEA, 1, { idempotencyKey: "k" })).toMatchObject({ ok: false, refusal: { code: 1110 } });
    expect(shop.orders.size).toBe(1);
  });

  it("does not call a yes a no because it cannot be read", async () => {
    const order = { type: "order", state: "new in the next version" };
    const shop: Asker = { isJoined: true, over: null, ask: async () => order };
    await expect(desk(shop).desk.buy(TEA, 1, {})).rejects.toMatchObject({ refusal: { code: 14 } });
  });
});

describe("a question that may be asked once only", () => {
  it("is refused in the language of the session", async () => {
    const shop: Asker = { isJoined: true, over: null, ask: async () => error(1109) };
    await expect(new Requests(shop, "zh").once({ type: "send" })).rejects.toMatchObject({
      name: "Refused",
      message: "你已被禁言。",
      refusal: { code: 1109, mayRetry: false },
    });
    const gone: Asker = { isJoined: true, over: null, ask: () => Promise.reject(new LinkLost()) };
    await expect(new Requests(gone, "en").once({ type: "send" })).rejects.toMatchObject({ refusal: { code: 12, mayRetry: true } });
  });
});
