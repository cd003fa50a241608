// How many, with which coupon, and the button that decides.

import { price } from "../i18n/format";
import type { Words } from "../i18n/words";
import type { Session, Shelf } from "../sdk/types";
import { type Decision, decide, fits, isSame, most, total } from "./cart";
import { el, setText } from "./dom";
import { type Offer, offerOf } from "./offer";
import { OfferView } from "./offer_view";
import type { Orders } from "./orders";

type Coupon = Shelf["coupons"] extends ReadonlyMap<string, infer One> ? One : never;

/** A press so soon after the price has changed was still meant for the price before. */
const NOTICE_MS = 500;

export class OrderForm {
  readonly node: HTMLElement;
  readonly #session: Session;
  readonly #words: Words;
  readonly #orders: Orders;
  readonly #view: OfferView;
  readonly #less = el("button", { class: "tool step", attributes: { type: "button" } }, "−");
  readonly #more = el("button", { class: "tool step", attributes: { type: "button" } }, "+");
  readonly #number = el("output", "quantity");
  readonly #quantityWord = el("span", "");
  readonly #limit = el("p", "quiet");
  readonly #couponWord = el("span", "");
  readonly #coupon = el("select", "");
  readonly #couponLine: HTMLElement;
  readonly #totalWord = el("span", "");
  readonly #total = el("strong", "price");
  readonly #go = el("button", { class: "button wide buy", attributes: { type: "submit" } });
  #product: string | null = null;
  #quantity = 1;
  /** What stands on the button; null: nothing that can be bought. */
  #shown: Decision | null = null;
  /** What stood there last, unless the buyer has changed it since. */
  #seen: Decision | null = null;
  #changedAt = Number.NEGATIVE_INFINITY;
  pending = false;

  constructor(session: Session, words: Words, orders: Orders, buy: (decision: Decision) => void) {
    this.#session = session;
    this.#words = words;
    this.#orders = orders;
    this.#view = new OfferView("div", words, () => undefined);
    const stepper = el("div", { class: "stepper", attributes: { role: "group" } }, this.#less, this.#number, this.#more);
    this.#couponLine = el("label", "line", this.#couponWord, this.#coupon);
    this.node = el(
      "form",
      "order-form",
      this.#view.node,
      el("div", "line", this.#quantityWord, stepper),
      this.#limit,
      this.#couponLine,
      el("p", "line sum", this.#totalWord, this.#total),
      this.#go,
    );
    this.#less.addEventListener("click", () => this.#step(-1));
    this.#more.addEventListener("click", () => this.#step(1));
    this.#coupon.addEventListener("change", () => this.#choose());
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.render(); // a sale may have ended since it was drawn
      if (this.#shown && performance.now() >= this.#changedAt + NOTICE_MS) buy(this.#shown);
    });
  }

  get #offer(): Offer | null {
    return this.#product === null ? null : offerOf(this.#session.shelf, this.#product, this.#session.nowWallMs);
  }

  get #chosenCoupon(): Coupon | null {
    return this.#session.shelf.coupons.get(this.#coupon.value) ?? null;
  }

  begin(offer: Offer): void {
    this.#product = offer.product;
    this.#quantity = 1;
    this.#coupon.value = "";
    this.#seen = null;
  }

  focus(): void {
    this.#go.focus();
  }

  render(): void {
    const offer = this.#offer;
    this.#shown = null;
    if (!offer || this.node.hidden) return;
    const words = this.#words;
    const { nowWallMs, shelf } = this.#session;
    this.#quantity = Math.min(this.#quantity, most(offer));
    this.#view.update(offer, shelf.explained === offer.product, nowWallMs);
    setText(this.#quantityWord, words.say("quantity"));
    setText(this.#number, String(this.#quantity));
    this.#less.setAttribute("aria-label", words.say("less"));
    this.#more.setAttribute("aria-label", words.say("more"));
    this.#less.setAttribute("aria-disabled", String(this.pending || this.#quantity <= 1));
    this.#more.setAttribute("aria-disabled", String(this.pending || this.#quantity >= most(offer)));
    setText(this.#limit, offer.limit ? words.say("limit", { n: offer.limit }) : "");
    this.#renderCoupons(offer);
    this.#renderTotal(offer);
  }

  #renderTotal(offer: Offer): void {
    const words = this.#words;
    const coupon = this.#chosenCoupon;
    const sum = price(total(offer, this.#quantity, coupon), offer.currency ?? "", words.locale);
    this.#show(decide(offer, this.#quantity, coupon));
    setText(this.#totalWord, words.say("total"));
    setText(this.#total, sum);
    const faces = { open: "order.now", soon: "soon", soldout: "soldout", over: "sale.over", closed: "sale.only" } as const;
    setText(this.#go, this.pending ? words.say("order.pending") : words.say(faces[offer.standing], { price: sum }));
    this.#go.setAttribute("aria-disabled", String(!this.#shown || this.pending));
    this.#go.setAttribute("aria-busy", String(this.pending));
  }

  #show(decision: Decision | null): void {
    this.#shown = decision;
    if (decision === null) return;
    if (this.#seen && !isSame(this.#seen, decision)) this.#changedAt = performance.now();
    this.#seen = decision;
  }

  #renderCoupons(offer: Offer): void {
    const words = this.#words;
    const usable = [...this.#session.shelf.coupons.values()].filter(
      (coupon) => this.#orders.hasCoupon(coupon.coupon) && fits(coupon, offer, this.#quantity, this.#session.nowWallMs),
    );
    this.#couponLine.hidden = usable.length === 0;
    this.#coupon.disabled = this.pending;
    setText(this.#couponWord, words.say("coupon"));
    const wanted = [
      { value: "", text: words.say("coupon.none") },
      ...usable.map(({ coupon, title, off, currency }) => ({
        value: coupon,
        text: `${title ?? coupon}: ${words.say("coupon.off", { price: price(off, currency, words.locale) })}`,
      })),
    ];
    const same = wanted.length === this.#coupon.options.length;
    if (same && wanted.every(({ value, text }, n) => this.#coupon.options[n]?.value === value && this.#coupon.options[n]?.text === text)) return;
    const chosen = this.#coupon.value;
    this.#coupon.replaceChildren(...wanted.map(({ value, text }) => el("option", { attributes: { value } }, text)));
    this.#coupon.value = wanted.some(({ value }) => value === chosen) ? chosen : "";
  }

  #step(by: number): void {
    const offer = this.#offer;
    if (this.pending || !offer) return;
    this.#quantity = Math.min(most(offer), Math.max(1, this.#quantity + by));
    this.#choose();
  }

  /** The buyer has changed something, and looks at what it makes. */
  #choose(): void {
    this.#seen = null;
    this.render();
  }
}
