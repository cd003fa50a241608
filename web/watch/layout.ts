// Where things stand: beside a wide picture, or over one that fills a phone.

import type { Words } from "../i18n/words";
import { byId, el, setText } from "./dom";
import type { Sheet } from "./sheet";

/** As in the style sheets. */
const WIDE = "(min-width: 60rem) and (min-height: 26rem)";

interface Parts {
  readonly shelf: HTMLElement;
  readonly log: HTMLElement;
  readonly shelfSheet: Sheet;
}

export class Layout {
  readonly #parts: Parts;
  readonly #wide = matchMedia(WIDE);
  readonly #head = el("h2", "side-title");

  constructor(video: HTMLVideoElement, words: Words, parts: Parts) {
    this.#parts = parts;
    byId("side").append(this.#head);
    this.#wide.addEventListener("change", () => this.#place());
    const shape = (): void => {
      const { videoWidth, videoHeight } = video;
      const stage = byId("stage");
      if (videoWidth) stage.dataset["shape"] = videoHeight > videoWidth ? "upright" : "wide";
    };
    for (const name of ["resize", "loadedmetadata"]) video.addEventListener(name, shape);
    words.render(() => {
      setText(this.#head, words.say("shelf"));
      setText(parts.shelfSheet.title, words.say("shelf"));
    });
    this.#place();
  }

  openShelf(): void {
    const { shelf, shelfSheet } = this.#parts;
    if (!this.#wide.matches) return shelfSheet.open();
    shelf.querySelector<HTMLElement>("button, a[href]")?.focus();
  }

  #place(): void {
    const { shelf, log, shelfSheet } = this.#parts;
    const side = byId("side");
    side.hidden = !this.#wide.matches;
    if (this.#wide.matches) {
      if (shelfSheet.isOpen) shelfSheet.close();
      side.append(shelf, log);
    } else {
      shelfSheet.body.append(shelf);
      byId("ticker").append(log);
    }
  }
}
