// What a buyer is about to decide: how many, with which coupon, for how much. Plain arithmetic, as the shop does it.

import type { Item, Shelf } from "../sdk/types";
import type { Offer } from "./offer";

type Coupon = Shelf["coupons"] extends ReadonlyMap<string, infer One> ? One : never;

/** Units in one order (docs/shop.md). */
const LONGEST_ORDER = 1_000;

/** What stands on the button, and is bought when it is pressed. */
export interface Decision {
  readonly item: Item;
  readonly quantity: number;
  /** In minor units, with the coupon taken off. */
  readonly total: number;
}

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

/** Null where the offer cannot be bought. */
export function decide(offer: Offer, quantity: number, coupon: Coupon | null): Decision | null {
  const { product, sale, amount, currency, standing } = offer;
  if (standing !== "open" || amount === null || currency === null) return null;
  const more = { ...(sale ? { sale: sale.sale } : {}), ...(coupon ? { coupon: coupon.coupon } : {}) };
  return { item: { product, amount, currency, ...more }, quantity, total: total(offer, quantity, coupon) };
}

/** Whether who saw the one has seen the other: the same things, in the same sale, for the same money. */
export function isSame(one: Decision, other: Decision): boolean {
  const parts = ({ item, quantity, total: sum }: Decision): unknown[] => {
    const { product, sale, amount, currency, coupon } = item;
    return [product, sale, amount, currency, coupon, quantity, sum];
  };
  const others = parts(other);
  return parts(one).every((part, index) => part === others[index]);
}
