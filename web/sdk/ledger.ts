// What has been had of the commerce lane: each event once and in order, whichever way it came, and no hole unnoticed.

import type { Since } from "./room_wire";
import type { RoomEvent } from "./types";

/** Commerce events that came before those in front of them. Beyond it, recovery brings them anyway. */
const MAX_EARLY = 512;

export class Ledger {
  #log: string | null = null;
  #seq = 0;
  #id: string | null = null;
  #early = new Map<number, RoomEvent>();
  /** Without the room's history, the FLV stream's events are told apart by id alone. */
  #alone = new Set<string>();

  /** For `join`; null for a newcomer. */
  get since(): Since | null {
    if (this.#log === null) return null;
    return { log: this.#log, seq: this.#seq, ...(this.#id === null ? {} : { id: this.#id }) };
  }

  get seq(): number {
    return this.#seq;
  }

  get log(): string | null {
    return this.#log;
  }

  /** Something is missing between what was told and what came. */
  get hasGap(): boolean {
    return this.#early.size > 0;
  }

  /** A new beginning: all before `seq` is told as state. */
  begin(log: string, seq: number): void {
    this.#log = log;
    this.#seq = seq;
    this.#id = null;
    this.#early.clear();
    this.#alone.clear();
  }

  /** The events that are new with this one, in order: none, it, or it and those that had come early. */
  take(event: RoomEvent): readonly RoomEvent[] {
    if (event.seq === null) return [event];
    if (this.#log === null) return this.#takeAlone(event);
    if (event.seq <= this.#seq) return [];
    if (this.#early.size < MAX_EARLY) this.#early.set(event.seq, event);
    const found: RoomEvent[] = [];
    for (let next = this.#early.get(this.#seq + 1); next; next = this.#early.get(this.#seq + 1)) {
      this.#early.delete(this.#seq + 1);
      this.#seq++;
      this.#id = next.id;
      found.push(next);
    }
    return found;
  }

  /** Whether the room is further than what was told, of the same log: then something got lost on the way. */
  isBehind(log: string, seq: number): boolean {
    return this.#log !== log || seq > this.#seq;
  }

  #takeAlone(event: RoomEvent): readonly RoomEvent[] {
    if (this.#alone.has(event.id)) return [];
    if (this.#alone.size >= MAX_EARLY) this.#alone.clear();
    this.#alone.add(event.id);
    return [event];
  }
}
