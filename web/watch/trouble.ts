// From what the session says to what a viewer should read, and when: a hiccup is nobody's business.

import type { Key } from "../i18n/words";
import type { MediaCode, SessionState } from "../sdk/types";

export type Level =
  | "none"
  | "spinner" // no picture yet, and no reason to say why
  | "start" // a button: the browser wants a click
  | "toast" // a line over the picture that stands still
  | "panel"; // nothing to see but this

export interface Trouble {
  readonly level: Level;
  readonly what: Key | null;
  readonly hint: Key | null;
  /** Whether pressing "again" may help. */
  readonly again: boolean;
}

export interface Seen {
  /** The picture has been there. */
  readonly hadPicture: boolean;
  /** For how long it has not been well. */
  readonly troubledMs: number;
  /** For how long the room has not been joined. */
  readonly apartMs: number;
  /** Whether the room says that there is a broadcast; null: it has not said. */
  readonly isLive: boolean | null;
}

/** A reconnect within this is silent. */
export const PATIENCE_MS = 3_000;
/** The picture goes on without the chat: that can wait longer. */
export const CHAT_PATIENCE_MS = 8_000;

const NONE: Trouble = { level: "none", what: null, hint: null, again: false };

/** Said at once; the rest when patience is at its end. */
const AT_ONCE: ReadonlySet<MediaCode> = new Set<MediaCode>([
  "not-live",
  "ended",
  "stopped",
  "no-room",
  "forbidden",
  "full",
  "unsupported",
  "unusable",
]);

const REASONS: Readonly<Record<MediaCode, Key>> = {
  "not-live": "trouble.nobody",
  "host-away": "trouble.stopped",
  ended: "trouble.ended",
  restart: "trouble.restarting",
  "too-slow": "trouble.slow",
  full: "trouble.full",
  changed: "trouble.lost",
  stopped: "trouble.closed",
  "no-room": "trouble.noroom",
  forbidden: "trouble.private",
  "no-picture": "trouble.lost",
  "no-route": "trouble.lost",
  unusable: "trouble.blocked",
  unsupported: "trouble.unsupported",
  autoplay: "start",
  offline: "trouble.offline",
  lost: "trouble.lost",
};

/** Reasons for which the picture that is still there is no longer the truth. */
const FINAL: ReadonlySet<MediaCode> = new Set<MediaCode>(["ended", "stopped", "no-room", "forbidden", "unsupported"]);

/** A host that has just begun has its room told a moment before its picture is there. */
const LIVE_PATIENCE_MS = 1_000;

export function troubleOf({ media, room }: SessionState, seen: Seen): Trouble {
  if (media.phase === "closed") return NONE;
  if (media.phase === "blocked") return { level: "start", what: "start", hint: null, again: false };
  if (isWell(media)) return roomTrouble(room, seen);
  const code = media.code ?? guess(media.phase, seen);
  if (code === null || (!AT_ONCE.has(code) && seen.troubledMs < PATIENCE_MS && media.phase !== "silent")) {
    return seen.hadPicture ? NONE : { ...NONE, level: "spinner" };
  }
  const what = code === "forbidden" && room.code === "token" ? "trouble.expired" : REASONS[code];
  const level = seen.hadPicture && !FINAL.has(code) ? "toast" : "panel";
  return { level, what, hint: hintOf(what), again: media.phase === "over" && code !== "unsupported" };
}

/** The picture is there, or is not wanted at the moment. */
export function isWell({ phase }: SessionState["media"]): boolean {
  return phase === "playing" || phase === "paused";
}

/** What is the matter while the server has not said so: it holds a viewer's request for some seconds for a host to come. */
function guess(phase: SessionState["media"]["phase"], { hadPicture, troubledMs, isLive }: Seen): MediaCode | null {
  if (phase === "silent") return "host-away";
  return isLive === false && !hadPicture && troubledMs >= LIVE_PATIENCE_MS ? "not-live" : null;
}

/** The picture is well. */
function roomTrouble(room: SessionState["room"], { apartMs }: Seen): Trouble {
  if (room.code === "token") return { level: "toast", what: "trouble.expired", hint: hintOf("trouble.expired"), again: false };
  const apart = room.phase === "retrying" || room.phase === "over";
  if (!apart || apartMs < CHAT_PATIENCE_MS) return NONE;
  return { level: "toast", what: "trouble.chat", hint: null, again: room.phase === "over" };
}

const HINTS: Partial<Record<Key, Key>> = {
  "trouble.offline": "trouble.offline.hint",
  "trouble.lost": "trouble.lost.hint",
  "trouble.slow": "trouble.slow.hint",
  "trouble.stopped": "trouble.stopped.hint",
  "trouble.nobody": "trouble.nobody.hint",
  "trouble.ended": "trouble.ended.hint",
  "trouble.closed": "trouble.closed.hint",
  "trouble.restarting": "trouble.restarting.hint",
  "trouble.full": "trouble.full.hint",
  "trouble.private": "trouble.private.hint",
  "trouble.expired": "trouble.expired.hint",
  "trouble.noroom": "trouble.noroom.hint",
  "trouble.unsupported": "trouble.unsupported.hint",
  "trouble.blocked": "trouble.blocked.hint",
};

function hintOf(what: Key): Key | null {
  return HINTS[what] ?? null;
}
