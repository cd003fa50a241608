import { describe, expect, it } from "vitest";

import { priceOf, Stock } from "../../sdk/shelf";
import type { Bodies, EventKind, EventOf, RoomEvent } from "../../sdk/types";
import { notice } from "./events";

function event<K extends EventKind>(kind: K, body: Bodies[K]): EventOf<K> {
  return { ...notice(1), kind, body } as unknown as EventOf<K>;
}

function after(...events: RoomEvent[]): Stock {
  const stock = new Stock();
  for (const one of events) stock.apply(one);
  return stock;
}

const TEA = event("shop.product", { product: "tea", title: "Tea", amount: 999, currency: "CNY", limit: 2, listed: true, rev: 1 });
const SALE = event("shop.sale", {
  ...{ sale: "flash", product: "tea", amount: 500, currency: "CNY", total: 10, limit: 1, sync: "frame+hold", rev: 1 },
  opens_ms: 1_000,
  closes_ms: 2_000,
});

describe("the shelf", () => {
  it("has what was defined, and how much is left, whichever was told first", () => {
    const count = event("shop.stock", { product: "tea", left: 3, rev: 2 });
    for (const { shelf } of [after(TEA, count), after(count, TEA)]) {
      expect(shelf.products.get("tea")).toMatchObject({ title: "Tea", amount: 999, left: 3, limit: 2, listed: true });
    }
    expect(after(count).shelf.products.size).toBe(0);
  });

  it("knows what is being explained", () => {
    const stock = after(event("product.show", { product: "tea", title: "Tea", stock: 5 }));
    expect(stock.shelf.explained).toBe("tea");
    expect(stock.shelf.products.get("tea")).toMatchObject({ title: "Tea", left: 5, amount: null });
    stock.apply(event("product.hide", { product: "coffee" }));
    expect(stock.shelf.explained).toBe("tea");
    stock.apply(event("product.hide", {}));
    expect(stock.shelf.explained).toBeNull();
  });

  it("has prices and the ones before", () => {
    const { shelf } = after(TEA, event("price", { product: "tea", amount: 799, currency: "CNY", was: 999 }));
    expect(shelf.products.get("tea")).toMatchObject({ amount: 799, was: 999, title: "Tea" });
    expect(priceOf(shelf, "tea")).toEqual({ product: "tea", amount: 799, currency: "CNY" });
    expect(priceOf(shelf, "coffee")).toBeNull();
  });

  it("has sales with their window and phase, and their price", () => {
    const stock = after(TEA, event("shop.stock", { sale: "flash", left: 4, rev: 1, phase: "open" }), SALE);
    expect(stock.shelf.sales.get("flash")).toMatchObject({ opensWallMs: 1_000, closesWallMs: 2_000, left: 4, phase: "open" });
    expect(priceOf(stock.shelf, "flash")).toEqual({ product: "tea", sale: "flash", amount: 500, currency: "CNY" });
    stock.apply(event("shop.stock", { sale: "flash", left: 0, rev: 2 }));
    expect(stock.shelf.sales.get("flash")).toMatchObject({ left: 0, phase: "open" });
    stock.apply(event("shop.sale", { sale: "flash", removed: true }));
    expect(stock.shelf.sales.size).toBe(0);
  });

  it("is another object when it has changed, and the same when not", () => {
    const stock = after(TEA);
    const before = stock.shelf;
    expect(stock.apply(notice(2))).toBe(false);
    expect(stock.shelf).toBe(before);
    expect(stock.apply(SALE)).toBe(true);
    expect(before.sales.size).toBe(0);
  });
});
