// Buying: a promise that is kept or refused, and never left open by the network (docs/shop.md).

import * as refusals from "./refusal";
import { Refused } from "./refusal";
import type { Requests } from "./requests";
import type { Fields } from "./room_wire";
import { priceOf } from "./shelf";
import type { Buying, BuyMore, Item, Order, Purchase, Refusal, Shelf } from "./types";

export class Desk {
  readonly #requests: Requests;
  readonly #shelf: () => Shelf;
  readonly #tell: (buying: Buying) => void;

  constructor(requests: Requests, shelf: () => Shelf, tell: (buying: Buying) => void) {
    this.#requests = requests;
    this.#shelf = shelf;
    this.#tell = tell;
  }

  async buy(item: string | Item, quantity: number, more: BuyMore): Promise<Purchase> {
    const idempotencyKey = more.idempotencyKey ?? newKey();
    const wanted = typeof item === "string" ? priceOf(this.#shelf(), item) : item;
    if (wanted === null) return no(idempotencyKey, this.#requests.refusal(refusals.NO_PRICE));
    const coupon = more.coupon ?? ("coupon" in wanted ? wanted.coupon : undefined);
    const { product, sale, amount, currency } = wanted;
    const message = { type: "buy", id: idempotencyKey, product, amount, currency, quantity };
    const full = { ...message, ...(sale ? { sale } : {}), ...(coupon ? { coupon } : {}) };
    const answer = await this.#ask(full, idempotencyKey, more.signal);
    if (isRefusal(answer)) return no(idempotencyKey, answer);
    return { ok: true, idempotencyKey, order: this.#read(answer) };
  }

  /** Asking about an order, or giving it back, changes nothing when it is repeated. */
  async order(type: "order" | "cancel", order: string): Promise<Order> {
    const answer = await this.#requests.untilAnswered({ type, order }, () => undefined);
    if (isRefusal(answer)) throw new Refused(answer);
    return this.#read(answer);
  }

  async claim(coupon: string, more: BuyMore): Promise<{ coupon: string; duplicate: boolean }> {
    const id = more.idempotencyKey ?? newKey();
    const answer = await this.#ask({ type: "claim", coupon, id }, id, more.signal);
    if (isRefusal(answer)) throw new Refused(answer);
    return { coupon, duplicate: answer["duplicate"] === true };
  }

  async enter(lottery: string): Promise<{ lottery: string; place: number; duplicate: boolean }> {
    const answer = await this.#requests.untilAnswered({ type: "enter", lottery }, () => undefined);
    if (isRefusal(answer)) throw new Refused(answer);
    return { lottery, place: Number(answer["place"]), duplicate: answer["duplicate"] === true };
  }

  /** A yes that cannot be read is not a no. */
  #read(answer: Fields): Order {
    const order = readOrder(answer);
    if (order === null) throw new Refused(this.#requests.refusal(refusals.UNREADABLE));
    return order;
  }

  async #ask(message: Fields, idempotencyKey: string, signal?: AbortSignal): Promise<Fields | Refusal> {
    let attempts = 0;
    const progress = (phase: Buying["phase"]): void => {
      if (phase === "sent") attempts++;
      this.#tell({ idempotencyKey, phase, attempts });
    };
    try {
      return await this.#requests.untilAnswered(message, progress, signal);
    } finally {
      progress("answered");
    }
  }
}

/** A new one for each decision to buy. `randomUUID` is there on secure pages alone. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function readOrder(answer: Fields): Order | null {
  const { order, product, sale, quantity, total, currency, state, expires_ms: expiresWallMs, duplicate } = answer;
  if (typeof order !== "string" || !isState(state)) return null;
  return {
    order,
    product: text(product),
    sale: text(sale) || null,
    quantity: Number(quantity ?? 1),
    total: Number(total ?? 0),
    currency: text(currency),
    state,
    expiresWallMs: Number(expiresWallMs ?? 0),
    duplicate: duplicate === true,
  };
}

function no(idempotencyKey: string, refusal: Refusal): Purchase {
  return { ok: false, idempotencyKey, refusal };
}

function isRefusal(answer: Fields | Refusal): answer is Refusal {
  return "mayRetry" in answer;
}

function isState(state: unknown): state is Order["state"] {
  return state === "reserved" || state === "confirmed" || state === "released" || state === "expired";
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
