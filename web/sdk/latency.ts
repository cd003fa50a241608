// How far behind the newest media an FLV player stays. A browser plays whatever it has buffered at its own pace, so what a
// slow start or a stall has piled up would stay for ever. A little faster is not noticed and leaves no picture out; a jump
// leaves pictures out, and the events that belong to them come late.

/** The wish of a connection that has not stalled yet: ten pictures, and what a server merges into one write. */
const LEAST_S = 0.3;
const MOST_S = 1.5;
/** A connection that stalls gets more, and less again when it has been calm for a while. */
const STALL_STEP_S = 0.2;
const CALM_STEP_S = 0.1;
const CALM_MS = 30_000;
/** Beyond the wish: half a jump of what arrives in one go is no reason to hurry. */
const SLACK_S = 0.15;
/** Nobody hears that; browsers keep the pitch. A second too much is made up for in ten. */
const FASTER = 1.1;
/** Smaller differences are made up for so slowly that nobody can tell. Without that every stall, and two clocks that do not
 * agree, would move the picture by so much, and a viewer's latency would be anywhere. */
const LEAN = 0.01;
const NEAR_S = 0.02;
/** What has arrived is looked at in steps of whole writes: the mean of two seconds tells how much there is. */
const SAMPLES = 8;
/** By so much the mean is behind when it is being changed. */
const LAG_S = 0.01;
/** More than this beyond the wish would take too long to make up for. */
const JUMP_S = 2;
/** At the start nothing has been seen yet that could be missed: what the server has kept of the last group is skipped. */
const FIRST_JUMP_S = 0.4;

export interface Correction {
  /** For `playbackRate`. */
  readonly rate: number;
  /** By how many seconds to go forward at once; 0: not at all. */
  readonly jumpS: number;
}

/** Of one connection. `now` is `performance.now()`. */
export class LatencyKeeper {
  #wishS = LEAST_S;
  #changedAt: number;
  #isFast = false;
  /** 1: a little faster, -1: a little slower. */
  #lean = 0;
  #seen: readonly number[] = [];
  #hasBegun = false;

  constructor(now: number) {
    this.#changedAt = now;
  }

  /** How many seconds of media should be there and not yet shown. */
  get wishS(): number {
    return this.#wishS;
  }

  /** The player had nothing left to show, and there was no hole. */
  stalled(now: number): void {
    this.#changedAt = now;
    if (this.#hasBegun) this.#wishS = Math.min(MOST_S, this.#wishS + STALL_STEP_S);
  }

  /** The player plays, and has so much ahead. */
  look(aheadS: number, now: number): Correction {
    if (now - this.#changedAt > CALM_MS) {
      this.#changedAt = now;
      this.#wishS = Math.max(LEAST_S, this.#wishS - CALM_STEP_S);
    }
    const tooMuchS = aheadS - this.#wishS;
    const bearableS = this.#hasBegun ? JUMP_S : FIRST_JUMP_S;
    this.#hasBegun = true;
    if (tooMuchS > bearableS) {
      this.#isFast = false;
      this.#seen = [];
      return { rate: 1, jumpS: tooMuchS };
    }
    this.#isFast = tooMuchS > (this.#isFast ? 0 : SLACK_S);
    this.#seen = this.#isFast ? [] : [...this.#seen, aheadS].slice(-SAMPLES);
    return { rate: this.#isFast ? FASTER : 1 + LEAN * this.#leaning(), jumpS: 0 };
  }

  #leaning(): number {
    if (this.#seen.length < SAMPLES) return (this.#lean = 0);
    const beyondS = this.#seen.reduce((sum, aheadS) => sum + aheadS, 0) / SAMPLES - this.#wishS;
    if (this.#lean === 0 && Math.abs(beyondS) > NEAR_S) this.#lean = Math.sign(beyondS);
    else if (beyondS * this.#lean <= LAG_S) this.#lean = 0;
    return this.#lean;
  }
}
