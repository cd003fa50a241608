// How many likes are shown: what the server has counted, and one's own that it has not counted yet.

import type { Refusal } from "../sdk/types";

export class LikeCount {
  #total: number | null = null;
  /** One's own, which were drawn when they were pressed. */
  #own = 0;

  get shown(): number {
    return (this.#total ?? 0) + this.#own;
  }

  press(): void {
    this.#own++;
  }

  /** The server's count. Answers how many came from others since the last one. */
  counted(total: number): number {
    const more = this.#total === null ? 0 : Math.max(0, total - this.#total);
    const others = Math.max(0, more - this.#own);
    this.#own = Math.max(0, this.#own - more);
    this.#total = total;
    return others;
  }

  /** Answers whether one's own are taken back: what may be tried again is sent again, and counted then. */
  refused({ mayRetry }: Refusal): boolean {
    if (!mayRetry) this.#own = 0;
    return !mayRetry;
  }
}
