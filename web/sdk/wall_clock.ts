// The server's wall clock, as far as it can be known from here: of many answers the quickest one tells it best.

interface Sample {
  readonly offsetMs: number;
  readonly boundMs: number;
  readonly at: number;
}

/** Quartz clocks drift apart by up to 50 ppm: 30 ms in ten minutes. An older sample is worth less than a slower one. */
const KEPT_MS = 600_000;
const DRIFT = 50e-6;
/** Two answers may be apart by so much beyond what they and the drift allow: whole milliseconds, a slewed clock. */
const SLACK_MS = 5;
const MAX_SAMPLES = 64;

/** All times are ms; `at` are `performance.now()`, `wallMs` are Unix times of the server. */
export class WallClock {
  #samples: readonly Sample[] = [];
  readonly #fallbackOffsetMs: number;

  /** `fallbackOffsetMs`: `Date.now() - performance.now()`, what is told until the server has said its time. */
  constructor(fallbackOffsetMs: number) {
    this.#fallbackOffsetMs = fallbackOffsetMs;
  }

  /** An answer with the server's time `wallMs`, asked for at `askedAt`, here at `heardAt`. */
  heard(wallMs: number, askedAt: number, heardAt: number): void {
    const boundMs = Math.max(0, heardAt - askedAt) / 2;
    // The server's time is that of some instant in between: its middle is wrong by half the round trip at most.
    const sample = { offsetMs: wallMs - (askedAt + heardAt) / 2, boundMs, at: heardAt };
    const fresh = this.#samples.filter((kept) => heardAt - kept.at <= KEPT_MS && !contradicts(kept, sample));
    this.#samples = [...fresh, sample].sort((a, b) => a.boundMs - b.boundMs).slice(0, MAX_SAMPLES);
  }

  get offsetMs(): number {
    return this.#samples[0]?.offsetMs ?? this.#fallbackOffsetMs;
  }

  /** How wrong it can be; null before the first answer. */
  get boundMs(): number | null {
    return this.#samples[0]?.boundMs ?? null;
  }

  /** The server's Unix time at the page's time `at`. */
  wallMs(at: number): number {
    return at + this.offsetMs;
  }

  /** The page's time at the server's Unix time. */
  at(wallMs: number): number {
    return wallMs - this.offsetMs;
  }
}

/**
 * Both cannot be true of the same two clocks: this one stood still meanwhile, as `performance.now()` does while a phone
 * sleeps, or the server's was set. However exact the former answer was, it is of another time.
 */
function contradicts(former: Sample, latest: Sample): boolean {
  const allowedMs = former.boundMs + latest.boundMs + (latest.at - former.at) * DRIFT + SLACK_MS;
  return Math.abs(latest.offsetMs - former.offsetMs) > allowedMs;
}
