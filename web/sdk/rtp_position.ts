// Where the shown picture is, by WebRTC: its RTP time against one known place, which the server names in the header
// `Streamer-Timeline` and repeats over the room's socket.

import type { Place } from "./place";
import type { Ticks } from "./types";

/** RTP time `rtp` (32 bits) is media time `t` of broadcast `epoch`. */
export interface RtpAnchor {
  readonly epoch: string;
  readonly rtp: number;
  readonly t: Ticks;
}

const OPUS_PER_TICK = 48_000 / 90_000;

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

/** Turns RTP times of one connection into places. */
export class RtpPosition {
  #anchor: RtpAnchor | null = null;
  #latest: Ticks | null = null;

  get epoch(): string | null {
    return this.#anchor?.epoch ?? null;
  }

  /**
   * Take a place that the server names. Another broadcast's is ignored while this connection has one of its own: RTP time
   * begins anew with each, and the connection with it.
   */
  anchorAt(anchor: RtpAnchor): void {
    if (this.#anchor === null || this.#anchor.epoch === anchor.epoch) this.#anchor = anchor;
  }

  /** The place of the picture with this RTP time; null before there is an anchor. */
  picture(rtp: number): Place | null {
    if (this.#anchor === null) return null;
    const { epoch } = this.#anchor;
    // A signed difference of 32 bits is right within 6.6 hours of the anchor, so the anchor moves along.
    const t = this.#anchor.t + ((rtp - this.#anchor.rtp) | 0);
    this.#anchor = { epoch, rtp: rtp >>> 0, t };
    this.#latest = t;
    return { epoch, t, reach: t };
  }

  /** The place of the sound with this RTP time: the same origin, but a clock of 48 kHz (docs/timeline.md). */
  sound(rtp: number): Place | null {
    if (this.#anchor === null) return null;
    const { epoch, t: anchorT } = this.#anchor;
    const near = this.#latest ?? anchorT;
    const origin = this.#anchor.rtp - anchorT;
    const expected = origin + Math.round(near * OPUS_PER_TICK);
    const t = Math.round((Math.round(near * OPUS_PER_TICK) + wrapped(rtp - expected)) / OPUS_PER_TICK);
    this.#latest = t;
    return { epoch, t, reach: t };
  }
}

/** A difference of any size as a signed one of 32 bits. `|` alone would lose what is beyond 2^53. */
function wrapped(difference: number): number {
  return (difference % 2 ** 32) | 0;
}
