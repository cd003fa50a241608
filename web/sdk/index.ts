// The SDK: what /web/sdk.js exports. README.md tells how to use it, types.ts what each thing is.

import { RoomSession } from "./session";
import type { ConnectOptions, Session } from "./types";

export { Refused } from "./refusal";
export type * from "./types";

/**
 * Enter a room: the picture on `options.video`, its events, its shop. Connects as soon as the caller is done, so that
 * whoever listens from the start misses nothing; and comes back by itself.
 */
export function connect(room: string, options: ConnectOptions): Session {
  const session = new RoomSession(room, options.origin ?? new URL(import.meta.url).origin, options);
  queueMicrotask(() => session.open());
  return session;
}
