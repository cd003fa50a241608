// The SDK: what /web/sdk.js exports. README.md tells how to use it, types.ts what each thing is.

import { RoomSession } from "./session";
import type { ConnectOptions, Session } from "./types";

export { Refused } from "./refusal";
export type * from "./types";

/** Enter a room: the picture on `options.video`, its events, its shop. Connects at once, and comes back by itself. */
export function connect(room: string, options: ConnectOptions): Session {
  const session = new RoomSession(room, options.origin ?? new URL(import.meta.url).origin, options);
  session.open();
  return session;
}
