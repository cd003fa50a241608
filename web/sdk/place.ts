// Where a displayed picture is on the broadcast's timeline.

import type { Ticks } from "./types";

export const TICKS_PER_MS = 90;

export interface Place {
  readonly epoch: string;
  /** Media time of the picture. */
  readonly t: Ticks;
  /**
   * Events up to this one are due. FLV knows whole milliseconds, so a picture reaches every tick of its millisecond;
   * by WebRTC it is `t` itself.
   */
  readonly reach: Ticks;
}

/** The position that the session tells: it follows the pictures, and never goes back within an epoch. */
export class Progress {
  #shown: Place | null = null;
  #nowT: Ticks | null = null;

  /** The picture that was displayed last, as it is. After a change to a slower transport it may be before `nowT`. */
  get shown(): Place | null {
    return this.#shown;
  }

  get nowT(): Ticks | null {
    return this.#nowT;
  }

  get nowMs(): number | null {
    return this.#nowT === null ? null : Math.floor(this.#nowT / TICKS_PER_MS);
  }

  get epoch(): string | null {
    return this.#shown?.epoch ?? null;
  }

  show(place: Place): void {
    const known = this.#shown?.epoch === place.epoch ? this.#nowT : null;
    this.#nowT = known === null ? place.t : Math.max(known, place.t);
    this.#shown = place;
  }
}
