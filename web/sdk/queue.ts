// Events that wait for their picture, or for their instant. Pure: what time it is and where the picture is are arguments.

import type { Place } from "./place";
import { TICKS_PER_MS } from "./place";
import type { Fired, RoomEvent, SyncMode, Ticks } from "./types";

/** By wall clock, an event is shown so long after it was taken: a room's longest tick of 200 ms and a slow network fit in. */
export const WALL_LEAD_MS = 500;
/** Ambient events that wait. A full room shows 20 a second, and a viewer is a few seconds behind at most. */
const MAX_AMBIENT = 2_000;

export interface Waiting {
  readonly event: RoomEvent;
  readonly snapshot: boolean;
  readonly own: boolean;
  /** The server's wall time in ms at which it is due, whatever the picture shows; null: by the picture. */
  readonly dueWallMs: number | null;
  /** Whether it has been looked at before: then a picture reached it, else it came too late for its own. */
  hasWaited: boolean;
}

/** What decides whether an event is due. */
export interface Moment {
  /** The displayed picture; null while there is none. */
  readonly place: Place | null;
  /** Where the live edge is; null where nobody is live or nothing is known. */
  readonly edgeT: Ticks | null;
  /** The broadcast that the room is in; null: none. */
  readonly roomEpoch: string | null;
  /** Whether a broadcast is known to be over, so that every picture is past it. */
  readonly isOver: (epoch: string) => boolean;
  /** There has been no picture for so long that the live edge stands in for it. */
  readonly isBlind: boolean;
  readonly wallMs: number;
  /** The page is in the background: what only a viewer can use waits. */
  readonly hidden: boolean;
}

export interface Due {
  readonly waiting: Waiting;
  readonly lateMs: number;
  readonly by: Fired["by"];
}

export class EventQueue {
  #waiting: Waiting[] = [];
  #stale = 0;

  /** Ambient events that were dropped: their time had passed, or there were too many. */
  get stale(): number {
    return this.#stale;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** `more.dueWallMs` as in Waiting. Keeps the order in which events of the same place were told. */
  push(event: RoomEvent, more: { snapshot?: boolean; own?: boolean; dueWallMs?: number | null } = {}): void {
    const { snapshot = false, own = false, dueWallMs = null } = more;
    this.#waiting.push({ event, snapshot, own, dueWallMs, hasWaited: false });
    this.#bound();
  }

  clear(): void {
    this.#waiting = [];
  }

  /** An event was taken off the screens, perhaps before it got there. */
  remove(id: string): void {
    this.#waiting = this.#waiting.filter(({ event }) => event.id !== id);
  }

  /** Take out what is due, in the order in which a picture meets it. */
  due(moment: Moment): readonly Due[] {
    const found: Due[] = [];
    const kept: Waiting[] = [];
    for (const waiting of this.#waiting) {
      if (isStale(waiting, moment)) this.#stale++;
      else if (isDue(waiting, moment)) found.push(dueOf(waiting, moment));
      else kept.push(waiting);
    }
    for (const waiting of kept) waiting.hasWaited = true;
    this.#waiting = kept;
    // The sort is stable: events of one place stay in the order in which they were told.
    return found.sort((a, b) => rank(a.waiting, moment) - rank(b.waiting, moment));
  }

  /** Back from the background: what was said meanwhile is past. */
  dropPast(moment: Moment): void {
    const seen = { ...moment, hidden: false };
    const before = this.#waiting.length;
    this.#waiting = this.#waiting.filter(
      (waiting) => !isTalk(waiting.event) || waiting.own || !isDue(waiting, seen),
    );
    this.#stale += before - this.#waiting.length;
  }

  /** The broadcasts that something waits for. */
  epochs(): ReadonlySet<string> {
    return new Set(this.#waiting.map(({ event }) => event.epoch).filter((epoch) => epoch !== null));
  }

  /** The earliest instant by wall clock that something waits for; null: nothing does. */
  nextWallMs(): number | null {
    let next: number | null = null;
    for (const { dueWallMs } of this.#waiting) if (dueWallMs !== null) next = Math.min(next ?? dueWallMs, dueWallMs);
    return next;
  }

  #bound(): void {
    const ambient = this.#waiting.filter(({ event }) => event.lane === "ambient").length;
    if (ambient <= MAX_AMBIENT) return;
    const first = this.#waiting.findIndex(({ event }) => event.lane === "ambient");
    this.#waiting.splice(first, 1);
    this.#stale++;
  }
}

/** When an event is due by wall clock under the room's rule; null: by the picture. */
export function wallDueMs(event: RoomEvent, sync: SyncMode, wallMsOf: (t: Ticks) => number | null): number | null {
  // A sale by wall clock has its card at the instant of opening, whatever the room's rule is (docs/shop.md).
  if (event.kind === "shop.sale" && !event.body.removed && event.body.sync === "wall") return event.body.opens_ms;
  if (sync !== "wall" || event.lane !== "commerce") return null;
  const placed = event.t === null ? null : wallMsOf(event.t);
  const instants = [event.at_ms, placed].filter((instant) => instant !== null);
  return instants.length > 0 ? Math.max(...instants) + WALL_LEAD_MS : null;
}

/** What is worth something to those alone who see it at its time. Totals are not: the latest one holds. */
function isTalk({ lane, kind }: RoomEvent): boolean {
  return lane === "ambient" && kind !== "likes" && kind !== "presence";
}

function isDue(waiting: Waiting, moment: Moment): boolean {
  const { event } = waiting;
  if (moment.hidden && isTalk(event) && !waiting.own) return false;
  if (waiting.dueWallMs !== null) return waiting.dueWallMs <= moment.wallMs;
  // The snapshot holds what every viewer's picture is past.
  if (waiting.snapshot || event.t === null || event.epoch === null) return true;
  if (event.epoch === moment.place?.epoch && event.t <= moment.place.reach) return true;
  if (moment.isOver(event.epoch)) return true;
  // The picture is not yet there: still the end of the broadcast before, or nothing at all.
  const isLive = event.epoch === moment.roomEpoch && moment.edgeT !== null;
  return moment.isBlind && isLive && event.t <= (moment.edgeT ?? 0);
}

function isStale(waiting: Waiting, moment: Moment): boolean {
  const { event } = waiting;
  if (!isTalk(event) || event.ttl === null || waiting.own) return false;
  const onScreen = event.t !== null && event.epoch === moment.place?.epoch ? moment.place : null;
  if (onScreen && event.t !== null) return onScreen.t - event.t > event.ttl * TICKS_PER_MS;
  const isPlaced = event.t !== null && event.epoch === moment.roomEpoch;
  return !isPlaced && event.at_ms !== null && moment.wallMs - event.at_ms > event.ttl;
}

function dueOf(waiting: Waiting, { place }: Moment): Due {
  const { event, hasWaited } = waiting;
  if (waiting.dueWallMs !== null) return { waiting, lateMs: 0, by: hasWaited ? "wall" : "arrival" };
  const placed = event.t !== null && event.epoch !== null && event.epoch === place?.epoch;
  const lateMs = placed ? Math.max(0, (place.t - (event.t ?? 0)) / TICKS_PER_MS) : 0;
  return { waiting, lateMs, by: placed && hasWaited ? "frame" : "arrival" };
}

/** Broadcasts before this one first, then by place. */
function rank({ event }: Waiting, { place, roomEpoch }: Moment): number {
  const isCurrent = event.epoch !== null && (event.epoch === place?.epoch || event.epoch === roomEpoch);
  return isCurrent && event.t !== null ? event.t : Number.NEGATIVE_INFINITY;
}
