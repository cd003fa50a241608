// What the room says of the broadcast, whether or not there is a picture: which it is, and what of it is broadcast when.

import { TICKS_PER_MS } from "./place";
import type { Now } from "./room_wire";
import type { SyncMode, Ticks } from "./types";

export class Broadcast {
  #epoch: string | null = null;
  #sync: SyncMode = "frame";
  /** Server's wall time minus media time, in ms. The server smooths its map, and tells everybody the same. */
  #delayMs: number | null = null;
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
    this.#epoch = now.epoch;
    this.#sync = now.sync;
    this.#isKnown = true;
    this.#delayMs = now.t === null ? null : now.wallMs - now.t / TICKS_PER_MS;
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

  /** The server's wall time in ms at which `t` is broadcast; null without a broadcast. */
  wallMsOf(t: Ticks): number | null {
    return this.#delayMs === null ? null : t / TICKS_PER_MS + this.#delayMs;
  }

  /** What is broadcast at the server's wall time `wallMs`: nobody's picture is further. */
  edgeAt(wallMs: number): Ticks | null {
    return this.#delayMs === null ? null : Math.max(0, Math.floor((wallMs - this.#delayMs) * TICKS_PER_MS));
  }
}
