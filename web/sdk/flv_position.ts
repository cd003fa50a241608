// Where the shown picture is, in FLV. The stream says in its script tag `onTimeline` which broadcast it is (`epoch`) and
// at which true time it begins (`base_ms`); the player's zero is that time.

import { type Place, TICKS_PER_MS } from "./place";

export interface FlvAnchor {
  readonly epoch: string;
  readonly baseMs: number;
}

/** Reads the body of a script tag; null when it is another one, or not of this shape. */
export function readFlvAnchor(script: unknown): FlvAnchor | null {
  const body = isRecord(script) ? script["onTimeline"] : undefined;
  if (!isRecord(body)) return null;
  const { epoch, base_ms: baseMs } = body;
  if (typeof epoch !== "string" || typeof baseMs !== "number" || !Number.isFinite(baseMs)) return null;
  return { epoch, baseMs };
}

/** The place of the picture at `mediaTime`, in the player's seconds. */
export function flvPlace(anchor: FlvAnchor, mediaTime: number): Place {
  const t = TICKS_PER_MS * (anchor.baseMs + Math.round(1000 * mediaTime));
  return { epoch: anchor.epoch, t, reach: t + TICKS_PER_MS - 1 };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
