// What the room says of the broadcast, whether or not there is a picture: which it is, and when its live edge is where.

import { TICKS_PER_MS } from "./place";
import type { Now } from "./room_wire";
import type { SyncMode, Ticks } from "./types";

/** The server's map from wall to media time is the smallest delay of the last 30 s; so is this one. */
const KEPT_MS = 30_000;

export class Broadcast {
  #epoch: string | null = null;
  #sync: SyncMode = "frame";
  #delays: readonly { readonly atMs: number; readonly delayMs: number }[] = [];
  #isKnown = false;
  readonly #over = new Set<string>();

  /** Null: nobody is live, or nothing was told yet. */
  get epoch(): string | null {
    return this.#epoch;
  }

  get sync(): SyncMode {
    return this.#sync;
  }

  set sync(sync: SyncMode) {
    this.#sync = sync;
  }

  /** Whether somebody is live; null before the room has said anything. */
  get isLive(): boolean | null {
    return this.#isKnown ? this.#epoch !== null : null;
  }

  /** True when another broadcast has begun. */
  hear(now: Now): boolean {
    const began = now.epoch !== null && now.epoch !== this.#epoch;
    if (now.epoch !== this.#epoch) this.#delays = [];
    this.#epoch = now.epoch;
    this.#sync = now.sync;
    this.#isKnown = true;
    if (now.anchor !== null && now.anchor.epoch === now.epoch) {
      const delayMs = now.wallMs - now.anchor.t / TICKS_PER_MS;
      const fresh = this.#delays.filter(({ atMs }) => now.wallMs - atMs < KEPT_MS);
      this.#delays = [...fresh, { atMs: now.wallMs, delayMs }];
    }
    return began;
  }

  /** These broadcasts have events. Those that the room is not in are over: the room has just said which it is in. */
  settle(epochs: Iterable<string>): void {
    for (const epoch of epochs) if (epoch !== this.#epoch) this.#over.add(epoch);
    if (this.#epoch !== null) this.#over.delete(this.#epoch);
  }

  isOver(epoch: string): boolean {
    return this.#over.has(epoch);
  }

  /** The server's wall time in ms at which the live edge is at `t`; null without a broadcast. */
  wallMsOf(t: Ticks): number | null {
    if (this.#delays.length === 0) return null;
    return t / TICKS_PER_MS + Math.min(...this.#delays.map(({ delayMs }) => delayMs));
  }

  /** Where the live edge is at the server's wall time `wallMs`: nobody's picture is further. */
  edgeAt(wallMs: number): Ticks | null {
    if (this.#delays.length === 0) return null;
    const delayMs = Math.min(...this.#delays.map(({ delayMs }) => delayMs));
    return Math.max(0, Math.floor((wallMs - delayMs) * TICKS_PER_MS));
  }
}
