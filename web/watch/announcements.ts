// What the host tells, and gifts: plain lines that a screen reader says politely.

import type { Words } from "../i18n/words";
import type { EventOf, Session } from "../sdk/types";
import { byId, el, setText } from "./dom";

const NOTICE_MS = 12_000;
const GIFT_MS = 5_000;
const MAX_GIFTS = 3;

export class Announcements {
  readonly #words: Words;
  readonly #notice = byId("notice");
  readonly #gifts = byId("gifts");
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(session: Session, words: Words) {
    this.#words = words;
    session.onEvent("notice", ({ body }) => this.#tell(body));
    session.onEvent("gift", ({ body }) => this.#thank(body));
    session.on("reset", () => {
      this.#notice.hidden = true;
    });
  }

  /** An important one stays until the next. */
  #tell({ text, level }: EventOf<"notice">["body"]): void {
    clearTimeout(this.#noticeTimer);
    this.#notice.dataset["look"] = level;
    this.#notice.hidden = false;
    setText(this.#notice, text);
    if (level !== "important") this.#noticeTimer = setTimeout(() => (this.#notice.hidden = true), NOTICE_MS);
  }

  #thank({ giver, name, gift, count }: EventOf<"gift">["body"]): void {
    const line = el("p", "gift", this.#words.say(count > 1 ? "gift.many" : "gift", { name: name ?? giver, gift, n: count }));
    this.#gifts.append(line);
    while (this.#gifts.children.length > MAX_GIFTS) this.#gifts.firstElementChild?.remove();
    setTimeout(() => line.remove(), GIFT_MS);
  }
}
