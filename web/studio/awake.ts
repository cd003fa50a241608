/** Keeps the screen on while it is wanted: a phone that locks its screen stops its camera. */
export class Awake {
  #isWanted = false;
  #lock: WakeLockSentinel | null = null;

  constructor() {
    // The browser takes the lock away from a page that is hidden, and does not give it back.
    document.addEventListener("visibilitychange", () => void this.#ask());
  }

  want(isWanted: boolean): void {
    this.#isWanted = isWanted;
    if (isWanted) return void this.#ask();
    void this.#lock?.release().catch(() => undefined);
    this.#lock = null;
  }

  async #ask(): Promise<void> {
    if (!this.#needsLock() || document.visibilityState !== "visible") return;
    try {
      const lock = await navigator.wakeLock?.request("screen");
      if (this.#needsLock()) this.#lock = lock ?? null;
      else await lock?.release(); // over meanwhile, or another request was quicker
    } catch {
      // the browser decides, for instance to save its battery
    }
  }

  #needsLock(): boolean {
    return this.#isWanted && (this.#lock === null || this.#lock.released);
  }
}
