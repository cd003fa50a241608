// The ways to the same pictures.

/** The two ways to FLV. */
export type FlvTransport = "ws" | "http";
export type Transport = FlvTransport | "webrtc";

/** Whether the page was asked to play by WebRTC: `?via=webrtc`. */
export function wantsWebRtc(query: string): boolean {
  return new URLSearchParams(query).get("via") === "webrtc";
}

/** Which ways to FLV to try, in order. `?via=ws` and `?via=http` force one. */
export function transports(query: string): readonly FlvTransport[] {
  const via = new URLSearchParams(query).get("via");
  return via === "ws" || via === "http" ? [via] : ["ws", "http"];
}

/** The address of a room's stream, for a page at `origin` (https://host:port). Both are absolute. */
export function streamUrl(origin: string, room: string, transport: FlvTransport): string {
  const url = new URL(`/live/${encodeURIComponent(room)}.flv`, origin);
  if (transport === "ws") url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** Where to ask for a room by WHEP. */
export function whepUrl(origin: string, room: string): string {
  return new URL(`/whep/${encodeURIComponent(room)}`, origin).href;
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
