// One product with its price, as a card over the picture or a row of the shelf: the same parts, updated in place, so
// that nobody loses the focus when the stock changes.

import { clock, price } from "../i18n/format";
import type { Words } from "../i18n/words";
import { el, setText } from "./dom";
import type { Offer } from "./offer";

/** Stock is told from here on. */
const FEW_LEFT = 20;

export class OfferView {
  readonly node: HTMLElement;
  readonly #words: Words;
  readonly #picture = el("div", { class: "thumb", attributes: { "aria-hidden": "true" } });
  readonly #mark = el("span", "mark");
  readonly #title = el("p", "title");
  readonly #price = el("span", "price");
  readonly #was = el("s", "was");
  readonly #facts = el("p", "offer-facts");
  readonly #link = el("a", { class: "link", attributes: { target: "_blank", rel: "noopener noreferrer" } });
  readonly buy = el("button", { class: "button buy", attributes: { type: "button" } });
  #image: string | null | undefined;
  #offer: Offer | null = null;

  constructor(tag: "li" | "div", words: Words, buy: (offer: Offer) => void) {
    this.#words = words;
    const head = el("div", "offer-head", this.#mark, this.#title);
    const money = el("div", "offer-money", el("p", "price-line", this.#price, this.#was), this.#facts);
    this.node = el(tag, "offer", this.#picture, head, money, el("div", "offer-act", this.#link, this.buy));
    this.buy.addEventListener("click", () => {
      if (this.#offer?.standing === "open") buy(this.#offer);
    });
  }

  get offer(): Offer | null {
    return this.#offer;
  }

  update(offer: Offer, explained: boolean, nowWallMs: number): void {
    this.#offer = offer;
    const words = this.#words;
    const { title, amount, currency, was, standing, link } = offer;
    this.node.dataset["standing"] = standing;
    this.node.dataset["sale"] = String(offer.sale !== null);
    this.#showPicture(offer.image, title);
    setText(this.#title, title);
    const mark = explained ? words.say("explaining") : offer.sale ? words.say("sale") : "";
    setText(this.#mark, mark);
    this.#mark.dataset["look"] = explained ? "explained" : "sale";
    this.#mark.hidden = mark === "";
    setText(this.#price, amount === null || currency === null ? "" : price(amount, currency, words.locale));
    const before = was === null || currency === null ? "" : price(was, currency, words.locale);
    setText(this.#was, before);
    this.#was.hidden = before === "";
    setText(this.#facts, this.#factsOf(offer, nowWallMs));
    this.#showButton(offer);
    this.#link.hidden = link === null;
    if (link !== null) this.#link.href = link;
    setText(this.#link, words.say("details"));
  }

  #factsOf(offer: Offer, nowWallMs: number): string {
    const words = this.#words;
    const { standing, opensWallMs, closesWallMs, left, sale } = offer;
    const facts: string[] = [];
    if (standing === "soon" && opensWallMs !== null) facts.push(words.say("sale.opens", { time: clock(opensWallMs - nowWallMs) }));
    if (standing === "open" && sale && closesWallMs !== null) facts.push(words.say("sale.ends", { time: clock(closesWallMs - nowWallMs) }));
    const open = standing === "open" || standing === "soon";
    if (open && left !== null && (sale || left <= FEW_LEFT)) facts.push(words.say("left", { n: left }));
    return facts.join(" · ");
  }

  #showButton({ standing, title }: Offer): void {
    const words = this.#words;
    const faces = { open: "buy", soon: "soon", soldout: "soldout", over: "sale.over", closed: "sale.only" } as const;
    setText(this.buy, words.say(faces[standing]));
    // Not `disabled`, which would throw the focus away when the last one is sold.
    this.buy.setAttribute("aria-disabled", String(standing !== "open"));
    const said = standing === "open" ? words.say("buy.of", { title }) : `${title}: ${words.say(faces[standing])}`;
    if (this.buy.getAttribute("aria-label") !== said) this.buy.setAttribute("aria-label", said);
  }

  /** The page's policy loads pictures from this node alone; for others there is the first letter. */
  #showPicture(image: string | null, title: string): void {
    if (image === this.#image) return;
    this.#image = image;
    const letter = el("span", "letter", Array.from(title)[0] ?? "");
    if (image === null) return this.#picture.replaceChildren(letter);
    const picture = el("img", { attributes: { src: image, alt: "", decoding: "async" } });
    picture.addEventListener("error", () => this.#picture.replaceChildren(letter));
    this.#picture.replaceChildren(picture);
  }
}
