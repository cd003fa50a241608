// The room's messages as values. What cannot be read is null: a message of a later server is not this one's end.

import type { RtpAnchor } from "./rtp_position";
import type { RoomEvent, SyncMode, Ticks, Totals, You } from "./types";

export type Fields = Readonly<Record<string, unknown>>;

/** Where a client is in the commerce lane's history. */
export interface Since {
  readonly log: string;
  readonly seq: number;
  readonly id?: string;
}

/** A hello that begins anew, a reset, or a hello that goes on (`recovered`). */
export interface Beginning {
  readonly log: string;
  readonly seq: number;
  readonly recovered: boolean;
  readonly state: readonly RoomEvent[];
  readonly events: readonly RoomEvent[];
  readonly recent: readonly RoomEvent[];
  readonly totals: Totals;
}

/** A tick's events, and how far the commerce lane is after it. */
export interface Tick {
  readonly log: string;
  readonly seq: number;
  readonly events: readonly RoomEvent[];
}

/** What hello, reset, `time`, and the answers of the long poll say of the broadcast. */
export interface Now {
  readonly wallMs: number;
  readonly epoch: string | null;
  /** The media time that is broadcast at `wallMs`. */
  readonly t: Ticks | null;
  readonly anchor: RtpAnchor | null;
  readonly sync: SyncMode;
}

export function readMessage(data: unknown): Fields | null {
  if (typeof data !== "string") return null;
  try {
    return asFields(JSON.parse(data));
  } catch {
    return null; // not JSON
  }
}

export function asFields(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

export function readBeginning(message: Fields): Beginning | null {
  const { log, seq } = message;
  if (typeof log !== "string" || !isWhole(seq)) return null;
  const totals = asFields(message["totals"]) ?? {};
  return {
    log,
    seq,
    recovered: message["recovered"] === true,
    state: readEvents(message["state"]),
    events: readEvents(message["events"]),
    recent: readEvents(message["recent"]),
    totals: { likes: count(totals["likes"]), presence: count(totals["presence"]) },
  };
}

export function readTick(message: Fields): Tick | null {
  const { log, seq } = message;
  if (typeof log !== "string" || !isWhole(seq)) return null;
  return { log, seq, events: readEvents(message["events"]) };
}

export function readNow(message: Fields): Now | null {
  const { wall_ms: wallMs, epoch, sync } = message;
  if (typeof wallMs !== "number" || !Number.isFinite(wallMs)) return null;
  return {
    wallMs,
    epoch: typeof epoch === "string" ? epoch : null,
    t: numberOrNull(message["t"]),
    anchor: readAnchor(message["anchor"]),
    sync: sync === "wall" || sync === "frame+hold" ? sync : "frame",
  };
}

export function readYou(message: Fields): (You & { readonly token: string | null }) | null {
  const you = asFields(message["you"]);
  if (you === null || typeof you["sender"] !== "string") return null;
  const { sender, role, token } = you;
  return {
    sender,
    role: role === "moderator" || role === "host" || role === "backend" ? role : "viewer",
    maySend: you["may_send"] === true,
    token: typeof token === "string" ? token : null,
  };
}

/** An event of the socket, the long poll, or the FLV stream; null when it is none. */
export function readEvent(value: unknown): RoomEvent | null {
  const event = asFields(value);
  if (event === null) return null;
  const { id, kind, epoch, t, seq, ttl, sender, at_ms: atMs, lane } = event;
  const body = asFields(event["body"]);
  if (typeof id !== "string" || typeof kind !== "string" || body === null) return null;
  const read = {
    id,
    kind,
    epoch: typeof epoch === "string" ? epoch : null,
    t: numberOrNull(t),
    seq: numberOrNull(seq),
    lane: lane === "commerce" ? "commerce" : "ambient",
    ttl: numberOrNull(ttl),
    sender: typeof sender === "string" ? sender : "",
    at_ms: numberOrNull(atMs),
    body,
  };
  // The body is the kind's: the server has checked it. A kind that is not known here is heard under "*" alone.
  return read as unknown as RoomEvent;
}

function readEvents(value: unknown): readonly RoomEvent[] {
  return Array.isArray(value) ? value.map(readEvent).filter((event) => event !== null) : [];
}

function readAnchor(value: unknown): RtpAnchor | null {
  const anchor = asFields(value);
  if (anchor === null) return null;
  const { epoch, rtp, t } = anchor;
  return typeof epoch === "string" && isWhole(rtp) && isWhole(t) ? { epoch, rtp, t } : null;
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function count(value: unknown): number {
  return numberOrNull(value) ?? 0;
}
