// What was said, as a quiet list: where there is room beside the picture, and for those who asked for less motion.

import type { Words } from "../i18n/words";
import { el } from "./dom";

const MAX = 80;
const TOGETHER_MS = 200;
/** Within so many pixels of its end the list follows what is said; further up somebody reads. */
const NEAR_END = 40;

export interface Saying {
  readonly id: string;
  readonly sender: string;
  readonly name: string | null;
  readonly text: string;
  readonly own: boolean;
}

export class ChatLog {
  readonly node: HTMLElement;
  readonly #list = el("ol", "sayings");
  readonly #words: Words;
  #pending: Saying[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(words: Words) {
    this.#words = words;
    // A screen reader can read it, but is not made to: no live region for every danmaku.
    this.node = el("section", { class: "chat-log", attributes: { tabindex: "0" } }, this.#list);
    words.render(() => this.node.setAttribute("aria-label", words.say("chat")));
  }

  /** One's own at once; of others several together: each time the list is laid out anew. */
  add(saying: Saying): void {
    this.#pending.push(saying);
    if (this.#pending.length > MAX) this.#pending.shift();
    if (saying.own) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), TOGETHER_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { node } = this;
    const follows = node.scrollHeight - node.scrollTop - node.clientHeight < NEAR_END || this.#pending.some(({ own }) => own);
    this.#list.append(...this.#pending.splice(0).map((saying) => this.#line(saying)));
    while (this.#list.children.length > MAX) this.#list.firstElementChild?.remove();
    if (follows) node.scrollTop = node.scrollHeight;
  }

  #line({ id, sender, name, text, own }: Saying): HTMLElement {
    const who = own ? this.#words.say("you") : name;
    const line = el("li", own ? "saying own" : "saying", who ? el("b", "who", who) : null, who ? " " : null, text);
    line.dataset["id"] = id;
    line.dataset["sender"] = sender;
    return line;
  }

  removeSaying(id: string): void {
    this.#flush();
    this.#removeWhere((line) => line.dataset["id"] === id);
  }

  removeSender(sender: string): void {
    this.#flush();
    this.#removeWhere((line) => line.dataset["sender"] === sender);
  }

  clear(): void {
    this.#pending = [];
    this.#list.replaceChildren();
  }

  #removeWhere(unwanted: (line: HTMLElement) => boolean): void {
    for (const line of [...this.#list.children]) if (line instanceof HTMLElement && unwanted(line)) line.remove();
  }
}
