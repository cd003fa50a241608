// Where danmaku run. All move at one speed, so that none overtakes another, and "free" is a matter of distance alone:
// `travel` is how far everything has moved since the beginning, in pixels.

export class Lanes {
  /** The travel from which on a lane takes another line at its right edge. */
  #freeFrom: number[] = [];
  /** The travel from which on nothing of a lane is seen any more. */
  #emptyFrom: number[] = [];

  get count(): number {
    return this.#freeFrom.length;
  }

  /** Lanes that are taken away let their lines run out; new ones are free. */
  resize(count: number): void {
    while (this.#freeFrom.length < count) {
      this.#freeFrom.push(Number.NEGATIVE_INFINITY);
      this.#emptyFrom.push(Number.NEGATIVE_INFINITY);
    }
    this.#freeFrom.length = this.#emptyFrom.length = count;
  }

  /** The uppermost lane with room for a line of `width` at the right edge of `stage`; null when there is none. */
  run(width: number, travel: number, stage: number, gap: number): number | null {
    const lane = this.#freeFrom.findIndex((from) => from <= travel);
    if (lane < 0) return null;
    this.#freeFrom[lane] = travel + width + gap;
    this.#emptyFrom[lane] = travel + width + stage;
    return lane;
  }

  /** A lane with nothing in it, for a line that stands still until `release`; null when there is none. */
  stand(travel: number, fromBelow: boolean): number | null {
    const empty = (from: number): boolean => from <= travel;
    const lane = fromBelow ? this.#emptyFrom.findLastIndex(empty) : this.#emptyFrom.findIndex(empty);
    if (lane < 0) return null;
    this.#freeFrom[lane] = this.#emptyFrom[lane] = Number.POSITIVE_INFINITY;
    return lane;
  }

  release(lane: number, travel: number): void {
    if (lane < this.count) this.#freeFrom[lane] = this.#emptyFrom[lane] = travel;
  }

  clear(): void {
    const count = this.count;
    this.resize(0);
    this.resize(count);
  }
}
