// Likes: the button, the count, what floats, and why they are not taken.

import { count } from "../i18n/format";
import type { Words } from "../i18n/words";
import type { Session } from "../sdk/types";
import { byId, face, label, setText } from "./dom";
import type { Hearts } from "./hearts";
import { LikeCount } from "./like_count";
import { explain } from "./refusals";

export class Likes {
  readonly #session: Session;
  readonly #words: Words;
  readonly #hearts: Hearts;
  readonly #button = byId<HTMLButtonElement>("like");
  readonly #number = document.createElement("span");
  readonly #count = new LikeCount();

  constructor(session: Session, words: Words, hearts: Hearts, note: (text: string) => void) {
    this.#session = session;
    this.#words = words;
    this.#hearts = hearts;
    this.#number.className = "number";
    this.#button.append(this.#number);
    this.#button.addEventListener("click", () => this.press());
    words.render(() => this.#show());
    session.on("totals", ({ likes }) => {
      this.#hearts.add(this.#count.counted(likes));
      this.#show();
    });
    session.on("refused", ({ kind, refusal }) => {
      if (kind !== "like" || !this.#count.refused(refusal)) return;
      note(explain(refusal, words, "like"));
      this.#show();
    });
  }

  press(): void {
    this.#session.like();
    this.#hearts.add(1);
    this.#count.press();
    this.#button.classList.remove("pressed");
    void this.#button.offsetWidth; // begins the animation anew
    this.#button.classList.add("pressed");
    this.#show();
  }

  #show(): void {
    const total = this.#count.shown;
    const shown = count(total, this.#words.locale);
    setText(this.#number, total ? shown : "");
    face(this.#button, "heart", this.#words.say("like"));
    label(this.#button, `${this.#words.say("like")}. ${this.#words.count("likes", total, shown)}`);
  }
}
