// Buying: how many, one decision, and a clear answer. A decision has one key: pressing again asks again and never
// buys twice.

import { clock, price } from "../i18n/format";
import type { Words } from "../i18n/words";
import type { Item, Order, Purchase, Refusal, Session } from "../sdk/types";
import type { Decision } from "./cart";
import { el, icon, setText } from "./dom";
import { type Offer, offerOf } from "./offer";
import { OrderForm } from "./order_form";
import type { Orders } from "./orders";
import { explain, refusalOf } from "./refusals";
import { Sheet } from "./sheet";

type Step =
  | { readonly at: "choose" }
  | { readonly at: "pending" }
  | { readonly at: "yes"; readonly order: string; readonly problem: string }
  | { readonly at: "no"; readonly refusal: Refusal };

export class OrderSheet {
  readonly #session: Session;
  readonly #words: Words;
  readonly #orders: Orders;
  readonly #sheet: Sheet;
  readonly #form: OrderForm;
  readonly #answer = el("div", { class: "answer", attributes: { role: "status", "aria-live": "polite" } });
  readonly #mark = el("span", "answer-mark");
  readonly #verdict = el("strong", "answer-verdict");
  readonly #what = el("p", "answer-what");
  readonly #time = el("p", { class: "answer-time", attributes: { "aria-live": "off" } });
  readonly #note = el("p", "quiet");
  /** Try again, or give back. */
  readonly #first = el("button", { class: "button wide act", attributes: { type: "button" } });
  /** Keep watching. */
  readonly #second = el("button", { class: "button wide done", attributes: { type: "button" } });
  #product: string | null = null;
  #step: Step = { at: "choose" };
  #key: string | null = null;

  constructor(session: Session, words: Words, orders: Orders) {
    this.#session = session;
    this.#words = words;
    this.#orders = orders;
    this.#sheet = new Sheet("order", words);
    this.#form = new OrderForm(session, words, orders, (decision) => void this.#buy(decision));
    this.#answer.append(this.#mark, this.#verdict, this.#what);
    const acts = el("div", "acts", this.#first, this.#second);
    this.#sheet.body.append(this.#form.node, this.#answer, this.#time, this.#note, acts);
    this.#first.addEventListener("click", () => this.#pressFirst());
    this.#second.addEventListener("click", () => this.#sheet.close());
    session.on("shelf", () => this.#form.render());
    orders.onChange(() => this.#render());
    words.render(() => this.#render());
  }

  /** Begin to buy; what is under way stays. */
  begin(offer: Offer): void {
    if (this.#step.at !== "pending") {
      this.#product = offer.product;
      this.#step = { at: "choose" };
      this.#key = null;
      this.#form.begin(offer);
    }
    this.#render();
    this.#sheet.open();
    if (this.#step.at === "choose") this.#form.focus();
  }

  /** Look at an order again. */
  show(order: Order): void {
    if (this.#step.at !== "pending") {
      this.#product = order.product;
      this.#step = { at: "yes", order: order.order, problem: "" };
    }
    this.#render();
    this.#sheet.open();
  }

  tick(): void {
    if (!this.#sheet.isOpen) return;
    if (this.#step.at === "choose") this.#form.render();
    if (this.#step.at === "yes") this.#showTime(this.#step.order);
  }

  async #buy({ item, quantity }: Decision): Promise<void> {
    if (this.#step.at === "pending") return;
    this.#key ??= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    this.#go({ at: "pending" });
    try {
      this.#answered(await this.#session.buy(item, quantity, { idempotencyKey: this.#key }), item);
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      this.#go({ at: "no", refusal }); // the same key: pressed again, the same order is asked for
    }
    // An answer must be seen, also by somebody who went on watching meanwhile.
    this.#sheet.open();
    this.#second.focus();
  }

  #answered(purchase: Purchase, { coupon }: Item): void {
    this.#key = null;
    if (!purchase.ok) return this.#go({ at: "no", refusal: purchase.refusal });
    this.#step = { at: "yes", order: purchase.order.order, problem: "" };
    if (coupon) this.#orders.dropCoupon(coupon);
    this.#orders.keep(purchase.order);
  }

  #pressFirst(): void {
    if (this.#step.at === "no") {
      this.#go({ at: "choose" });
      this.#form.focus();
    } else if (this.#step.at === "yes") void this.#cancel(this.#step.order);
  }

  async #cancel(order: string): Promise<void> {
    this.#first.setAttribute("aria-disabled", "true");
    try {
      this.#orders.keep(await this.#session.cancel(order));
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      const problem = refusal.code < 100 ? this.#words.say("order.cancel.failed") : explain(refusal, this.#words);
      this.#go({ at: "yes", order, problem });
    } finally {
      this.#first.removeAttribute("aria-disabled");
    }
  }

  #go(step: Step): void {
    this.#step = step;
    this.#render();
  }

  #render(): void {
    const step = this.#step;
    const words = this.#words;
    this.#sheet.node.dataset["step"] = step.at;
    const choosing = step.at === "choose" || step.at === "pending";
    setText(this.#sheet.title, words.say("order"));
    this.#form.node.hidden = !choosing;
    this.#form.pending = step.at === "pending";
    this.#form.render();
    this.#first.hidden = this.#second.hidden = choosing;
    this.#answer.hidden = choosing;
    this.#note.hidden = this.#time.hidden = step.at !== "yes";
    setText(this.#second, words.say("order.keep"));
    if (step.at === "yes") this.#renderYes(step.order, step.problem);
    else if (step.at === "no") this.#renderNo(step.refusal);
    else setText(this.#verdict, "");
  }

  #renderYes(id: string, problem: string): void {
    const words = this.#words;
    const order = this.#orders.get(id);
    if (!order) return;
    const held = order.state === "reserved" || order.state === "confirmed";
    this.#answer.dataset["look"] = held ? "yes" : "ended";
    this.#mark.replaceChildren(icon(held ? "tick" : "cross"));
    const title = this.#session.shelf.products.get(order.product)?.title ?? order.product;
    setText(this.#verdict, held ? words.say("order.yes") : words.say(`state.${order.state as "released" | "expired"}`));
    const bought = `${title} ×${order.quantity} · ${price(order.total, order.currency, words.locale)}`;
    setText(this.#what, `${bought}\n${words.say(`order.${order.state}`, { order: order.order })}`);
    setText(this.#note, problem || (order.state === "reserved" ? words.say("order.payment") : ""));
    this.#first.hidden = order.state !== "reserved";
    setText(this.#first, words.say("order.cancel"));
    this.#showTime(id);
  }

  #showTime(id: string): void {
    const order = this.#orders.get(id);
    const left = order ? order.expiresWallMs - this.#session.nowWallMs : 0;
    const waits = order?.state === "reserved" && left > 0;
    setText(this.#time, waits ? this.#words.say("order.pay", { time: clock(left) }) : "");
  }

  #renderNo(refusal: Refusal): void {
    const words = this.#words;
    this.#answer.dataset["look"] = "no";
    this.#mark.replaceChildren(icon("cross"));
    setText(this.#verdict, words.say("order.no"));
    setText(this.#what, refusal.code < 100 ? words.say("order.unknown") : explain(refusal, words));
    const offer = this.#product === null ? null : offerOf(this.#session.shelf, this.#product, this.#session.nowWallMs);
    this.#first.hidden = offer?.standing !== "open";
    setText(this.#first, words.say("order.again"));
  }
}
