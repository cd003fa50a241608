// Coupons to take and draws to take part in: a short list each, there only when there is something in it.

import { clock, price } from "../i18n/format";
import type { Words } from "../i18n/words";
import type { Session, Shelf } from "../sdk/types";
import { el, setText } from "./dom";
import type { Orders } from "./orders";
import { explain, refusalOf } from "./refusals";

type Coupon = Shelf["coupons"] extends ReadonlyMap<string, infer One> ? One : never;
type Lottery = Shelf["lotteries"] extends ReadonlyMap<string, infer One> ? One : never;

/** A row: what it is, what is known of it, and what can be done. */
class Row {
  readonly node: HTMLElement;
  readonly title = el("span", "title");
  readonly facts = el("span", "quiet");
  readonly button = el("button", { class: "button small", attributes: { type: "button" } });
  /** What the server answered, which stays until there is another answer. */
  answer = "";

  constructor(act: () => void) {
    this.node = el("li", "extra", el("div", "extra-text", this.title, this.facts), this.button);
    this.button.addEventListener("click", () => {
      if (this.button.getAttribute("aria-disabled") !== "true") act();
    });
  }

  show(title: string, facts: readonly string[], action: string, open: boolean): void {
    setText(this.title, title);
    setText(this.facts, (this.answer ? [...facts, this.answer] : facts).join(" · "));
    setText(this.button, action);
    this.button.setAttribute("aria-disabled", String(!open));
  }
}

/** Rows by id, under a heading that hides when there are none. */
class List<Item> {
  readonly node: HTMLElement;
  readonly #head = el("h3", "part");
  readonly #list = el("ul", "extras");
  readonly #rows = new Map<string, Row>();
  readonly #act: (id: string, row: Row) => void;

  constructor(act: (id: string, row: Row) => void) {
    this.#act = act;
    this.node = el("section", "", this.#head, this.#list);
  }

  render(title: string, items: ReadonlyMap<string, Item>, show: (row: Row, item: Item) => void): void {
    this.node.hidden = items.size === 0;
    setText(this.#head, title);
    for (const [id, row] of this.#rows) {
      if (items.has(id)) continue;
      row.node.remove();
      this.#rows.delete(id);
    }
    for (const [id, item] of items) show(this.#row(id), item);
  }

  #row(id: string): Row {
    const found = this.#rows.get(id);
    if (found) return found;
    const made: Row = new Row(() => this.#act(id, made));
    this.#rows.set(id, made);
    this.#list.append(made.node);
    return made;
  }
}

export class Coupons {
  readonly #session: Session;
  readonly #words: Words;
  readonly #orders: Orders;
  readonly #list: List<Coupon>;

  constructor(session: Session, words: Words, orders: Orders) {
    this.#session = session;
    this.#words = words;
    this.#orders = orders;
    this.#list = new List((coupon, row) => void this.#claim(coupon, row));
    orders.onChange(() => this.render());
  }

  get node(): HTMLElement {
    return this.#list.node;
  }

  render(): void {
    const words = this.#words;
    this.#list.render(words.say("coupons"), this.#session.shelf.coupons, (row, coupon) => this.#show(row, coupon));
  }

  #show(row: Row, { coupon, title, off, currency, minimum, left, opens_ms, closes_ms }: Coupon): void {
    const words = this.#words;
    const now = this.#session.nowWallMs;
    const facts = [words.say("coupon.off", { price: price(off, currency, words.locale) })];
    if (minimum) facts.push(words.say("coupon.minimum", { price: price(minimum, currency, words.locale) }));
    if (now < opens_ms) facts.push(words.say("sale.opens", { time: clock(opens_ms - now) }));
    const mine = this.#orders.hasCoupon(coupon);
    const gone = left === 0 || now >= closes_ms;
    const action = mine ? "coupon.claimed" : gone ? "coupon.gone" : "coupon.claim";
    row.show(title ?? coupon, facts, words.say(action), !mine && !gone && now >= opens_ms);
  }

  async #claim(coupon: string, row: Row): Promise<void> {
    row.button.setAttribute("aria-disabled", "true");
    try {
      await this.#session.claim(coupon);
      row.answer = "";
      this.#orders.keepCoupon(coupon);
    } catch (error) {
      row.answer = reason(error, this.#words);
      this.render();
    }
  }
}

export class Lotteries {
  readonly #session: Session;
  readonly #words: Words;
  readonly #list: List<Lottery>;
  readonly #entered = new Set<string>();

  constructor(session: Session, words: Words) {
    this.#session = session;
    this.#words = words;
    this.#list = new List((lottery, row) => void this.#enter(lottery, row));
  }

  get node(): HTMLElement {
    return this.#list.node;
  }

  render(): void {
    const words = this.#words;
    this.#list.render(words.say("lotteries"), this.#session.shelf.lotteries, (row, lottery) => this.#show(row, lottery));
  }

  #show(row: Row, lottery: Lottery): void {
    const words = this.#words;
    const now = this.#session.nowWallMs;
    const { title, winners, opens_ms, closes_ms, drawn } = lottery;
    const facts = [words.count("lottery.winners", winners)];
    const entered = this.#entered.has(lottery.lottery);
    if (drawn) facts.push(this.#outcome(drawn, entered));
    else if (now >= closes_ms) facts.push(words.say("lottery.over"));
    else if (now < opens_ms) facts.push(words.say("sale.opens", { time: clock(opens_ms - now) }));
    else facts.push(words.say("sale.ends", { time: clock(closes_ms - now) }));
    const open = !drawn && !entered && now >= opens_ms && now < closes_ms;
    row.show(title ?? words.say("lottery"), facts, words.say(entered ? "lottery.entered" : "lottery.enter"), open);
  }

  #outcome(drawn: readonly string[], entered: boolean): string {
    const you = this.#session.you?.sender;
    if (you !== undefined && drawn.includes(you)) return this.#words.say("lottery.won");
    return entered ? this.#words.say("lottery.lost") : this.#words.say("lottery.drawn", { names: drawn.map(shortName).join(", ") });
  }

  async #enter(lottery: string, row: Row): Promise<void> {
    row.button.setAttribute("aria-disabled", "true");
    try {
      await this.#session.enter(lottery);
      this.#entered.add(lottery);
      row.answer = "";
    } catch (error) {
      row.answer = reason(error, this.#words);
    }
    this.render();
  }
}

/** A sender as people can read it: anonymous viewers have a number only. */
function shortName(sender: string): string {
  return sender.replace(/^anon-/, "#").slice(0, 20);
}

function reason(error: unknown, words: Words): string {
  const refusal = refusalOf(error);
  if (!refusal) throw error;
  return explain(refusal, words);
}
