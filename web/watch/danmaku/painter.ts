// Moves lines of text over a canvas. Where the browser can, in a worker: painting a full screen of text takes a good part
// of each frame, and the page must stay free for what is pressed.

import { Lanes } from "./lanes";
import { draw, type Line, type Sprite } from "./sprite";

export type Density = "few" | "some" | "all";

/** What the page tells a painter. */
export type Order =
  | { readonly do: "add"; readonly line: Line }
  | { readonly do: "remove"; readonly id: string }
  | { readonly do: "silence"; readonly sender: string }
  | { readonly do: "clear" }
  | { readonly do: "pause"; readonly on: boolean }
  | { readonly do: "density"; readonly density: Density }
  | { readonly do: "size"; readonly size: Size };

/** CSS pixels, and how many of the screen's there are to one. */
export interface Size {
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
}

/** Since the page was opened: lines that were drawn, and those for which there was no room in time; and those that are there now. */
export interface Counts {
  readonly drawn: number;
  readonly leftOut: number;
  readonly onScreen: number;
}

const SHARES: Readonly<Record<Density, number>> = { few: 0.34, some: 0.67, all: 1 };
/** Seconds from one side to the other, and the slowest speed in pixels a second: a phone is narrow. */
const CROSSING_S = 7;
const SLOWEST = 75;
/** How much faster it gets while lines wait. */
const RUSH = 0.8;
const RUSH_AT = 20;
const GAP = 24;
/** Lines that come in one instant do not march in step, while there is room: each begins up to so far further out. */
const SCATTER = 90;
/** A longer line is cut: of the stage's width, but never below so many pixels. */
const LONGEST_SHARE = 0.9;
const SHORTEST_LIMIT = 200;
const STANDING_MS = 4_000;
/** Words that could not be shown by then are about something else. One's own wait as long as it takes. */
const PATIENCE_MS = 1_500;
const MAX_WAITING = 100;
/** One frame never moves further: after a pause of the browser nothing jumps. */
const LONGEST_STEP_MS = 100;
/** Below this width it is a phone, and the letters are smaller. */
const NARROW = 600;
const LANES: readonly [number, number] = [30, 36];

interface Waiting {
  readonly line: Line;
  readonly since: number;
  /** Made when there is first a chance to show it. */
  sprite: Sprite | null;
}

interface Shown {
  readonly line: Line;
  readonly sprite: Sprite;
  readonly lane: number;
  /** The travel at which it appeared; for one that stands, when it goes. */
  readonly from: number;
  readonly until: number | null;
}

export class Painter {
  readonly #canvas: OffscreenCanvas | HTMLCanvasElement;
  readonly #context: OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D;
  readonly #lanes = new Lanes();
  #waiting: Waiting[] = [];
  #shown: Shown[] = [];
  #travel = 0;
  #rush = 0;
  #last: number | null = null;
  #request = 0;
  #width = 0;
  #height = 0;
  #lane = LANES[0];
  #ratio = 1;
  #density: Density = "some";
  #paused = false;
  #drawn = 0;
  #leftOut = 0;

  constructor(canvas: OffscreenCanvas | HTMLCanvasElement) {
    const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D | null;
    if (!context) throw new Error("this browser has no 2d canvas");
    this.#canvas = canvas;
    this.#context = context;
  }

  get counts(): Counts {
    return { drawn: this.#drawn, leftOut: this.#leftOut, onScreen: this.#shown.length };
  }

  obey(order: Order): void {
    if (order.do === "add") this.#add(order.line);
    else if (order.do === "remove") this.#remove(({ id }) => id === order.id);
    else if (order.do === "silence") this.#remove(({ sender }) => sender === order.sender);
    else if (order.do === "clear") this.#clear();
    else if (order.do === "pause") this.#pause(order.on);
    else if (order.do === "density") this.#crowd(order.density);
    else this.#resize(order.size);
  }

  #add(line: Line): void {
    const waiting = { line, since: performance.now(), sprite: null };
    if (line.own) this.#waiting.unshift(waiting);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(waiting);
    else this.#leftOut++;
    this.#wake();
  }

  #remove(unwanted: (line: Line) => boolean): void {
    this.#waiting = this.#waiting.filter(({ line }) => !unwanted(line));
    for (const shown of this.#shown) if (unwanted(shown.line)) this.#letGo(shown);
    this.#shown = this.#shown.filter(({ line }) => !unwanted(line));
    this.#paint();
  }

  #clear(): void {
    this.#waiting = [];
    for (const shown of this.#shown) this.#letGo(shown);
    this.#shown = [];
    this.#lanes.clear();
    this.#paint();
  }

  #pause(on: boolean): void {
    this.#paused = on;
    if (!on) this.#wake();
  }

  #crowd(density: Density): void {
    this.#density = density;
    this.#divide();
  }

  #resize({ width, height, ratio }: Size): void {
    [this.#width, this.#height, this.#ratio] = [width, height, ratio];
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    this.#lane = width < NARROW ? LANES[0] : LANES[1];
    this.#divide();
    this.#paint();
  }

  #divide(): void {
    const all = Math.floor(this.#height / this.#lane);
    this.#lanes.resize(Math.max(all > 0 ? 1 : 0, Math.round(all * SHARES[this.#density])));
  }

  #wake(): void {
    if (this.#request || this.#paused || (!this.#shown.length && !this.#waiting.length)) return;
    this.#last = null;
    this.#request = requestAnimationFrame((now) => this.#step(now));
  }

  #step(now: number): void {
    this.#request = 0;
    if (this.#paused) return;
    const ms = Math.min(LONGEST_STEP_MS, this.#last === null ? 0 : now - this.#last);
    this.#last = now;
    this.#rush += (Math.min(1, this.#waiting.length / RUSH_AT) - this.#rush) * Math.min(1, ms / 500);
    const speed = Math.max(SLOWEST, this.#width / CROSSING_S) * (1 + RUSH * this.#rush);
    this.#travel += (speed * ms) / 1000;
    this.#retire(now);
    this.#admit(now);
    this.#paint();
    if (!this.#shown.length && !this.#waiting.length) return;
    this.#request = requestAnimationFrame((next) => this.#step(next));
  }

  #retire(now: number): void {
    const gone = (shown: Shown): boolean =>
      shown.until === null ? this.#x(shown) + shown.sprite.width < 0 : shown.until <= now;
    for (const shown of this.#shown) if (gone(shown)) this.#letGo(shown);
    this.#shown = this.#shown.filter((shown) => !gone(shown));
  }

  #letGo(shown: Shown): void {
    shown.sprite.image.close();
    if (shown.until !== null) this.#lanes.release(shown.lane, this.#travel);
  }

  #admit(now: number): void {
    const still: Waiting[] = [];
    let full = false;
    for (const waiting of this.#waiting) {
      if (!waiting.line.own && now - waiting.since > PATIENCE_MS) this.#leftOut++;
      else if (full || !this.#show(waiting, now)) {
        still.push(waiting);
        full = true;
      }
    }
    this.#waiting = still;
  }

  /** False when there is no room yet. */
  #show(waiting: Waiting, now: number): boolean {
    const { line } = waiting;
    const longest = Math.max(SHORTEST_LIMIT, this.#width * LONGEST_SHARE);
    const sprite = (waiting.sprite ??= draw(line, this.#lane, longest, this.#ratio));
    if (line.mode !== "scroll") {
      const lane = this.#lanes.stand(this.#travel, line.mode === "bottom");
      // Where every lane is in use it runs with the others.
      if (lane !== null) return this.#keep({ line, sprite, lane, from: this.#travel, until: now + STANDING_MS });
    }
    const out = Math.random() * SCATTER * Math.max(0, 1 - 2 * this.#rush);
    const lane = this.#lanes.run(sprite.width + out, this.#travel, this.#width, GAP);
    return lane !== null && this.#keep({ line, sprite, lane, from: this.#travel + out, until: null });
  }

  #keep(shown: Shown): true {
    this.#shown.push(shown);
    this.#drawn++;
    return true;
  }

  #x({ sprite, from, until }: Shown): number {
    return until === null ? this.#width - (this.#travel - from) : (this.#width - sprite.width) / 2;
  }

  #paint(): void {
    const context = this.#context;
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    for (const shown of this.#shown) {
      const x = Math.round(this.#x(shown) * this.#ratio);
      context.drawImage(shown.sprite.image, x, Math.round(shown.lane * this.#lane * this.#ratio));
    }
  }
}
