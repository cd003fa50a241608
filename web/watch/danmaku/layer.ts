// Danmaku over the picture, on one canvas: the page's side of the painter.

import { type Counts, type Density, type Order, Painter } from "./painter";
import type { Line } from "./sprite";

export type { Density, Line };

/** Beyond this, sharper text costs more than it shows. */
const MAX_RATIO = 2;

export class DanmakuLayer {
  readonly #canvas: HTMLCanvasElement;
  readonly #order: (order: Order) => void;
  readonly #count: () => Counts;
  #enabled = true;

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    [this.#order, this.#count] = "transferControlToOffscreen" in canvas ? apart(canvas) : here(canvas);
    new ResizeObserver(() => this.#measure()).observe(canvas);
    this.#measure();
  }

  get drawn(): number {
    return this.#count().drawn;
  }

  get leftOut(): number {
    return this.#count().leftOut;
  }

  get onScreen(): number {
    return this.#count().onScreen;
  }

  /** A line whose moment has come. */
  add(line: Line): void {
    if (this.#enabled && !document.hidden) this.#order({ do: "add", line });
  }

  /** Take one line off the screen. */
  remove(id: string): void {
    this.#order({ do: "remove", id });
  }

  /** Take everything off the screen that somebody said. */
  silence(sender: string): void {
    this.#order({ do: "silence", sender });
  }

  set enabled(on: boolean) {
    this.#enabled = on;
    this.#canvas.hidden = !on;
    if (!on) this.#order({ do: "clear" });
  }

  /** While the picture stands still, so do they. */
  set paused(on: boolean) {
    this.#order({ do: "pause", on });
  }

  set opacity(share: number) {
    this.#canvas.style.opacity = String(share);
  }

  set density(density: Density) {
    this.#canvas.dataset["density"] = density; // the style sheet gives it room
    this.#order({ do: "density", density });
  }

  #measure(): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = Math.min(MAX_RATIO, window.devicePixelRatio || 1);
    if (width && height) this.#order({ do: "size", size: { width, height, ratio } });
  }
}

type Ways = [order: (order: Order) => void, count: () => Counts];

/** In a worker. */
function apart(canvas: HTMLCanvasElement): Ways {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  let counts: Counts = { drawn: 0, leftOut: 0, onScreen: 0 };
  worker.addEventListener("message", ({ data }: MessageEvent<Counts>) => (counts = data));
  const offscreen = canvas.transferControlToOffscreen();
  worker.postMessage(offscreen, [offscreen]);
  return [(order) => worker.postMessage(order), () => counts];
}

/** In the page, where a canvas cannot be given away. */
function here(canvas: HTMLCanvasElement): Ways {
  const painter = new Painter(canvas);
  return [(order) => painter.obey(order), () => painter.counts];
}
