// Presses of the like button, added up and sent together.

/** A message holds so many (interaction/kinds.py). */
export const MAX_COUNT = 50;
/** The server takes 4 messages a second from a sender; a steady finger needs 3. */
export const PAUSE_MS = 350;
/** What waits when the server does not take it: more is not a like any more, but a stuck finger. */
export const MAX_WAITING = 500;

export class Likes {
  readonly #send: (count: number) => void;
  #waiting = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isPausing = false;

  constructor(send: (count: number) => void) {
    this.#send = send;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** The first goes at once, those within the pause after it together. */
  add(count: number): void {
    if (!(count >= 1)) return;
    this.#waiting = Math.min(MAX_WAITING, this.#waiting + Math.floor(count));
    if (!this.#isPausing) this.#flush();
  }

  /** These were refused for now: they wait for the next message. */
  giveBack(count: number): void {
    this.#waiting = Math.min(MAX_WAITING, this.#waiting + count);
    if (!this.#isPausing) this.#pause();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting = 0;
    this.#isPausing = true;
  }

  #flush(): void {
    this.#isPausing = false;
    if (this.#waiting === 0) return;
    const count = Math.min(MAX_COUNT, this.#waiting);
    this.#waiting -= count;
    this.#pause();
    this.#send(count);
  }

  #pause(): void {
    this.#isPausing = true;
    this.#timer = setTimeout(() => this.#flush(), PAUSE_MS);
  }
}
