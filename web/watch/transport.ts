// The two ways to the same bytes.

export type Transport = "ws" | "http";

/** Which transports to try, in order. `?via=ws` and `?via=http` force one. */
export function transports(query: string): readonly Transport[] {
  const via = new URLSearchParams(query).get("via");
  return via === "ws" || via === "http" ? [via] : ["ws", "http"];
}

/** The address of a room's stream, for a page at `origin` (https://host:port). Both are absolute. */
export function streamUrl(origin: string, room: string, transport: Transport): string {
  const url = new URL(`/live/${encodeURIComponent(room)}.flv`, origin);
  if (transport === "ws") url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** The room of a page address /watch/ROOM; null when it names none. */
export function roomOf(path: string): string | null {
  const match = /^\/watch\/([^/]+)\/?$/.exec(path);
  try {
    return match?.[1] ? decodeURIComponent(match[1]) : null;
  } catch {
    return null; // not valid percent-encoding
  }
}
