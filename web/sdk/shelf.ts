// What is on sale, as the events that have fired say it. Each change makes a new shelf, so that a page can compare.

import type { Phase, ProductBody, RoomEvent, SaleBody, Shelf, ShelfProduct, ShelfSale, StockBody } from "./types";

export const EMPTY: Shelf = {
  products: new Map(),
  sales: new Map(),
  coupons: new Map(),
  lotteries: new Map(),
  explained: null,
};

const UNKNOWN: Omit<ShelfProduct, "product"> = {
  title: null,
  image: null,
  link: null,
  amount: null,
  currency: null,
  was: null,
  left: null,
  limit: 0,
  listed: false,
};

type Sort = "product" | "sale" | "coupon" | "lottery";
type Shelves = "products" | "sales" | "coupons" | "lotteries";
type Counts = { readonly left: number | null; readonly phase: Phase | null };

const SHELF_OF: Readonly<Record<Sort, Shelves>> = {
  product: "products",
  sale: "sales",
  coupon: "coupons",
  lottery: "lotteries",
};

/** Keeps the shelf. Counts come on arrival, definitions by the picture: a count waits here for what it counts. */
export class Stock {
  #shelf: Shelf = EMPTY;
  readonly #counts = new Map<string, Counts>();

  get shelf(): Shelf {
    return this.#shelf;
  }

  clear(): void {
    this.#shelf = EMPTY;
    this.#counts.clear();
  }

  /** True when the shelf is another one after `event`. */
  apply(event: RoomEvent): boolean {
    const before = this.#shelf;
    this.#apply(event);
    return this.#shelf !== before;
  }

  #apply(event: RoomEvent): void {
    switch (event.kind) {
      case "product.show": {
        const { product, stock, ...given } = event.body;
        this.#change(product, stock === undefined ? given : { ...given, left: stock });
        this.#shelf = { ...this.#shelf, explained: product };
        return;
      }
      case "product.hide":
        return this.#hide(event.body.product ?? null);
      case "price": {
        const { product, amount, currency, was = null } = event.body;
        return this.#change(product, { amount, currency, was });
      }
      case "stock":
        return this.#count(event.body.product, "product", { left: event.body.left, phase: null });
      case "shop.stock":
        return this.#countAny(event.body);
      default:
        return this.#define(event);
    }
  }

  #define(event: RoomEvent): void {
    const { body } = event;
    const sort = SORT_OF[event.kind];
    if (!sort) return;
    const id = (body as Readonly<Record<string, unknown>>)[sort] as string;
    if ("removed" in body) this.#remove(sort, id);
    else if (event.kind === "shop.product") this.#change(id, listing(body as ProductBody));
    else if (event.kind === "shop.sale") this.#put(sort, id, saleOf(body as SaleBody, this.#counted(sort, id)));
    else this.#put(sort, id, { ...body, ...this.#counted(sort, id) });
  }

  #hide(product: string | null): void {
    if (product === null || product === this.#shelf.explained) this.#shelf = { ...this.#shelf, explained: null };
  }

  #change(product: string, fields: { readonly [N in keyof ShelfProduct]?: ShelfProduct[N] | undefined }): void {
    const before = this.#shelf.products.get(product) ?? { ...UNKNOWN, product, left: this.#counted("product", product).left };
    const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
    this.#put("product", product, { ...before, ...given });
  }

  #countAny(body: StockBody): void {
    const sort = SORTS.find((one) => body[one] !== undefined);
    if (sort) this.#count(body[sort] ?? "", sort, { left: body.left, phase: body.phase ?? null });
  }

  #count(id: string, sort: Sort, counts: Counts): void {
    const known = this.#counted(sort, id);
    const next = { left: counts.left, phase: counts.phase ?? known.phase };
    this.#counts.set(`${sort}:${id}`, next);
    const item = this.#shelf[SHELF_OF[sort]].get(id);
    if (item === undefined) return;
    this.#put(sort, id, sort === "product" ? { ...item, left: next.left } : { ...item, ...next });
  }

  #counted(sort: Sort, id: string): Counts {
    return this.#counts.get(`${sort}:${id}`) ?? { left: null, phase: null };
  }

  #put(sort: Sort, id: string, item: unknown): void {
    const shelf = SHELF_OF[sort];
    this.#shelf = { ...this.#shelf, [shelf]: new Map<string, unknown>(this.#shelf[shelf]).set(id, item) };
  }

  #remove(sort: Sort, id: string): void {
    const rest = new Map<string, unknown>(this.#shelf[SHELF_OF[sort]]);
    rest.delete(id);
    this.#shelf = { ...this.#shelf, [SHELF_OF[sort]]: rest };
    if (sort === "product") this.#hide(id);
  }
}

const SORTS: readonly Sort[] = ["product", "sale", "coupon", "lottery"];
const SORT_OF: Readonly<Record<string, Sort>> = {
  "shop.product": "product",
  "shop.sale": "sale",
  "shop.coupon": "coupon",
  "shop.lottery": "lottery",
};

function listing(body: ProductBody): Omit<ShelfProduct, "product" | "was" | "left"> {
  const { title, image = null, link = null, amount, currency, limit, listed } = body;
  return { title, image, link, amount, currency, limit, listed };
}

function saleOf(body: SaleBody, counts: Counts): ShelfSale {
  const { sale, product, amount, currency, total, limit, sync, opens_ms: opensWallMs, closes_ms: closesWallMs } = body;
  return { sale, product, amount, currency, total, limit, sync, opensWallMs, closesWallMs, ...counts };
}

/** What the viewer would pay: the price of a sale or a listed product. Null: no price was shown. */
export function priceOf(
  shelf: Shelf,
  id: string,
): { product: string; sale?: string; amount: number; currency: string } | null {
  const sale = shelf.sales.get(id);
  if (sale) return { product: sale.product, sale: id, amount: sale.amount, currency: sale.currency };
  const product = shelf.products.get(id);
  if (!product || product.amount === null || product.currency === null) return null;
  return { product: id, amount: product.amount, currency: product.currency };
}
