// The list of what is for sale, with coupons, draws and one's own orders. It stands beside a wide picture, and in a
// sheet on a phone: one node that moves.

import { clock, price } from "../i18n/format";
import type { Words } from "../i18n/words";
import type { Order, Session } from "../sdk/types";
import { el, setText } from "./dom";
import { type Offer, offerOf } from "./offer";
import { OfferView } from "./offer_view";
import type { Orders } from "./orders";
import { Coupons, Lotteries } from "./extras";

export class ShelfView {
  readonly node: HTMLElement;
  readonly #session: Session;
  readonly #words: Words;
  readonly #buy: (offer: Offer) => void;
  readonly #rows = new Map<string, OfferView>();
  readonly #list = el("ul", "offers");
  readonly #empty = el("div", "empty");
  readonly #orders: Orders;
  readonly #ordersHead = el("h3", "part");
  readonly #ordersList = el("ul", "orders");
  readonly #extras: readonly { readonly node: HTMLElement; render(): void }[];
  readonly #openOrder: (order: Order) => void;

  constructor(session: Session, words: Words, orders: Orders, act: { buy(offer: Offer): void; open(order: Order): void }) {
    this.#session = session;
    this.#words = words;
    this.#orders = orders;
    this.#buy = (offer) => act.buy(offer);
    this.#openOrder = (order) => act.open(order);
    this.#extras = [new Coupons(session, words, orders), new Lotteries(session, words)];
    const extras = this.#extras.map(({ node }) => node);
    this.node = el("div", "shelf", this.#empty, this.#list, ...extras, this.#ordersHead, this.#ordersList);
    session.on("shelf", () => this.render());
    session.on("reset", () => this.render());
    orders.onChange(() => this.render());
    words.render(() => this.render());
  }

  render(): void {
    const { shelf, nowWallMs } = this.#session;
    this.#empty.replaceChildren(el("p", "", this.#words.say("shelf.empty")), el("p", "quiet", this.#words.say("shelf.empty.hint")));
    this.#empty.hidden = shelf.products.size > 0;
    for (const [product, row] of this.#rows) {
      if (shelf.products.has(product)) continue;
      row.node.remove();
      this.#rows.delete(product);
    }
    for (const product of shelf.products.keys()) {
      const offer = offerOf(shelf, product, nowWallMs);
      if (offer) this.#row(product).update(offer, shelf.explained === product, nowWallMs);
    }
    this.#explainedFirst(shelf.explained);
    for (const extra of this.#extras) extra.render();
    this.#renderOrders();
  }

  /** As time goes by: only what has a countdown. */
  tick(): void {
    const { shelf, nowWallMs } = this.#session;
    for (const [product, row] of this.#rows) {
      if (!row.offer?.sale) continue;
      const offer = offerOf(shelf, product, nowWallMs);
      if (offer) row.update(offer, shelf.explained === product, nowWallMs);
    }
    for (const extra of this.#extras) extra.render();
    this.#renderOrders();
  }

  #row(product: string): OfferView {
    const found = this.#rows.get(product);
    if (found) return found;
    const made = new OfferView("li", this.#words, this.#buy);
    this.#rows.set(product, made);
    this.#list.append(made.node);
    return made;
  }

  /** Not moved while it has the focus: it would lose it. */
  #explainedFirst(explained: string | null): void {
    const node = explained === null ? undefined : this.#rows.get(explained)?.node;
    if (node && this.#list.firstElementChild !== node && !node.contains(document.activeElement)) this.#list.prepend(node);
  }

  #renderOrders(): void {
    const all = this.#orders.all;
    const words = this.#words;
    this.#ordersHead.hidden = this.#ordersList.hidden = all.length === 0;
    setText(this.#ordersHead, words.say("orders"));
    while (this.#ordersList.children.length > all.length) this.#ordersList.lastElementChild?.remove();
    all.forEach((order, index) => {
      const title = this.#session.shelf.products.get(order.product)?.title ?? order.product;
      const time = clock(order.expiresWallMs - this.#session.nowWallMs);
      const state = words.say(`state.${order.state}`, { time });
      const button = this.#orderButton(index);
      const [what, how] = [...button.children] as HTMLElement[];
      if (what) setText(what, `${title} ×${order.quantity} · ${price(order.total, order.currency, words.locale)}`);
      if (how) setText(how, state);
    });
  }

  #orderButton(index: number): HTMLButtonElement {
    const found = this.#ordersList.children[index]?.firstElementChild;
    if (found instanceof HTMLButtonElement) return found;
    const button = el("button", { class: "order-row", attributes: { type: "button" } }, el("span", "title"), el("span", "quiet"));
    button.addEventListener("click", () => {
      const order = this.#orders.all[index];
      if (order) this.#openOrder(order);
    });
    this.#ordersList.append(el("li", "", button));
    return button;
  }
}
