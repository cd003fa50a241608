// A purchase that was asked for and has no answer yet. It is kept for the tab, so that after a reload the same is asked
// for again, with the same key, and nobody buys twice.

import type { Item } from "../sdk/types";
import type { Decision } from "./cart";

export interface Asked extends Decision {
  /** The decision's idempotency key. */
  readonly key: string;
  /** By this browser's own clock. */
  readonly askedWallMs: number;
}

/** For so long at least the shop knows what it has answered to a key (`shop.order_kept_s`). */
const LONGEST_MS = 3_600_000;
/** What the shop takes as a key (docs/shop.md). */
const KEY = /^[\w.:-]{1,64}$/;

export class Outstanding {
  readonly #name: string;
  #asked: Asked | null;

  constructor(room: string) {
    this.#name = `streamer.buying.${room}`;
    this.#asked = read(stored(this.#name), Date.now());
  }

  get asked(): Asked | null {
    return this.#asked;
  }

  /** To be called before it is asked for: from then on the shop may have sold it. */
  begin({ item, quantity, total }: Decision): Asked {
    const key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const asked = { key, askedWallMs: Date.now(), item, quantity, total };
    this.#asked = asked;
    try {
      sessionStorage.setItem(this.#name, JSON.stringify(asked));
    } catch {
      // The browser keeps nothing for this site: it is known until the page is closed.
    }
    return asked;
  }

  /** There is an answer. */
  end(): void {
    this.#asked = null;
    try {
      sessionStorage.removeItem(this.#name);
    } catch {
      // nothing was kept
    }
  }
}

/** What `text` holds; null where that is nothing, too old, or by another version of the page. */
export function read(text: string | null, nowWallMs: number): Asked | null {
  const { key, askedWallMs, item, quantity, total } = fields(text);
  const wanted = readItem(item);
  if (typeof key !== "string" || !KEY.test(key) || wanted === null) return null;
  if (!isWhole(quantity) || quantity === 0 || !isWhole(total) || !isWhole(askedWallMs)) return null;
  if (Math.abs(nowWallMs - askedWallMs) > LONGEST_MS) return null;
  return { key, askedWallMs, item: wanted, quantity, total };
}

function readItem(value: unknown): Item | null {
  const { product, sale, amount, currency, coupon } = asFields(value);
  if (typeof product !== "string" || !isWhole(amount) || typeof currency !== "string") return null;
  const more = {
    ...(typeof sale === "string" ? { sale } : {}),
    ...(typeof coupon === "string" ? { coupon } : {}),
  };
  return { product, amount, currency, ...more };
}

function fields(text: string | null): Record<string, unknown> {
  try {
    return asFields(JSON.parse(text ?? "null"));
  } catch {
    return {}; // not JSON
  }
}

function asFields(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function stored(name: string): string | null {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null; // the browser keeps nothing for this site
  }
}
