// What a host reads when something is wrong.

import type { Say, StudioKey } from "../i18n/studio";
import type { Values } from "../i18n/language";
import { mayRetry } from "../sdk/backoff";
import type { Kind, Trouble } from "./camera";

const CAMERA: ReadonlySet<string> = new Set([
  "NotAllowedError",
  "NotFoundError",
  "NotReadableError",
  "AbortError",
  "OverconstrainedError",
]);

/** Why a camera or a microphone did not open. */
export function explainCamera(say: Say, { name, kinds }: Trouble): string {
  const device = say(kinds.length === 1 ? `device.${kinds[0] as Kind}` : "device.both");
  const key = CAMERA.has(name) ? (`device.${name}` as StudioKey) : "device.other";
  return say(key, { device, name });
}

/** A device was unplugged, or the browser took it away. */
export function explainEnded(say: Say, kind: Kind): string {
  return say("device.ended", { device: say(`device.${kind}`) });
}

/** Why the browser offers no cameras at all: it has them only for pages that nobody can change on the way. */
export function explainNoCameras(say: Say, hostname: string, isSecure: boolean): string {
  return isSecure ? say("device.none") : say("device.insecure", { address: `https://${hostname}:8443` });
}

/** A sentence, in whichever language it is going to be said. */
export type Sentence = readonly [key: StudioKey, values?: Values];

/** What the server said, and whether the same request may succeed soon. */
export interface Refusal {
  readonly says: Sentence;
  readonly again: boolean;
}

const BY_STATUS: Readonly<Record<number, Refusal>> = {
  401: { says: ["refused.401"], again: false },
  403: { says: ["refused.403"], again: false },
  404: { says: ["refused.404"], again: false },
  409: { says: ["refused.409"], again: true },
  422: { says: ["refused.422"], again: false },
  503: { says: ["refused.503"], again: true },
};
const STOPPED = 4103;

/** Why a broadcast was not begun: the answer's status, its numbered reason, and for how long to wait (Retry-After). */
export function explainStatus(status: number, code: number | null = null, waitS: string | null = null): Refusal {
  if (code === STOPPED) return { says: ["refused.blocked"], again: false };
  if (status === 403 && waitS) return { says: ["refused.wait", { s: waitS }], again: false };
  return BY_STATUS[status] ?? { says: ["refused.other", { status }], again: true };
}

/** What a server says that has restarted: it knows no session of before. */
const NOT_FOUND = 4104;
const BY_CODE: Readonly<Record<number, StudioKey>> = {
  4001: "ended.4001",
  4100: "ended.4100",
  4102: "ended.4102",
  [STOPPED]: "ended.4103",
};

/** Why a session ended, by the server's numbered reason; null where it is not known. */
export function explainEnd(code: number | null): Refusal {
  if (code === null || code === NOT_FOUND) return { says: ["ended.lost"], again: true };
  const again = mayRetry(code);
  return { says: [BY_CODE[code] ?? (again ? "ended.lost" : "ended.other")], again };
}

/** 1.8 Mb/s, 640 kb/s. */
export function bitrate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1e6 ? `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s` : `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}
