// What a product costs now, and whether it can be bought: outside sales, or in the one that matters most.

import type { SaleBody, Shelf, ShelfProduct, ShelfSale } from "../sdk/types";

export type Standing = "open" | "soon" | "soldout" | "over" | "closed";

export interface Offer {
  readonly product: string;
  readonly title: string;
  readonly image: string | null;
  readonly link: string | null;
  readonly sale: ShelfSale | null;
  readonly amount: number | null;
  readonly currency: string | null;
  readonly was: number | null;
  /** null: not told. */
  readonly left: number | null;
  /** Units per buyer; 0: any number. */
  readonly limit: number;
  /** "soon": opens at `opensWallMs`. "closed": sold in sales only, and there is none. */
  readonly standing: Standing;
  readonly opensWallMs: number | null;
  readonly closesWallMs: number | null;
}

/** A sale that opens later than this does not yet take the place of the usual price. */
const SOON_MS = 10 * 60_000;

/** Null for a product that the shelf does not have. */
export function offerOf(shelf: Shelf, product: string, nowWallMs: number): Offer | null {
  const found = shelf.products.get(product);
  if (!found) return null;
  const sales = [...shelf.sales.values()].filter((sale) => sale.product === product);
  const running = best(sales, (sale) => standingOf(sale, nowWallMs) === "open");
  if (running) return inSale(found, running, "open");
  const next = best(sales, (sale) => standingOf(sale, nowWallMs) === "soon");
  if (next && (!found.listed || next.opensWallMs - nowWallMs <= SOON_MS)) return inSale(found, next, "soon");
  if (found.listed) return usual(found, found.left === 0 ? "soldout" : "open");
  const gone = best(sales, (sale) => standingOf(sale, nowWallMs) === "soldout");
  if (gone) return inSale(found, gone, "soldout");
  const last = best(sales, () => true);
  return last ? inSale(found, last, "over") : usual(found, "closed");
}

/** A sale by wall clock, before its card is due. */
export function upcoming(body: SaleBody): ShelfSale {
  const { sale, product, amount, currency, total, limit, sync, opens_ms, closes_ms } = body;
  const times = { opensWallMs: opens_ms, closesWallMs: closes_ms };
  return { sale, product, amount, currency, total, left: null, limit, sync, ...times, phase: "soon" };
}

/** By the server's clock and not by its word of the phase, which comes a moment later. */
export function standingOf(sale: ShelfSale, nowWallMs: number): Standing {
  if (sale.phase === "over" || nowWallMs >= sale.closesWallMs) return "over";
  if (nowWallMs < sale.opensWallMs) return "soon";
  return sale.left === 0 ? "soldout" : "open";
}

/** The cheapest of them; of those with one price, the one that opens first. */
function best(sales: readonly ShelfSale[], fits: (sale: ShelfSale) => boolean): ShelfSale | null {
  const some = sales.filter(fits);
  some.sort((a, b) => a.amount - b.amount || a.opensWallMs - b.opensWallMs);
  return some[0] ?? null;
}

function usual(product: ShelfProduct, standing: Standing): Offer {
  const { amount, currency, was, left, limit } = product;
  const priced = amount !== null && currency !== null;
  const open = standing === "open" && !priced ? "closed" : standing;
  return { ...head(product), sale: null, amount, currency, was, left, limit, standing: open, opensWallMs: null, closesWallMs: null };
}

function inSale(product: ShelfProduct, sale: ShelfSale, standing: Standing): Offer {
  const { amount, currency, limit, opensWallMs, closesWallMs } = sale;
  const comparable = product.listed && product.currency === currency && product.amount !== null;
  const was = comparable && product.amount !== null && product.amount > amount ? product.amount : null;
  const left = sale.left === null ? product.left : Math.min(sale.left, product.left ?? sale.left);
  const there = standing === "open" && left === 0 ? "soldout" : standing;
  return { ...head(product), sale, amount, currency, was, left, limit, standing: there, opensWallMs, closesWallMs };
}

function head({ product, title, image, link }: ShelfProduct): Pick<Offer, "product" | "title" | "image" | "link"> {
  return { product, title: title ?? product, image, link };
}
