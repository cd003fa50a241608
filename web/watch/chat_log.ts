// What was said, as a quiet list: where there is room beside the picture, and for those who asked for less motion.

import type { Words } from "../i18n/words";
import { el } from "./dom";

const MAX = 80;

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

  constructor(words: Words) {
    this.#words = words;
    // A screen reader can read it, but is not made to: no live region for every danmaku.
    this.node = el("section", { class: "chat-log", attributes: { tabindex: "0" } }, this.#list);
    words.render(() => this.node.setAttribute("aria-label", words.say("chat")));
  }

  add({ id, sender, name, text, own }: Saying): void {
    const who = own ? this.#words.say("you") : name;
    const line = el("li", own ? "saying own" : "saying", who ? el("b", "who", who) : null, who ? " " : null, text);
    line.dataset["id"] = id;
    line.dataset["sender"] = sender;
    const { node } = this;
    const atEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 40;
    this.#list.append(line);
    while (this.#list.children.length > MAX) this.#list.firstElementChild?.remove();
    if (atEnd || own) node.scrollTop = node.scrollHeight;
  }

  removeSaying(id: string): void {
    this.#removeWhere((line) => line.dataset["id"] === id);
  }

  removeSender(sender: string): void {
    this.#removeWhere((line) => line.dataset["sender"] === sender);
  }

  clear(): void {
    this.#list.replaceChildren();
  }

  #removeWhere(unwanted: (line: HTMLElement) => boolean): void {
    for (const line of [...this.#list.children]) if (line instanceof HTMLElement && unwanted(line)) line.remove();
  }
}
