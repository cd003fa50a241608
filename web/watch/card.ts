// The product on show, over the picture. It changes inside the callback of the frame that its event belongs to.

import type { Words } from "../i18n/words";
import type { Session, ShelfSale } from "../sdk/types";
import { byId, el, face } from "./dom";
import { type Offer, offerOf, upcoming } from "./offer";
import { OfferView } from "./offer_view";

export class Card {
  readonly #session: Session;
  readonly #node = byId("card");
  readonly #view: OfferView;
  /** Sales by wall clock that are announced and not yet told of. */
  readonly #upcoming = new Map<string, ShelfSale>();
  /** A product in a sale is on show without being explained. */
  #onSale: string | null = null;
  #dismissed: string | null = null;

  constructor(session: Session, words: Words, buy: (offer: Offer) => void) {
    this.#session = session;
    this.#view = new OfferView("div", words, buy);
    const away = el("button", { class: "tool away", attributes: { type: "button" }, on: { click: () => this.#dismiss() } });
    this.#node.append(this.#view.node, away);
    session.onEvent("product.show", () => {
      this.#dismissed = null;
      this.render();
    });
    session.onEvent("shop.sale", ({ body }, { snapshot }) => {
      this.#upcoming.delete(body.sale);
      if (body.removed || snapshot) return;
      this.#onSale = body.product;
      this.#dismissed = null;
      this.render();
    });
    session.on("reset", () => this.#upcoming.clear()); // what is still to come is announced again
    session.on("announced", ({ body }) => {
      if (body.removed) return;
      this.#upcoming.set(body.sale, upcoming(body));
      this.#onSale = body.product;
      this.render();
    });
    session.on("shelf", () => this.render());
    words.render(() => {
      face(away, "close", words.say("card.away"));
      this.render();
    });
  }

  /** What is on the card; null: there is none. */
  get offer(): Offer | null {
    return this.#node.hidden ? null : this.#view.offer;
  }

  /** Also called as time goes by: a countdown runs. */
  render(): void {
    const { shelf, nowWallMs } = this.#session;
    const known = this.#upcoming.size ? { ...shelf, sales: new Map([...this.#upcoming, ...shelf.sales]) } : shelf;
    const product = shelf.explained ?? this.#onSale;
    const offer = product === null ? null : offerOf(known, product, nowWallMs);
    const finished = shelf.explained === null && (offer?.standing === "over" || offer?.standing === "closed" || !offer?.sale);
    if (!offer || finished || product === this.#dismissed) {
      this.#node.hidden = true;
      return;
    }
    this.#view.update(offer, shelf.explained === product, nowWallMs);
    this.#node.hidden = false;
  }

  #dismiss(): void {
    this.#dismissed = this.#view.offer?.product ?? null;
    this.render();
  }
}
