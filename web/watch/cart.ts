// What a buyer is about to decide: how many, with which coupon, for how much. Plain arithmetic, as the shop does it.

import type { Shelf } from "../sdk/types";
import type { Offer } from "./offer";

type Coupon = Shelf["coupons"] extends ReadonlyMap<string, infer One> ? One : never;

/** Units in one order (docs/shop.md). */
const LONGEST_ORDER = 1_000;

/** How many of an offer one buyer can ask for; at least 1. */
export function most({ limit, left }: Offer): number {
  return Math.max(1, Math.min(limit || LONGEST_ORDER, left ?? LONGEST_ORDER, LONGEST_ORDER));
}

/** Whether a coupon takes something off `quantity` of this offer at `nowWallMs`. */
export function fits(coupon: Coupon, offer: Offer, quantity: number, nowWallMs: number): boolean {
  const { product, currency, minimum, opens_ms, closes_ms } = coupon;
  const priced = offer.amount !== null && offer.currency === currency;
  const meant = product === undefined || product === offer.product;
  const enough = priced && (offer.amount ?? 0) * quantity >= minimum;
  return meant && enough && nowWallMs >= opens_ms && nowWallMs < closes_ms;
}

/** In minor units; a coupon never makes it less than nothing. */
export function total(offer: Offer, quantity: number, coupon: Coupon | null): number {
  return Math.max(0, (offer.amount ?? 0) * quantity - (coupon?.off ?? 0));
}
