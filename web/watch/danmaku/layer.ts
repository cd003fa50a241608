// Danmaku over the picture, on one canvas.

import { Lanes } from "./lanes";
import { draw, type Line, type Sprite } from "./sprite";

export type { Line };

export type Density = "few" | "some" | "all";

const SHARES: Readonly<Record<Density, number>> = { few: 0.34, some: 0.67, all: 1 };
/** Seconds from one side to the other, and the slowest speed in pixels a second: a phone is narrow. */
const CROSSING_S = 7;
const SLOWEST = 75;
/** How much faster it gets while lines wait: half as many again are shown. */
const RUSH = 0.6;
const RUSH_AT = 20;
const GAP = 24;
/** Lines that come in one instant do not march in step: each begins up to so many pixels further out. */
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
/** Beyond this, sharper text costs more than it shows. */
const MAX_RATIO = 2;

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

export class DanmakuLayer {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #lanes = new Lanes();
  #waiting: Waiting[] = [];
  #shown: Shown[] = [];
  #travel = 0;
  #rush = 0;
  #last: number | null = null;
  #request = 0;
  #width = 0;
  #height = 0;
  #lane = 32;
  #ratio = 1;
  #density: Density = "some";
  #enabled = true;
  #paused = false;
  /** Since the page was opened: lines that were drawn, and those for which there was no room in time. */
  drawn = 0;
  leftOut = 0;

  constructor(canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no 2d canvas");
    this.#canvas = canvas;
    this.#context = context;
    new ResizeObserver(() => this.#measure()).observe(canvas);
    this.#measure();
  }

  get onScreen(): number {
    return this.#shown.length;
  }

  /** A line whose moment has come. */
  add(line: Line): void {
    if (!this.#enabled || document.hidden) return;
    const waiting = { line, since: performance.now(), sprite: null };
    if (line.own) this.#waiting.unshift(waiting);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(waiting);
    else this.leftOut++;
    this.#wake();
  }

  /** Take lines off the screen, for instance those of somebody who was muted. */
  remove(unwanted: (line: Line) => boolean): void {
    this.#waiting = this.#waiting.filter(({ line }) => !unwanted(line));
    for (const shown of this.#shown) if (unwanted(shown.line)) this.#letGo(shown);
    this.#shown = this.#shown.filter(({ line }) => !unwanted(line));
    this.#paint();
  }

  clear(): void {
    this.#waiting = [];
    this.#shown = [];
    this.#lanes.clear();
    this.#paint();
  }

  set enabled(on: boolean) {
    this.#enabled = on;
    this.#canvas.hidden = !on;
    if (!on) this.clear();
  }

  /** While the picture stands still, so do they. */
  set paused(on: boolean) {
    this.#paused = on;
    if (!on) this.#wake();
  }

  set opacity(share: number) {
    this.#canvas.style.opacity = String(share);
  }

  set density(density: Density) {
    this.#density = density;
    this.#divide();
  }

  #measure(): void {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#ratio = Math.min(MAX_RATIO, window.devicePixelRatio || 1);
    [this.#width, this.#height] = [clientWidth, clientHeight];
    this.#canvas.width = Math.round(clientWidth * this.#ratio);
    this.#canvas.height = Math.round(clientHeight * this.#ratio);
    this.#lane = clientWidth < 600 ? 30 : 36;
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
    if (shown.until !== null) this.#lanes.release(shown.lane, this.#travel);
  }

  #admit(now: number): void {
    const still: Waiting[] = [];
    let full = false;
    for (const waiting of this.#waiting) {
      if (!waiting.line.own && now - waiting.since > PATIENCE_MS) this.leftOut++;
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
    const out = Math.random() * SCATTER;
    const lane = this.#lanes.run(sprite.width + out, this.#travel, this.#width, GAP);
    return lane !== null && this.#keep({ line, sprite, lane, from: this.#travel + out, until: null });
  }

  #keep(shown: Shown): true {
    this.#shown.push(shown);
    this.drawn++;
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
