// What a person reads when there is no picture.

import type { MediaCode, MediaState } from "../sdk/types";

const WORDS: Readonly<Record<MediaCode, string>> = {
  "not-live": "Nobody is live in this room yet. Waiting for the host.",
  "host-away": "The host's picture has stopped. Waiting for it to come back.",
  ended: "The broadcast is over.",
  restart: "The server is restarting. Trying again.",
  "too-slow": "Your connection is too slow for this stream. Trying again.",
  full: "This server is full. Trying again.",
  changed: "The stream has changed. Connecting again.",
  stopped: "The broadcast was stopped.",
  "no-room": "There is no such room.",
  forbidden: "You may not watch this room.",
  "no-picture": "There is no picture yet. Trying another way.",
  "no-route": "There is no picture yet. Trying another way.",
  unusable: "This stream cannot be played this way. Trying another way.",
  unsupported: "This browser cannot play this stream. Please use a recent Chrome, Edge, Firefox or Safari.",
  autoplay: "Press play to start.",
  offline: "You are offline. Waiting for the network.",
  lost: "The connection was lost. Trying again.",
};

/** A sentence for the state of the picture; empty while it plays. */
export function explain({ phase, code }: Pick<MediaState, "phase" | "code">): string {
  if (phase === "playing" || phase === "closed") return "";
  return code === null ? "Connecting." : WORDS[code];
}
