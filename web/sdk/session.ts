// One viewer in one room: joins the picture, the room and the shop into what `types.ts` promises.

import { renditionsUrl } from "./addresses";
import { Desk, newKey } from "./desk";
import { Emitter, guarded } from "./emitter";
import type { Shown } from "./frames";
import { Likes } from "./likes";
import { Media } from "./media";
import { type Place, TICKS_PER_MS } from "./place";
import * as refusals from "./refusal";
import { Refused } from "./refusal";
import { isPlayable, readRenditions } from "./renditions";
import { Requests } from "./requests";
import { Room } from "./room";
import { type Fields, readEvent } from "./room_wire";
import { Stock } from "./shelf";
import { Stage } from "./stage";
import type * as types from "./types";

type HearEvent = (event: never, fired: types.Fired) => void;

const HEARD_ALWAYS = "*";
const NO_ROOM: types.RoomState = { phase: "off", code: null, retryInMs: null };

export class RoomSession implements types.Session {
  readonly room: string;
  readonly origin: string;
  readonly #hasRoom: boolean;
  readonly #notices = new Emitter<types.Notices>();
  readonly #events = new Map<string, Set<HearEvent>>();
  readonly #media: Media;
  readonly #room: Room;
  readonly #stage: Stage;
  readonly #stock = new Stock();
  readonly #requests: Requests;
  readonly #desk: Desk;
  readonly #likes: Likes;
  #you: types.You | null = null;
  #totals: types.Totals = { likes: 0, presence: 0 };
  #sync: types.SyncMode = "frame";
  #isClosed = false;

  constructor(room: string, origin: string, options: types.ConnectOptions) {
    this.room = room;
    this.origin = origin;
    this.#hasRoom = options.room ?? true;
    const token = options.token ?? null;
    const onTokenExpired = options.onTokenExpired && (() => this.#newToken(options));
    this.#room = new Room({ origin, room, token, onTokenExpired }, {
      onState: ({ phase }) => {
        if (phase === "over") this.#requests.wake();
        this.#tellState();
      },
      onHello: (you) => this.#hello(you),
      onReset: (beginning, first) => {
        this.#stock.clear();
        this.#notices.emit("reset", { first });
        this.#stage.begin(beginning);
      },
      onEvents: (events) => {
        this.#stage.take(events);
        this.#tellSync();
      },
      onTotals: (totals) => this.#count(totals),
      onNow: (now, began) => {
        if (now.anchor) this.#media.anchorAt(now.anchor);
        if (began) this.#media.broadcastBegan();
        this.#stage.settle();
        this.#tellSync();
      },
      onJoined: () => this.#requests.wake(),
    });
    this.#stage = new Stage(this.#room.broadcast, this.#room.clock, {
      onFire: (event, fired) => this.#fire(event, fired),
      onAnnounced: (event) => this.#notices.emit("announced", event),
      sender: () => this.#you?.sender ?? null,
    });
    this.#media = new Media(mediaSettings(room, origin, options, () => this.#room.broadcast.isLive), {
      onState: () => this.#tellState(),
      onPlace: (place, shown) => this.#show(place, shown),
      onScript: (script) => this.#script(script),
      onTransport: (transport) => this.#notices.emit("transport", transport),
      onLeave: () => this.#notices.emit("leave", {}),
    });
    this.#requests = new Requests(this.#room, options.language ?? "en");
    this.#desk = new Desk(
      this.#requests,
      () => this.#stock.shelf,
      (buying) => this.#notices.emit("buying", buying),
    );
    this.#likes = new Likes((count) => void this.#sendLikes(count));
  }

  open(): void {
    if (this.#isClosed) return;
    this.#stage.open();
    this.#media.start();
    if (this.#hasRoom) this.#room.open();
    else this.#requests.close();
  }

  get nowT(): types.Ticks | null {
    return this.#stage.progress.nowT;
  }

  get nowMs(): number | null {
    return this.#stage.progress.nowMs;
  }

  get epoch(): string | null {
    return this.#stage.progress.epoch;
  }

  get nowWallMs(): number {
    return this.#room.clock.wallMs(performance.now());
  }

  get wallBoundMs(): number | null {
    return this.#room.clock.boundMs;
  }

  get state(): types.SessionState {
    return { media: this.#media.state, room: this.#hasRoom ? this.#room.state : NO_ROOM };
  }

  get isLive(): boolean | null {
    return this.#room.broadcast.isLive;
  }

  get stats(): types.Stats {
    return { ...this.#media.stats, ...this.#stage.counts };
  }

  get transport(): types.Transport {
    return this.#media.transport;
  }

  get transportChoice(): types.TransportChoice {
    return this.#media.choice;
  }

  get rendition(): string | null {
    return this.#media.rendition;
  }

  get you(): types.You | null {
    return this.#you;
  }

  get sync(): types.SyncMode {
    return this.#sync;
  }

  get totals(): types.Totals {
    return this.#totals;
  }

  get shelf(): types.Shelf {
    return this.#stock.shelf;
  }

  onEvent(kind: string, hear: HearEvent): () => void {
    const hearers = this.#events.get(kind) ?? new Set();
    this.#events.set(kind, hearers);
    const own: HearEvent = (event, fired) => hear(event, fired);
    hearers.add(own);
    return () => void hearers.delete(own);
  }

  on<N extends keyof types.Notices>(name: N, hear: (notice: types.Notices[N]) => void): () => void {
    return this.#notices.on(name, hear);
  }

  play(): Promise<void> {
    return this.#media.play();
  }

  setTransport(choice: types.TransportChoice): void {
    this.#media.setTransport(choice);
  }

  setRendition(name: string | null): void {
    this.#media.setRendition(name);
  }

  async renditions(): Promise<readonly types.Rendition[]> {
    const response = await fetch(renditionsUrl(this.origin, this.room));
    const { width, height } = this.#media.stats;
    const listed = await readRenditions(response, { width, height });
    return listed.filter((rendition) => isPlayable(rendition, this.transport));
  }

  retry(): void {
    if (this.#isClosed) return;
    if (this.#media.state.phase === "retrying" || this.#media.state.phase === "over") this.#media.retry();
    if (this.#hasRoom) this.#room.retry();
  }

  setToken(token: string | null): void {
    this.#media.setToken(token);
    if (this.#hasRoom) this.#room.setToken(token);
  }

  async danmaku(text: string, look: types.DanmakuLook = {}): Promise<types.Ack> {
    const body = { text, ...look };
    const ack = await this.send("danmaku", body, { id: newKey() });
    const own = { color: 0xffffff, mode: "scroll", size: 25, ...body } as types.Bodies["danmaku"];
    const { id, epoch, t } = ack;
    const sender = this.#you?.sender ?? "";
    const event = { id, epoch, t, seq: null, lane: "ambient", ttl: 8_000, sender, at_ms: this.nowWallMs } as const;
    this.#stage.takeOwn({ ...event, kind: "danmaku", body: own });
    return ack;
  }

  like(count = 1): void {
    if (!this.#isClosed) this.#likes.add(count);
  }

  async send(kind: string, body: Fields, more: types.SendMore = {}): Promise<types.Ack> {
    const message = { type: "send", kind, body, id: more.id ?? newKey() };
    const placed = more.at === undefined ? this.#here() : { at: more.at };
    try {
      return readAck(await this.#requests.once({ ...message, ...placed }));
    } catch (error) {
      if (!isElsewhere(error) || more.at !== undefined) throw error;
      // The picture is of a broadcast that has just ended, or ahead of what the server knows: at the live edge, then.
      return readAck(await this.#requests.once(message));
    }
  }

  buy(item: string | types.Item, quantity = 1, more: types.BuyMore = {}): Promise<types.Purchase> {
    return this.#desk.buy(item, quantity, more);
  }

  order(order: string): Promise<types.Order> {
    return this.#desk.order("order", order);
  }

  cancel(order: string): Promise<types.Order> {
    return this.#desk.order("cancel", order);
  }

  claim(coupon: string, more: types.BuyMore = {}): Promise<{ coupon: string; duplicate: boolean }> {
    return this.#desk.claim(coupon, more);
  }

  enter(lottery: string): Promise<{ lottery: string; place: number; duplicate: boolean }> {
    return this.#desk.enter(lottery);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#likes.close();
    this.#requests.close();
    this.#stage.close();
    this.#media.close();
    this.#room.close();
    this.#notices.clear();
    this.#events.clear();
  }

  #here(): { at?: { t: number }; epoch?: string } {
    const { nowT, epoch } = this;
    return nowT === null || epoch === null ? {} : { at: { t: nowT }, epoch };
  }

  #show(place: Place, shown: Shown | null): void {
    this.#stage.show(place, shown);
    if (shown === null) return;
    const { t, epoch } = place;
    const { presentedAt, expectedDisplayAt, presentedFrames } = shown;
    this.#notices.emit("frame", {
      ...{ t, epoch, presentedAt, expectedDisplayAt, presentedFrames },
      nowMs: Math.floor(t / TICKS_PER_MS),
    });
  }

  #script(script: unknown): void {
    if (typeof script !== "object" || script === null || !("onEvent" in script)) return;
    const event = readEvent(script.onEvent);
    if (event) this.#room.takeFromStream(event);
  }

  #fire(event: types.RoomEvent, fired: types.Fired): void {
    if (event.kind === "likes" || event.kind === "presence") this.#count({ [event.kind]: event.body.total });
    const isChanged = this.#stock.apply(event);
    for (const kind of [event.kind, HEARD_ALWAYS]) {
      for (const hear of [...(this.#events.get(kind) ?? [])]) guarded(() => hear(event as never, fired));
    }
    if (isChanged) this.#notices.emit("shelf", this.#stock.shelf);
  }

  #hello(you: types.You): void {
    this.#you = you;
    this.#notices.emit("hello", you);
  }

  #count(totals: Partial<types.Totals>): void {
    this.#totals = { ...this.#totals, ...totals };
    this.#notices.emit("totals", this.#totals);
  }

  #tellState(): void {
    this.#notices.emit("state", this.state);
  }

  #tellSync(): void {
    if (this.#sync === this.#room.broadcast.sync) return;
    this.#sync = this.#room.broadcast.sync;
    this.#notices.emit("sync", this.#sync);
  }

  async #newToken(options: types.ConnectOptions): Promise<string | null> {
    const token = (await options.onTokenExpired?.()) ?? null;
    this.#media.setToken(token);
    return token;
  }

  async #sendLikes(count: number): Promise<void> {
    try {
      await this.send("like", { count });
    } catch (error) {
      if (!(error instanceof Refused) || this.#isClosed) return;
      if (error.refusal.mayRetry) this.#likes.giveBack(count);
      this.#notices.emit("refused", { kind: "like", refusal: error.refusal });
    }
  }
}

function mediaSettings(
  room: string,
  origin: string,
  options: types.ConnectOptions,
  isLive: () => boolean | null,
): ConstructorParameters<typeof Media>[0] {
  const { video, transport: choice = "auto", rendition = null, token = null, ticket = null } = options;
  const askTicket = async (): Promise<string | null> => (typeof ticket === "function" ? ticket() : ticket);
  return { room, origin, video, choice, rendition, token, ticket: askTicket, isLive };
}

function isElsewhere(error: unknown): boolean {
  if (!(error instanceof Refused)) return false;
  return error.refusal.code === refusals.FOREIGN_EPOCH || error.refusal.code === refusals.FUTURE;
}

function readAck(answer: Fields): types.Ack {
  const { id, kind, epoch, t, shown, seq, duplicate } = answer;
  return {
    id: String(id),
    kind: String(kind),
    epoch: typeof epoch === "string" ? epoch : null,
    t: typeof t === "number" ? t : null,
    shown: shown === "self" ? "self" : "room",
    ...(typeof seq === "number" ? { seq } : {}),
    ...(typeof duplicate === "boolean" ? { duplicate } : {}),
  };
}
