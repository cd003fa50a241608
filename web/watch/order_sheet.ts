// Buying: how many, one decision, and a clear answer. A decision has one key until it is answered: pressing again, also
// after a reload, asks again and never buys twice.

import { clock, price } from "../i18n/format";
import type { Words } from "../i18n/words";
import type { Order, Purchase, Refusal, Session } from "../sdk/types";
import type { Decision } from "./cart";
import { el, icon, setText } from "./dom";
import { type Offer, offerOf } from "./offer";
import { OrderForm } from "./order_form";
import type { Orders } from "./orders";
import { type Asked, Outstanding } from "./outstanding";
import { explain, refusalOf } from "./refusals";
import { Sheet } from "./sheet";

type Step =
  | { readonly at: "choose" }
  | { readonly at: "pending" }
  | { readonly at: "unsure"; readonly asked: Asked; readonly asking: boolean }
  | { readonly at: "yes"; readonly order: string; readonly problem: string }
  | { readonly at: "no"; readonly refusal: Refusal };

/** So long after an answer "give back", which comes where "buy" was, takes no press: it may be the second of a double tap. */
const SETTLE_MS = 500;

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
  readonly #outstanding: Outstanding;

  constructor(session: Session, words: Words, orders: Orders) {
    this.#session = session;
    this.#words = words;
    this.#orders = orders;
    this.#outstanding = new Outstanding(session.room);
    this.#sheet = new Sheet("order", words);
    this.#form = new OrderForm(session, words, orders, (decision) => void this.#buy(decision));
    this.#answer.append(this.#mark, this.#verdict, this.#what);
    const acts = el("div", "acts", this.#first, this.#second);
    this.#sheet.body.append(this.#form.node, this.#answer, this.#time, this.#note, acts);
    this.#first.addEventListener("click", () => this.#pressFirst());
    this.#second.addEventListener("click", () => this.#sheet.close());
    session.on("shelf", () => {
      if (this.#step.at === "unsure") this.#render(); // by now the product may have a name
      else this.#form.render();
    });
    orders.onChange(() => this.#render());
    words.render(() => this.#render());
  }

  /** After a reload: what was not answered before it is there to be asked for again. */
  resume(): void {
    const { asked } = this.#outstanding;
    if (asked === null) return;
    this.#go({ at: "unsure", asked, asking: false });
    this.#sheet.open();
    this.#first.focus();
  }

  /** Begin to buy; what is under way stays, and so does a question about this product that has no answer. */
  begin(offer: Offer): void {
    const { asked } = this.#outstanding;
    if (!this.#isAsking) {
      const isUnsure = asked?.item.product === offer.product;
      this.#step = isUnsure ? { at: "unsure", asked, asking: false } : { at: "choose" };
      this.#product = offer.product;
      this.#form.begin(offer);
    }
    this.#render();
    this.#sheet.open();
    if (this.#step.at === "choose") this.#form.focus();
    if (this.#step.at === "unsure") this.#first.focus();
  }

  /** Look at an order again. */
  show(order: Order): void {
    if (!this.#isAsking) {
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

  get #isAsking(): boolean {
    return this.#step.at === "pending" || (this.#step.at === "unsure" && this.#step.asking);
  }

  async #buy(decision: Decision): Promise<void> {
    if (this.#isAsking) return;
    this.#go({ at: "pending" });
    await this.#ask(this.#outstanding.begin(decision));
  }

  async #askAgain(asked: Asked): Promise<void> {
    if (this.#isAsking) return;
    this.#product = asked.item.product;
    this.#go({ at: "unsure", asked, asking: true });
    await this.#ask(asked);
  }

  async #ask(asked: Asked): Promise<void> {
    const { item, quantity, key } = asked;
    try {
      this.#answered(await this.#session.buy(item, quantity, { idempotencyKey: key }), asked);
    } catch (error) {
      if (!refusalOf(error)) throw error;
      this.#go({ at: "unsure", asked, asking: false });
    }
    // An answer must be seen, also by somebody who went on watching meanwhile.
    this.#sheet.open();
    this.#second.focus();
  }

  #answered(purchase: Purchase, asked: Asked): void {
    // The SDK's own refusals are none of the shop's: whether it has sold is not known.
    if (!purchase.ok && purchase.refusal.code < 100) return this.#go({ at: "unsure", asked, asking: false });
    this.#outstanding.end();
    if (!purchase.ok) return this.#go({ at: "no", refusal: purchase.refusal });
    this.#step = { at: "yes", order: purchase.order.order, problem: "" };
    this.#first.setAttribute("aria-disabled", "true");
    setTimeout(() => this.#first.removeAttribute("aria-disabled"), SETTLE_MS);
    const { coupon } = asked.item;
    if (coupon) this.#orders.dropCoupon(coupon);
    this.#orders.keep(purchase.order);
  }

  #pressFirst(): void {
    if (this.#first.getAttribute("aria-disabled") === "true") return;
    if (this.#step.at === "no") {
      this.#go({ at: "choose" });
      this.#form.focus();
    } else if (this.#step.at === "unsure") void this.#askAgain(this.#step.asked);
    else if (this.#step.at === "yes") void this.#cancel(this.#step.order);
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
    this.#first.setAttribute("aria-busy", String(step.at === "unsure" && step.asking));
    if (step.at === "yes") this.#renderYes(step.order, step.problem);
    else if (step.at === "unsure") this.#renderUnsure(step.asked, step.asking);
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
    setText(this.#verdict, held ? words.say("order.yes") : words.say(`state.${order.state as "released" | "expired"}`));
    setText(this.#what, `${this.#nameOf(order.product, order)}\n${words.say(`order.${order.state}`, { order: order.order })}`);
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

  #nameOf(product: string, { quantity, total, currency }: Pick<Order, "quantity" | "total" | "currency">): string {
    const title = this.#session.shelf.products.get(product)?.title ?? product;
    return `${title} ×${quantity} · ${price(total, currency, this.#words.locale)}`;
  }

  #renderUnsure({ item, quantity, total }: Asked, asking: boolean): void {
    const words = this.#words;
    this.#answer.dataset["look"] = "no";
    this.#mark.replaceChildren(icon("cross"));
    setText(this.#verdict, words.say("order.unsure"));
    const what = this.#nameOf(item.product, { quantity, total, currency: item.currency });
    setText(this.#what, `${what}\n${words.say("order.unknown")}`);
    setText(this.#first, words.say(asking ? "order.pending" : "order.again"));
  }

  #renderNo(refusal: Refusal): void {
    const words = this.#words;
    this.#answer.dataset["look"] = "no";
    this.#mark.replaceChildren(icon("cross"));
    setText(this.#verdict, words.say("order.no"));
    setText(this.#what, explain(refusal, words));
    const offer = this.#product === null ? null : offerOf(this.#session.shelf, this.#product, this.#session.nowWallMs);
    this.#first.hidden = offer?.standing !== "open";
    setText(this.#first, words.say("order.again"));
  }
}
