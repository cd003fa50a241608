// What a host reads when something is wrong.

import { mayRetry } from "../sdk/backoff";
import type { Kind, Trouble } from "./camera";

const DEVICES = { video: "camera", audio: "microphone" } as const;

/** `{device}` is "camera", "microphone" or "camera or microphone". */
const CAMERA: Readonly<Record<string, string>> = {
  NotAllowedError: "The {device} is not allowed. Allow it in the browser's address bar, then try again.",
  NotFoundError: "No {device} was found.",
  NotReadableError: "The {device} is in use by another program.",
  AbortError: "The {device} did not start. Try again, or choose another one.",
  OverconstrainedError: "The chosen {device} is gone. Choose another one.",
};

/** Why a camera or a microphone did not open. */
export function explainCamera({ name, kinds }: Trouble): string {
  const device = kinds.map((kind) => DEVICES[kind]).join(" or ");
  return (CAMERA[name] ?? `The {device} could not be opened (${name}).`).replace("{device}", device);
}

/** A device was unplugged, or the browser took it away. */
export function explainEnded(kind: Kind): string {
  return `The ${DEVICES[kind]} has stopped. Choose it again, or another one.`;
}

/** Why the browser offers no cameras at all: it has them only for pages that nobody can change on the way. */
export function explainNoCameras(hostname: string, isSecure: boolean): string {
  if (isSecure) return "This browser gives no camera to pages. Please use a recent Chrome, Edge or Safari.";
  const address = `https://${hostname}:8443 (see "streamer cert")`;
  return `A browser gives its camera only to a page over HTTPS. Open ${address}, or use localhost.`;
}

/** What the server said, and whether the same request may succeed soon. */
export interface Refusal {
  readonly message: string;
  readonly again: boolean;
}

const BY_STATUS: Readonly<Record<number, Refusal>> = {
  401: { message: "This room needs its stream key.", again: false },
  403: { message: "The stream key is not right for this room.", again: false },
  404: { message: "There is no such room.", again: false },
  409: { message: "Somebody else is live in this room. Trying again.", again: true },
  422: {
    message: "This browser sends nothing that the server takes. Please use a recent Chrome, Edge or Safari.",
    again: false,
  },
  503: { message: "The server is full or restarting. Trying again.", again: true },
};

/** Why a broadcast was not begun: the answer's status, its numbered reason, and for how long to wait (Retry-After). */
export function explainStatus(status: number, code: number | null = null, waitS: string | null = null): Refusal {
  if (code === STOPPED) {
    return { message: "An operator has closed this room to broadcasts for now. Please try again later.", again: false };
  }
  if (status === 403 && waitS) {
    return { message: `After wrong stream keys, please wait ${waitS} s and try again.`, again: false };
  }
  return BY_STATUS[status] ?? { message: `The server answered ${status}. Trying again.`, again: true };
}

const STOPPED = 4103;
/** What a server says that has restarted: it knows no session of before. */
const NOT_FOUND = 4104;
const LOST: Refusal = { message: "The connection was lost. Trying again.", again: true };
const BY_CODE: Readonly<Record<number, string>> = {
  4001: "The server is restarting. Trying again.",
  4100: "Somebody else went live in this room with the same key.",
  4102: "The server could not read what this browser sent.",
  [STOPPED]: "The broadcast was stopped by an operator.",
};

/** Why a session ended, by the server's numbered reason; null where it is not known. */
export function explainEnd(code: number | null): Refusal {
  if (code === null || code === NOT_FOUND) return LOST;
  const again = mayRetry(code);
  return { message: BY_CODE[code] ?? (again ? LOST.message : "The server has ended the broadcast."), again };
}

/** 1.8 Mb/s, 640 kb/s. */
export function bitrate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1e6 ? `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s` : `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}
