// What the page's own address says.

import type { Transport } from "../sdk/types";

/** The room of a page address /watch/ROOM; null when it names none. */
export function roomOf(path: string): string | null {
  const match = /^\/watch\/([^/]+)\/?$/.exec(path);
  try {
    return match?.[1] ? decodeURIComponent(match[1]) : null;
  } catch {
    return null; // not valid percent-encoding
  }
}

/** `?via=webrtc`, `ws` or `http` forces one; null: nothing is forced. */
export function transportOf(query: string): Transport | null {
  const via = new URLSearchParams(query).get("via");
  return via === "webrtc" || via === "ws" || via === "http" ? via : null;
}

/** The token of `#token=...`: what follows the # never leaves the browser. */
export function tokenIn(fragment: string): string | null {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("token");
}
