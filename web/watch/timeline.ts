// Where the shown picture is on the broadcast's own timeline. The stream says in its script tag `onTimeline` which
// broadcast it is (`epoch`) and at which true time it begins (`base_ms`); the player's zero is that time.

export interface Anchor {
  readonly epoch: string;
  readonly baseMs: number;
}

/** Reads the body of a script tag; null when it is another one, or not of this shape. */
export function readAnchor(script: unknown): Anchor | null {
  const body = isRecord(script) ? script["onTimeline"] : undefined;
  if (!isRecord(body)) return null;
  const { epoch, base_ms: baseMs } = body;
  if (typeof epoch !== "string" || typeof baseMs !== "number" || !Number.isFinite(baseMs)) return null;
  return { epoch, baseMs };
}

/** Turns positions of the player into media time. Never steps back within one epoch. */
export class Position {
  #anchor: Anchor | null = null;
  #nowMs: number | null = null;

  get epoch(): string | null {
    return this.#anchor?.epoch ?? null;
  }

  /** Milliseconds of media time of the picture that was shown last; null before the first one. */
  get nowMs(): number | null {
    return this.#nowMs;
  }

  /** A connection begins; its positions count from its own base. */
  anchorAt(anchor: Anchor): void {
    if (anchor.epoch !== this.epoch) this.#nowMs = null;
    this.#anchor = anchor;
  }

  /** A picture with this media time, in the player's seconds, is on the screen. */
  shown(mediaTime: number): void {
    if (this.#anchor === null) return;
    const nowMs = this.#anchor.baseMs + Math.round(1000 * mediaTime);
    this.#nowMs = Math.max(nowMs, this.#nowMs ?? nowMs);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
