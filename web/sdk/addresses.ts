// The addresses of a room on a node. `origin` is scheme, host and port; every address is absolute.

/** The two ways to FLV. */
export type FlvTransport = "ws" | "http";

/** What an address may carry beyond its path. A ticket is the only secret that ever stands in one, and lives 60 s. */
export interface Asked {
  readonly rendition?: string | null;
  readonly ticket?: string | null;
}

export function flvUrl(origin: string, room: string, transport: FlvTransport, asked: Asked = {}): string {
  const url = at(origin, `/live/${encodeURIComponent(room)}.flv`, { rendition: asked.rendition, ticket: asked.ticket });
  return transport === "ws" ? overWebSocket(url) : url.href;
}

export function whepUrl(origin: string, room: string, asked: Asked = {}): string {
  return at(origin, `/whep/${encodeURIComponent(room)}`, { rendition: asked.rendition }).href;
}

export function renditionsUrl(origin: string, room: string): string {
  return at(origin, `/live/${encodeURIComponent(room)}/renditions`).href;
}

/** Below `/rooms/ROOM`: "/ws", "/poll", "/events", "/shop/buy". */
export function roomUrl(origin: string, room: string, path: string, query: Record<string, string> = {}): string {
  const url = at(origin, `/rooms/${encodeURIComponent(room)}${path}`, query);
  return path === "/ws" ? overWebSocket(url) : url.href;
}

/** A session's address as the server names it, on the origin that we know: behind a proxy the server may not know its own. */
export function sessionUrl(origin: string, location: string): string {
  return new URL(new URL(location, origin).pathname, origin).href;
}

function at(origin: string, path: string, query: Record<string, string | null | undefined> = {}): URL {
  const url = new URL(path, origin);
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  return url;
}

function overWebSocket(url: URL): string {
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
