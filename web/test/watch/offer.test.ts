import { describe, expect, it } from "vitest";

import type { Shelf, ShelfProduct, ShelfSale } from "../../sdk/types";
import { decide, fits, isSame, most, total } from "../../watch/cart";
import { offerOf, standingOf, upcoming } from "../../watch/offer";

const NOW = 1_000_000;

const tea: ShelfProduct = {
  product: "tea",
  title: "Tea",
  image: null,
  link: null,
  amount: 1_000,
  currency: "CNY",
  was: null,
  left: 10,
  limit: 0,
  listed: true,
};

function sale(change: Partial<ShelfSale> = {}): ShelfSale {
  return {
    sale: "flash",
    product: "tea",
    amount: 600,
    currency: "CNY",
    total: 5,
    left: 5,
    limit: 1,
    sync: "frame",
    opensWallMs: NOW - 1_000,
    closesWallMs: NOW + 60_000,
    phase: "open",
    ...change,
  };
}

function shelf(product: Partial<ShelfProduct> = {}, ...sales: readonly ShelfSale[]): Shelf {
  return {
    products: new Map([["tea", { ...tea, ...product }]]),
    sales: new Map(sales.map((one) => [one.sale, one])),
    coupons: new Map(),
    lotteries: new Map(),
    explained: null,
  };
}

describe("an offer", () => {
  it("is the product at its usual price", () => {
    expect(offerOf(shelf(), "tea", NOW)).toMatchObject({ amount: 1_000, standing: "open", sale: null, was: null, left: 10 });
    expect(offerOf(shelf(), "coffee", NOW)).toBeNull();
  });

  it("is called by its name where it has no title", () => {
    expect(offerOf(shelf({ title: null }), "tea", NOW)?.title).toBe("tea");
  });

  it.each([
    [{ left: 0 }, "soldout"],
    [{ left: null }, "open"],
    [{ listed: false }, "closed"],
    [{ amount: null, currency: null }, "closed"],
  ] as const)("with %o stands %s", (change, standing) => {
    expect(offerOf(shelf(change), "tea", NOW)?.standing).toBe(standing);
  });

  it("is the sale while one runs, with the usual price beside it", () => {
    expect(offerOf(shelf({}, sale()), "tea", NOW)).toMatchObject({ amount: 600, was: 1_000, left: 5, limit: 1, standing: "open" });
  });

  it("has no more in a sale than there is of the product", () => {
    expect(offerOf(shelf({ left: 2 }, sale()), "tea", NOW)?.left).toBe(2);
    expect(offerOf(shelf({ left: 0 }, sale()), "tea", NOW)?.standing).toBe("soldout");
  });

  it("compares no prices of different currencies", () => {
    expect(offerOf(shelf({ currency: "USD" }, sale()), "tea", NOW)?.was).toBeNull();
  });

  it("is the cheapest of several sales", () => {
    const cheap = sale({ sale: "cheap", amount: 500 });
    expect(offerOf(shelf({}, sale(), cheap), "tea", NOW)?.sale?.sale).toBe("cheap");
  });

  it("waits for a sale that opens soon, and not for one tomorrow", () => {
    const soon = sale({ opensWallMs: NOW + 5_000, phase: "soon" });
    expect(offerOf(shelf({}, soon), "tea", NOW)).toMatchObject({ standing: "soon", opensWallMs: NOW + 5_000, amount: 600 });
    const tomorrow = sale({ opensWallMs: NOW + 86_400_000, closesWallMs: NOW + 90_000_000, phase: "soon" });
    expect(offerOf(shelf({}, tomorrow), "tea", NOW)).toMatchObject({ standing: "open", amount: 1_000 });
    expect(offerOf(shelf({ listed: false }, tomorrow), "tea", NOW)?.standing).toBe("soon");
  });

  it("is the usual price again when a sale is sold out or over, or nothing where it was for the sale only", () => {
    const gone = sale({ left: 0 });
    const over = sale({ phase: "over" });
    expect(offerOf(shelf({}, gone), "tea", NOW)?.amount).toBe(1_000);
    expect(offerOf(shelf({}, over), "tea", NOW)?.amount).toBe(1_000);
    expect(offerOf(shelf({ listed: false }, gone), "tea", NOW)?.standing).toBe("soldout");
    expect(offerOf(shelf({ listed: false }, over), "tea", NOW)?.standing).toBe("over");
  });

  it("goes by the clock, and not by the word that comes a moment later", () => {
    const turning = sale({ opensWallMs: NOW, phase: "soon" });
    expect([standingOf(turning, NOW - 1), standingOf(turning, NOW), standingOf(turning, NOW + 60_000)]).toEqual(["soon", "open", "over"]);
  });

  it("can be one that is only announced", () => {
    const body = { sale: "flash", product: "tea", amount: 600, currency: "CNY", total: 5, limit: 1, sync: "wall", rev: 1 } as const;
    const announced = upcoming({ ...body, opens_ms: NOW + 9_000, closes_ms: NOW + 20_000 });
    expect(offerOf(shelf({}, announced), "tea", NOW)).toMatchObject({ standing: "soon", opensWallMs: NOW + 9_000, left: 10 });
  });
});

describe("a cart", () => {
  const offer = offerOf(shelf(), "tea", NOW);
  if (!offer) throw new Error("the shelf has tea");
  const coupon = {
    ...{ coupon: "c", off: 500, currency: "CNY", minimum: 2_000, total: 9, limit: 1, rev: 1, left: 9, phase: "open" as const },
    ...{ opens_ms: NOW - 1, closes_ms: NOW + 1_000 },
  };

  it("holds what the buyer's limit and the stock allow, and at least one", () => {
    expect([most(offer), most({ ...offer, limit: 2 }), most({ ...offer, left: 0 }), most({ ...offer, left: null })]).toEqual([10, 2, 1, 1_000]);
  });

  it("takes a coupon from its minimum on, for its product, currency and time", () => {
    expect([fits(coupon, offer, 1, NOW), fits(coupon, offer, 2, NOW)]).toEqual([false, true]);
    expect(fits({ ...coupon, product: "cup" }, offer, 2, NOW)).toBe(false);
    expect(fits({ ...coupon, product: "tea" }, offer, 2, NOW)).toBe(true);
    expect(fits({ ...coupon, currency: "USD" }, offer, 2, NOW)).toBe(false);
    expect(fits(coupon, offer, 2, NOW + 1_000)).toBe(false);
  });

  it("never costs less than nothing", () => {
    expect([total(offer, 2, null), total(offer, 2, coupon), total(offer, 1, { ...coupon, off: 5_000 })]).toEqual([2_000, 1_500, 0]);
  });

  it("is bought at the price that was shown, and in its sale", () => {
    const item = { product: "tea", amount: 1_000, currency: "CNY", coupon: "c" };
    expect(decide(offer, 2, coupon)).toEqual({ item, quantity: 2, total: 1_500 });
    const flash = offerOf(shelf({}, sale()), "tea", NOW);
    expect(flash && decide(flash, 1, null)?.item).toEqual({ product: "tea", sale: "flash", amount: 600, currency: "CNY" });
  });

  it.each([[{ standing: "soldout" }], [{ standing: "soon" }], [{ amount: null }], [{ currency: null }]] as const)(
    "cannot be bought with %o",
    (change) => expect(decide({ ...offer, ...change }, 1, null)).toBeNull(),
  );

  it("is another decision in another sale, for other money, or for another number", () => {
    const known = shelf({}, sale());
    const at = (nowWallMs: number, quantity = 1): NonNullable<ReturnType<typeof decide>> => {
      const found = offerOf(known, "tea", nowWallMs);
      const decision = found && decide(found, quantity, null);
      if (!decision) throw new Error("it can be bought");
      return decision;
    };
    expect(isSame(at(NOW), at(NOW + 59_999))).toBe(true);
    expect(isSame(at(NOW), at(NOW + 60_000))).toBe(false); // the sale is over: the usual price
    expect(isSame(at(NOW), at(NOW, 2))).toBe(false);
    const usual = at(NOW + 60_000);
    expect(isSame(usual, { ...usual, item: { ...usual.item, currency: "USD" } })).toBe(false);
    expect(isSame(usual, { ...usual, total: 1 })).toBe(false);
  });
});
