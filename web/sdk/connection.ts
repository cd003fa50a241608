// One connection for the picture, over one transport, from `open` to `close` or to its end. It never comes back by itself:
// that is `media.ts`'s part.

import type { Failure } from "./transport_plan";
import type { Shown } from "./frames";
import type { Place } from "./place";
import type { RtpAnchor } from "./rtp_position";
import type { MediaCode } from "./types";

/** Why a connection is over. */
export interface End {
  readonly code: MediaCode;
  /** What it says about the transport. */
  readonly how: Failure;
  /** False: nothing will change by asking again. */
  readonly mayRetry: boolean;
  readonly closeCode: number | null;
  readonly detail: string | null;
  readonly retryAfterMs: number | null;
}

/** What a connection tells; none of it after its end or `close()`. */
export interface ConnectionListener {
  /** It is about to let the element go, whose last picture can still be read. */
  onLeave(): void;
  /** The server has let us in: media is due from now on. */
  onAdmitted(): void;
  onFrame(place: Place | null, shown: Shown): void;
  /** A script tag of the stream. */
  onScript(script: unknown): void;
  /** `play()` was refused until somebody clicks. */
  onBlocked(): void;
  onEnd(end: End): void;
}

export interface Measured {
  readonly jumps: number;
  readonly dropped: number;
  readonly freezes: number | null;
  readonly bufferS: number;
}

export interface Connection {
  open(): void;
  close(): void;
  /** A number that grows while media arrives, whether or not it can be shown. */
  readonly arrived: number;
  readonly measured: Measured;
  /** The player's own idea of its place, for where no pictures are told of; null while it has none. */
  sample(): Place | null;
  /** The room's socket says where RTP time and media time meet. */
  anchorAt(anchor: RtpAnchor): void;
}

export interface ConnectionSettings {
  readonly video: HTMLVideoElement;
  readonly origin: string;
  readonly room: string;
  readonly rendition: string | null;
  readonly token: string | null;
  /** Asked for once per connection. */
  readonly ticket: () => Promise<string | null>;
}

/** An end by HTTP status; `detail` is the server's. */
export function endOfStatus(status: number, detail: string | null, retryAfterMs: number | null): End {
  const known = BY_STATUS[status] ?? { code: "lost", how: "lost", mayRetry: true };
  return { ...known, closeCode: null, detail, retryAfterMs };
}

/** An end by the server's number (media/reasons.py); null or a number of the WebSocket's own: nobody knows why. */
export function endOfClose(closeCode: number | null): End {
  const known = (closeCode !== null && BY_CLOSE[closeCode]) || { code: "lost", how: "lost" };
  const mayRetry = closeCode === null || closeCode < 4100;
  return { ...known, mayRetry, closeCode, detail: null, retryAfterMs: null };
}

export function endOf(code: MediaCode, how: Failure, detail: string | null = null): End {
  return { code, how, mayRetry: true, closeCode: null, detail, retryAfterMs: null };
}

type Known = Pick<End, "code" | "how" | "mayRetry">;

const BY_STATUS: Readonly<Record<number, Known>> = {
  401: { code: "forbidden", how: "room", mayRetry: false },
  403: { code: "forbidden", how: "room", mayRetry: false },
  404: { code: "not-live", how: "room", mayRetry: true },
  409: { code: "not-live", how: "room", mayRetry: true },
  415: { code: "unusable", how: "transport", mayRetry: true },
  400: { code: "unusable", how: "transport", mayRetry: true },
  422: { code: "unusable", how: "transport", mayRetry: true },
  503: { code: "full", how: "room", mayRetry: true },
};

const BY_CLOSE: Readonly<Record<number, Pick<End, "code" | "how">>> = {
  4000: { code: "ended", how: "room" },
  4001: { code: "restart", how: "room" },
  4008: { code: "too-slow", how: "room" },
  4009: { code: "full", how: "room" },
  4010: { code: "changed", how: "room" },
  4011: { code: "changed", how: "room" },
  4013: { code: "changed", how: "room" },
  4103: { code: "stopped", how: "room" },
  4104: { code: "no-room", how: "room" },
  4105: { code: "forbidden", how: "room" },
};
