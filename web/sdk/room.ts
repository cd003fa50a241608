// One viewer's place in a room: joins, comes back where it left off, and asks.

import { retryDelayMs } from "./backoff";
import { Broadcast } from "./broadcast";
import { type Channel, type ChannelListener, type Joining, LinkLost } from "./channel";
import { Ledger } from "./ledger";
import * as refusals from "./refusal";
import { RoomPoll } from "./room_poll";
import { opensSocket, RoomSocket } from "./room_socket";
import * as wire from "./room_wire";
import type { Beginning, Fields, Now } from "./room_wire";
import type { ConnectOptions, RoomCode, RoomEvent, RoomState, Totals, You } from "./types";
import { WallClock } from "./wall_clock";

/** An event of the FLV stream may come before those in front of it on the socket, but not for long. */
const GAP_MS = 2_000;
const RECOVER_MS = 5_000;
/** After so many WebSockets that never opened, plain requests are tried. */
const SOCKETS = 2;
/** Meanwhile it is looked whether a WebSocket opens by now: soon, for a server that was only away, and then rarely. */
const LOOK_AGAIN_MS = [5_000, 120_000];

export interface RoomListener {
  onState(state: RoomState): void;
  onHello(you: You): void;
  /** What was told before is void; `events` are applied after. */
  onReset(beginning: Beginning, first: boolean): void;
  /** New events, each once, commerce in order. */
  onEvents(events: readonly RoomEvent[]): void;
  onTotals(totals: Partial<Totals>): void;
  /** The broadcast is told of; `began` where it is another one. */
  onNow(now: Now, began: boolean): void;
  /** There is a connection again: what waited may be asked. */
  onJoined(): void;
}

export interface RoomSettings {
  readonly origin: string;
  readonly room: string;
  readonly token: string | null;
  readonly onTokenExpired: ConnectOptions["onTokenExpired"];
}

export class Room {
  readonly ledger = new Ledger();
  readonly broadcast = new Broadcast();
  readonly clock = new WallClock(Date.now() - performance.now());
  readonly #settings: RoomSettings;
  readonly #listener: RoomListener;
  #token: string | null;
  /** The token is the one that the room gave to an anonymous viewer. */
  #isOwn = false;
  #channel: Channel | null = null;
  #serial = 0;
  #state: RoomState = { phase: "connecting", code: null, retryInMs: null };
  #failures = 0;
  #unopened = 0;
  #polls = false;
  #isFirst = true;
  #tokenRefused = false;
  #recoveredAt = Number.NEGATIVE_INFINITY;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #gapTimer: ReturnType<typeof setTimeout> | undefined;
  #socketTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #onOnline = (): void => this.#backOnline();

  constructor(settings: RoomSettings, listener: RoomListener) {
    this.#settings = settings;
    this.#listener = listener;
    this.#token = settings.token;
  }

  get state(): RoomState {
    return this.#state;
  }

  get isJoined(): boolean {
    return this.#state.phase === "joined" || this.#state.phase === "polling";
  }

  get over(): RoomCode | null {
    return this.#state.phase === "over" ? (this.#state.code ?? "lost") : null;
  }

  open(): void {
    addEventListener("online", this.#onOnline);
    this.#connect();
  }

  close(): void {
    removeEventListener("online", this.#onOnline);
    this.#drop();
    this.#tell("closed", null);
  }

  retry(): void {
    if (this.isJoined || this.#state.phase === "closed") return;
    this.#failures = 0;
    this.#connect();
  }

  setToken(token: string | null): void {
    this.#setToken(token);
    this.#tokenRefused = false;
    if (this.#state.phase !== "closed") this.#connect();
  }

  /** One question, one answer. Rejects with `LinkLost` where there is none on this connection. */
  ask(message: Fields): Promise<Fields> {
    return this.isJoined && this.#channel ? this.#channel.ask(message) : Promise.reject(new LinkLost());
  }

  /** A commerce event that came inside the FLV stream. */
  takeFromStream(event: RoomEvent): void {
    this.#take([event]);
  }

  #connect(): void {
    this.#drop();
    const serial = this.#serial;
    this.#tell("connecting", this.#state.code);
    const { origin, room } = this.#settings;
    const joining: Joining = { origin, room, token: this.#token, since: this.ledger.since };
    const listener = this.#hear(serial);
    this.#channel = this.#polls ? new RoomPoll(joining, listener) : new RoomSocket(joining, listener);
    this.#channel.open();
  }

  #hear(serial: number): ChannelListener {
    const isPresent = (): boolean => serial === this.#serial;
    return {
      onHello: (message, askedAt) => isPresent() && this.#hello(message, askedAt),
      onMessage: (message) => isPresent() && this.#message(message),
      onEnd: (code, opened) => isPresent() && this.#ended(code, opened),
    };
  }

  #drop(): void {
    this.#serial++;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#gapTimer);
    clearTimeout(this.#socketTimer);
    const channel = this.#channel;
    this.#channel = null;
    channel?.close();
  }

  #hello(message: Fields, askedAt: number): void {
    const now = wire.readNow(message);
    if (now) this.clock.heard(now.wallMs, askedAt, performance.now());
    this.#failures = this.#unopened = 0;
    const you = wire.readYou(message);
    // An anonymous viewer was given a token, to come back as the same.
    if (you?.token && this.#token === null) this.#setToken(you.token, true);
    if (you) this.#listener.onHello({ sender: you.sender, role: you.role, maySend: you.maySend, token: you.token ?? null });
    this.#begin(message);
    this.#tokenRefused = false;
    this.#tell(this.#polls ? "polling" : "joined", null);
    if (this.#polls) this.#lookForSocket(0);
    this.#listener.onJoined();
  }

  #begin(message: Fields): void {
    const beginning = wire.readBeginning(message);
    if (beginning === null) return;
    const now = wire.readNow(message);
    const began = now !== null && this.broadcast.hear(now);
    const isSame = beginning.recovered && beginning.log === this.ledger.log;
    if (isSame) this.#take(beginning.events);
    else {
      this.ledger.begin(beginning.log, beginning.seq);
      this.#listener.onReset(beginning, this.#isFirst);
      this.#isFirst = false;
    }
    this.#listener.onTotals(beginning.totals);
    if (now) this.#listener.onNow(now, began);
  }

  #message(message: Fields): void {
    switch (message["type"]) {
      case "events":
        return this.#tick(message);
      case "reset":
        return this.#begin(message);
      case "time":
        return this.#now(message);
      case "pong":
        return this.#pong(message);
      case "error":
        if (message["code"] === refusals.TOKEN) this.#tokenRefused = true;
    }
  }

  #tick(message: Fields): void {
    const tick = wire.readTick(message);
    if (tick === null) return;
    this.#take(tick.events);
    if (message["wall_ms"] !== undefined) this.#now(message);
    // The server says how far it has told us: what is missing is fetched by joining anew from where we are.
    if (this.ledger.isBehind(tick.log, tick.seq)) this.#recover();
  }

  #take(events: readonly RoomEvent[]): void {
    const found = events.flatMap((event) => this.ledger.take(event));
    if (found.length > 0) this.#listener.onEvents(found);
    clearTimeout(this.#gapTimer);
    if (this.ledger.hasGap) this.#gapTimer = setTimeout(() => this.#recover(), GAP_MS);
  }

  /** Join anew from where we are; a server that leaves holes again and again is not asked all the time. */
  #recover(): void {
    const now = performance.now();
    const wait = this.#recoveredAt + RECOVER_MS - now;
    clearTimeout(this.#gapTimer);
    if (wait > 0) {
      this.#gapTimer = setTimeout(() => this.#recover(), wait);
    } else if (this.isJoined) {
      this.#recoveredAt = now;
      this.#connect();
    }
  }

  #now(message: Fields): void {
    const now = wire.readNow(message);
    if (now) this.#listener.onNow(now, this.broadcast.hear(now));
  }

  #pong(message: Fields): void {
    const { wall_ms: wallMs, asked_at: askedAt } = message;
    if (typeof wallMs === "number" && typeof askedAt === "number") {
      this.clock.heard(wallMs, askedAt, performance.now());
    }
  }

  #ended(code: number | null, opened: boolean): void {
    this.#drop();
    if (code === TOKEN_REFUSED || this.#tokenRefused) {
      void this.#renewToken();
      return;
    }
    this.#failures++;
    this.#unopened = opened ? 0 : this.#unopened + 1;
    // Plain requests that do not get through either: it is the server or the network, not the WebSocket.
    if (this.#polls && !opened) this.#unopened = 0;
    this.#polls = this.#unopened >= SOCKETS || (this.#polls && opened);
    const why = navigator.onLine === false ? "offline" : (code !== null && BY_CLOSE[code]) || "lost";
    if (code !== null && code >= 4100) {
      this.#tell("over", why);
      return;
    }
    const retryInMs = retryDelayMs(this.#failures, code, Math.random());
    this.#tell("retrying", why, retryInMs);
    this.#retryTimer = setTimeout(() => this.#connect(), retryInMs);
  }

  /** At most one new token per refusal: a loop of refusals would help nobody. */
  async #renewToken(): Promise<void> {
    const serial = this.#serial;
    this.#tell("retrying", "token");
    const ask = this.#settings.onTokenExpired;
    // An anonymous viewer's own token has run out: without it they are given another name.
    const token = this.#isOwn && !ask ? null : await Promise.resolve(ask?.() ?? undefined).catch(() => undefined);
    if (serial !== this.#serial) return;
    if (token === undefined || (token !== null && token === this.#token)) {
      this.#tell("over", "token");
      return;
    }
    this.#setToken(token);
    this.#tokenRefused = false;
    this.#failures++;
    // The first new token is tried at once; one that is refused again must not make a loop.
    const retryInMs = this.#failures > 1 ? retryDelayMs(this.#failures, null, Math.random()) : 0;
    this.#retryTimer = setTimeout(() => this.#connect(), retryInMs);
  }

  /** Beside the polling, which goes on until a WebSocket has opened. */
  #lookForSocket(looks: number): void {
    const serial = this.#serial;
    const wait = LOOK_AGAIN_MS[Math.min(looks, LOOK_AGAIN_MS.length - 1)];
    clearTimeout(this.#socketTimer);
    this.#socketTimer = setTimeout(async () => {
      const opens = await opensSocket(this.#settings.origin, this.#settings.room);
      if (serial !== this.#serial) return;
      if (!opens) return this.#lookForSocket(looks + 1);
      this.#polls = false;
      this.#unopened = 0;
      this.#connect();
    }, wait);
  }

  #backOnline(): void {
    if (this.#state.phase === "retrying") this.retry();
  }

  #setToken(token: string | null, isOwn = false): void {
    this.#token = token;
    this.#isOwn = isOwn;
  }

  #tell(phase: RoomState["phase"], code: RoomCode | null, retryInMs: number | null = null): void {
    this.#state = { phase, code, retryInMs };
    this.#listener.onState(this.#state);
  }
}

const TOKEN_REFUSED = 4105;
const BY_CLOSE: Readonly<Record<number, RoomCode>> = {
  4001: "restart",
  4003: "idle",
  4008: "too-slow",
  4009: "full",
  4012: "unavailable",
  4102: "protocol",
  4104: "no-room",
  4105: "token",
};
