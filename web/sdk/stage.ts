// Where events meet the picture: they wait here, and fire in the callback of the frame that reaches them.

import type { Broadcast } from "./broadcast";
import type { Shown } from "./frames";
import { type Place, Progress } from "./place";
import { type Due, EventQueue, type Moment, wallDueMs } from "./queue";
import type { Beginning } from "./room_wire";
import type { EventOf, Fired, RoomEvent } from "./types";
import type { WallClock } from "./wall_clock";

/** Without a picture for so long, the live edge stands in for it: a viewer whose video fails can still buy. */
const BLIND_MS = 10_000;
/** How often it is looked whether something is due without a frame having said so. */
const LOOK_MS = 250;
/** Ambient events come again after a reconnection; so many are remembered. */
const MAX_SEEN = 2_048;

export interface StageListener {
  onFire(event: RoomEvent, fired: Fired): void;
  onAnnounced(event: EventOf<"shop.sale">): void;
  /** Who this viewer is, to know their own words by. */
  sender(): string | null;
}

export class Stage {
  readonly progress = new Progress();
  readonly #listener: StageListener;
  readonly #broadcast: Broadcast;
  readonly #clock: WallClock;
  readonly #queue = new EventQueue();
  readonly #seen = new Set<string>();
  #shown: Shown | null = null;
  #pictureAt = performance.now();
  #fired = 0;
  #wallTimer: ReturnType<typeof setTimeout> | undefined;
  #lookTimer: ReturnType<typeof setInterval> | undefined;
  readonly #onVisible = (): void => this.#visible();

  constructor(broadcast: Broadcast, clock: WallClock, listener: StageListener) {
    this.#broadcast = broadcast;
    this.#clock = clock;
    this.#listener = listener;
  }

  get counts(): { readonly events: number; readonly stale: number } {
    return { events: this.#fired, stale: this.#queue.stale };
  }

  open(): void {
    document.addEventListener("visibilitychange", this.#onVisible);
    this.#lookTimer = setInterval(() => this.look(), LOOK_MS);
  }

  close(): void {
    document.removeEventListener("visibilitychange", this.#onVisible);
    clearInterval(this.#lookTimer);
    clearTimeout(this.#wallTimer);
    this.#queue.clear();
  }

  /** A picture is displayed; `shown` is null where the player's clock says so, and no frame callback. */
  show(place: Place, shown: Shown | null): void {
    this.#pictureAt = performance.now();
    this.#shown = shown;
    this.progress.show(place);
    this.#fire(shown ? "frame" : "timer");
  }

  /** A new beginning: what waited is void, and comes again with it. */
  begin({ state, events, recent }: Beginning): void {
    this.#queue.clear();
    for (const event of state) {
      // The state also has what has no place, such as a sale by wall clock, and may be due for nobody yet.
      if ((this.#dueWallMs(event) ?? 0) > this.#wallMs()) this.#add(event);
      else this.#queue.push(event, { snapshot: true });
    }
    for (const event of events) this.#add(event);
    for (const event of recent) this.#add(event);
  }

  /** Events that have just come. */
  take(events: readonly RoomEvent[]): void {
    for (const event of events) this.#add(event);
    this.look();
  }

  /** One's own words, as the server has acknowledged them. */
  takeOwn(event: RoomEvent): void {
    if (this.#isKnown(event)) return;
    this.#queue.push(event, { own: true });
    this.look();
  }

  /** The room has said which broadcast it is in. */
  settle(): void {
    this.#broadcast.settle(this.#queue.epochs());
    this.look();
  }

  /** Fire what is due without a new picture. */
  look(): void {
    this.#fire("arrival");
  }

  #add(event: RoomEvent): void {
    if (event.lane === "ambient" && this.#isKnown(event)) return;
    if (event.kind === "delete") this.#queue.remove(event.body.event);
    if (event.kind === "sync") this.#broadcast.sync = event.body.mode;
    const due = this.#dueWallMs(event);
    const own = event.sender !== "" && event.sender === this.#listener.sender();
    this.#queue.push(event, { own, dueWallMs: due });
    if (event.kind === "shop.sale" && due !== null && due > this.#wallMs()) this.#listener.onAnnounced(event);
  }

  #dueWallMs(event: RoomEvent): number | null {
    return wallDueMs(event, this.#broadcast.sync, (t) => this.#broadcast.wallMsOf(t));
  }

  #isKnown({ id }: RoomEvent): boolean {
    if (this.#seen.has(id)) return true;
    this.#seen.add(id);
    const [oldest] = this.#seen;
    if (this.#seen.size > MAX_SEEN && oldest !== undefined) this.#seen.delete(oldest);
    return false;
  }

  #fire(by: "frame" | "timer" | "arrival"): void {
    for (const due of this.#queue.due(this.#moment())) {
      this.#fired++;
      this.#listener.onFire(due.waiting.event, this.#told(due, by));
    }
    this.#wakeForWall();
  }

  #told({ waiting, lateMs, by }: Due, now: "frame" | "timer" | "arrival"): Fired {
    return {
      lateMs,
      frameT: this.progress.shown?.t ?? null,
      presentedAt: this.#shown?.presentedAt ?? null,
      expectedDisplayAt: this.#shown?.expectedDisplayAt ?? null,
      by: by === "frame" && now !== "frame" ? "timer" : by,
      snapshot: waiting.snapshot,
      own: waiting.own,
    };
  }

  #moment(): Moment {
    const wallMs = this.#wallMs();
    return {
      place: this.progress.shown,
      edgeT: this.#broadcast.edgeAt(wallMs),
      roomEpoch: this.#broadcast.epoch,
      isOver: (epoch) => this.#broadcast.isOver(epoch),
      isBlind: performance.now() - this.#pictureAt > BLIND_MS,
      wallMs,
      hidden: document.hidden,
    };
  }

  #wallMs(): number {
    return this.#clock.wallMs(performance.now());
  }

  #wakeForWall(): void {
    clearTimeout(this.#wallTimer);
    const next = this.#queue.nextWallMs();
    // Timers are kept in 31 bits; the look that comes each quarter of a second sets this one again.
    if (next !== null && next - this.#wallMs() < LOOK_MS * 4) {
      this.#wallTimer = setTimeout(() => this.look(), Math.max(0, Math.ceil(next - this.#wallMs())));
    }
  }

  #visible(): void {
    if (document.hidden) return;
    this.#queue.dropPast(this.#moment());
    this.look();
  }
}
