// A dialog that comes up from below, or stands in the middle of a wide page. The browser traps the focus in it, closes
// it on Escape and gives the focus back.

import type { Words } from "../i18n/words";
import { byId, el, face } from "./dom";

export class Sheet {
  readonly node: HTMLDialogElement;
  readonly body = el("div", "sheet-body");
  readonly title = el("h2", "sheet-title");

  constructor(id: string, words: Words) {
    this.node = byId<HTMLDialogElement>(id);
    this.title.id = `${id}-title`;
    const close = el("button", { class: "tool", attributes: { type: "button" }, on: { click: () => this.close() } });
    this.node.append(el("div", "sheet-head", this.title, close), this.body);
    // A click beside it: the dialog itself is covered by its content everywhere else.
    this.node.addEventListener("click", (event) => {
      if (event.target === this.node && !this.#holds(event)) this.close();
    });
    words.render(() => face(close, "close", words.say("close")));
  }

  get isOpen(): boolean {
    return this.node.open;
  }

  open(): void {
    if (!this.node.open) this.node.showModal();
  }

  close(): void {
    this.node.close();
  }

  #holds({ clientX, clientY }: MouseEvent): boolean {
    const { left, right, top, bottom } = this.node.getBoundingClientRect();
    return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
  }
}
