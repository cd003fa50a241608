// What the page's own address asks for.

import type { TransportChoice } from "../sdk/types";

/** The room of a page address /watch/ROOM; null when it names none. */
export function roomOf(path: string): string | null {
  const match = /^\/watch\/([^/]+)\/?$/.exec(path);
  try {
    return match?.[1] ? decodeURIComponent(match[1]) : null;
  } catch {
    return null; // not valid percent-encoding
  }
}

/** `?via=webrtc`, `?via=ws` and `?via=http` force a transport. */
export function transportOf(query: string): TransportChoice {
  const via = new URLSearchParams(query).get("via");
  return via === "webrtc" || via === "ws" || via === "http" ? via : "auto";
}
