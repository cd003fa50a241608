import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Order, Session } from "../../sdk/types";
import { Orders } from "../../watch/orders";

const ROUND_MS = 5_000;

function reserved(order: string): Order {
  const bought = { product: "tea", sale: null, quantity: 1, total: 999, currency: "CNY" };
  return { order, ...bought, state: "reserved", expiresWallMs: 1_000_000, duplicate: false };
}

/** A shop that answers when it is told to. */
class Shop {
  readonly asked: string[] = [];
  readonly #answers: ((answer: Order | Error) => void)[] = [];

  get session(): Session {
    const order = (id: string): Promise<Order> => {
      this.asked.push(id);
      return new Promise((resolve, reject) => {
        this.#answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
      });
    };
    return { room: "a", state: { room: { phase: "joined" } }, order } as unknown as Session;
  }

  async answer(answer: Order | Error): Promise<void> {
    this.#answers.shift()?.(answer);
    await vi.advanceTimersByTimeAsync(0);
  }
}

describe("orders that wait for their payment", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("document", { hidden: false });
    vi.stubGlobal("sessionStorage", undefined);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("are asked about one round at a time, however long the shop is away", async () => {
    const shop = new Shop();
    const orders = new Orders(shop.session);
    for (const id of ["1", "2"]) orders.keep(reserved(id));
    await vi.advanceTimersByTimeAsync(20 * ROUND_MS);
    expect(shop.asked).toEqual(["2"]);
    await shop.answer(reserved("2"));
    await shop.answer({ ...reserved("1"), state: "confirmed" });
    expect(shop.asked).toEqual(["2", "1"]);
    expect(orders.get("1")?.state).toBe("confirmed");
    await vi.advanceTimersByTimeAsync(ROUND_MS - 1);
    expect(shop.asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(shop.asked).toEqual(["2", "1", "2"]);
  });

  it("are asked about again after a no, and not while nobody looks", async () => {
    const shop = new Shop();
    const orders = new Orders(shop.session);
    orders.keep(reserved("1"));
    await vi.advanceTimersByTimeAsync(ROUND_MS);
    await shop.answer(new Error("no such order"));
    vi.stubGlobal("document", { hidden: true });
    await vi.advanceTimersByTimeAsync(3 * ROUND_MS);
    expect(shop.asked).toHaveLength(1);
    vi.stubGlobal("document", { hidden: false });
    await vi.advanceTimersByTimeAsync(ROUND_MS);
    expect(shop.asked).toHaveLength(2);
  });
});
