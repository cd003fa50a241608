// One's own orders of this visit, and the coupons that were taken: kept for the tab, so that a reload forgets nothing.

import type { Order, Session } from "../sdk/types";

const MAX = 20;
/** Between two rounds of asking the shop about the orders that wait for their payment. */
const ASK_MS = 5_000;

export class Orders {
  readonly #session: Session;
  readonly #key: string;
  readonly #changed: (() => void)[] = [];
  readonly #coupons: Set<string>;
  #orders: readonly Order[];

  constructor(session: Session) {
    this.#session = session;
    this.#key = `streamer.orders.${session.room}`;
    const kept = read(this.#key);
    this.#orders = kept.orders;
    this.#coupons = new Set(kept.coupons);
    this.#askLater();
  }

  /** The latest first. */
  get all(): readonly Order[] {
    return this.#orders;
  }

  get(order: string): Order | undefined {
    return this.#orders.find((known) => known.order === order);
  }

  onChange(hear: () => void): void {
    this.#changed.push(hear);
  }

  keep(order: Order): void {
    this.#orders = [order, ...this.#orders.filter((known) => known.order !== order.order)].slice(0, MAX);
    this.#tell();
  }

  hasCoupon(coupon: string): boolean {
    return this.#coupons.has(coupon);
  }

  keepCoupon(coupon: string): void {
    this.#coupons.add(coupon);
    this.#tell();
  }

  /** Used in an order. */
  dropCoupon(coupon: string): void {
    if (this.#coupons.delete(coupon)) this.#tell();
  }

  #update(order: Order): void {
    const before = this.get(order.order);
    if (!before || before.state === order.state) return;
    this.#orders = this.#orders.map((known) => (known.order === order.order ? order : known));
    this.#tell();
  }

  /** One round at a time: while the shop is away, a question is repeated until it is back. */
  #askLater(): void {
    setTimeout(() => void this.#askAll().finally(() => this.#askLater()), ASK_MS);
  }

  async #askAll(): Promise<void> {
    const { phase } = this.#session.state.room;
    if (document.hidden || (phase !== "joined" && phase !== "polling")) return;
    for (const { order, state } of this.#orders) {
      if (state !== "reserved") continue;
      try {
        this.#update(await this.#session.order(order));
      } catch {
        // It is asked again; nothing that a viewer could do depends on it.
      }
    }
  }

  #tell(): void {
    try {
      sessionStorage.setItem(this.#key, JSON.stringify({ orders: this.#orders, coupons: [...this.#coupons] }));
    } catch {
      // The browser keeps nothing for this site: the list is there until the page is closed.
    }
    for (const tell of this.#changed) tell();
  }
}

interface Kept {
  readonly orders: readonly Order[];
  readonly coupons: readonly string[];
}

function read(key: string): Kept {
  try {
    const value = JSON.parse(sessionStorage.getItem(key) ?? "null") as Partial<Kept> | null;
    return { orders: Array.isArray(value?.orders) ? value.orders : [], coupons: Array.isArray(value?.coupons) ? value.coupons : [] };
  } catch {
    return { orders: [], coupons: [] }; // nothing kept, or by another version of the page
  }
}
