// Where a picture that came by WebRTC is on the broadcast's timeline: its RTP time against one known place, which the
// server names in the header `Streamer-Timeline`.

/** RTP time `rtp` (32 bits) is media time `t` (ticks of 1/90000 s) of broadcast `epoch`. */
export interface RtpAnchor {
  readonly epoch: string;
  readonly rtp: number;
  readonly t: number;
}

const TICKS_PER_MS = 90;

/** Reads `epoch=...;rtp=...;t=...`; null when it is not of this shape. */
export function readRtpAnchor(header: string | null): RtpAnchor | null {
  if (header === null) return null;
  const fields = new Map(header.split(";").map((field) => field.trim().split("=", 2) as [string, string | undefined]));
  const epoch = fields.get("epoch");
  const rtp = Number(fields.get("rtp") ?? Number.NaN);
  const t = Number(fields.get("t") ?? Number.NaN);
  if (!epoch || !Number.isSafeInteger(rtp) || !Number.isSafeInteger(t)) return null;
  return { epoch, rtp, t };
}

/** Turns RTP times of shown pictures into media time. Never steps back within one epoch. */
export class RtpPosition {
  #anchor: RtpAnchor | null = null;
  #nowT: number | null = null;

  get epoch(): string | null {
    return this.#anchor?.epoch ?? null;
  }

  /** Media time in ticks of the picture that was shown last; null before the first one. */
  get nowT(): number | null {
    return this.#nowT;
  }

  /** The same in whole milliseconds. */
  get nowMs(): number | null {
    return this.#nowT === null ? null : Math.floor(this.#nowT / TICKS_PER_MS);
  }

  anchorAt(anchor: RtpAnchor): void {
    if (anchor.epoch !== this.epoch) this.#nowT = null;
    this.#anchor = anchor;
  }

  /** A picture with this RTP time is on the screen. */
  shown(rtp: number): void {
    if (this.#anchor === null) return;
    // Signed 32 bits: RTP time wraps every 13.26 hours, so the anchor moves along.
    const t = this.#anchor.t + ((rtp - this.#anchor.rtp) | 0);
    this.#anchor = { epoch: this.#anchor.epoch, rtp, t };
    this.#nowT = Math.max(t, this.#nowT ?? t);
  }
}
