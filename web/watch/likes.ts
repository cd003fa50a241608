// Likes: the button, the count, and what floats.

import { count } from "../i18n/format";
import type { Words } from "../i18n/words";
import type { Session } from "../sdk/types";
import { byId, face, label, setText } from "./dom";
import type { Hearts } from "./hearts";

export class Likes {
  readonly #session: Session;
  readonly #words: Words;
  readonly #hearts: Hearts;
  readonly #button = byId<HTMLButtonElement>("like");
  readonly #number = document.createElement("span");
  #total: number | null = null;
  /** One's own, which were drawn when they were pressed. */
  #own = 0;

  constructor(session: Session, words: Words, hearts: Hearts) {
    this.#session = session;
    this.#words = words;
    this.#hearts = hearts;
    this.#number.className = "number";
    this.#button.append(this.#number);
    this.#button.addEventListener("click", () => this.press());
    words.render(() => this.#show());
    session.on("totals", ({ likes }) => this.#counted(likes));
  }

  press(): void {
    this.#session.like();
    this.#hearts.add(1);
    this.#own++;
    this.#button.classList.remove("pressed");
    void this.#button.offsetWidth; // begins the animation anew
    this.#button.classList.add("pressed");
    this.#show();
  }

  #counted(total: number): void {
    if (this.#total !== null) {
      const more = Math.max(0, total - this.#total);
      const others = Math.max(0, more - this.#own);
      this.#own = Math.max(0, this.#own - more);
      this.#hearts.add(others);
    }
    this.#total = total;
    this.#show();
  }

  #show(): void {
    const total = (this.#total ?? 0) + this.#own;
    const shown = count(total, this.#words.locale);
    setText(this.#number, total ? shown : "");
    face(this.#button, "heart", this.#words.say("like"));
    label(this.#button, `${this.#words.say("like")}. ${this.#words.count("likes", total, shown)}`);
  }
}
