// The whole public interface of the SDK. Values are plain objects and never change once they were handed out.
//
// Three times, never mixed: `t` and `Ticks` are media time on the broadcast's timeline (docs/timeline.md), a name that
// ends in `WallMs` is the server's wall clock in Unix ms, and `At` is the page's own `performance.now()`.

/** Media time: 90,000 a second since the broadcast began. A whole number; exact up to 2^53, which is 3,170 years. */
export type Ticks = number;

/** WebRTC, FLV over a WebSocket, FLV over HTTP. */
export type Transport = "webrtc" | "ws" | "http";
/** "auto": WebRTC first, then WebSocket, then HTTP; what worked is tried first when the session reconnects. */
export type TransportChoice = Transport | "auto";

export type Language = "en" | "zh";

export interface ConnectOptions {
  /** Where the picture goes. The SDK sets `src`/`srcObject` and calls `play()`; `muted` and `volume` are the page's. */
  readonly video: HTMLVideoElement;
  readonly transport?: TransportChoice;
  /** Scheme, host and port of the node: "https://live.example:8443". Default: where this module was loaded from. */
  readonly origin?: string;
  /** Who the viewer is (docs/interaction.md). Without one they are anonymous. Never part of an address. */
  readonly token?: string | null;
  /** For a private room's FLV, which can carry nothing else than an address: a ticket that lives 60 s, or how to get one. */
  readonly ticket?: string | (() => string | Promise<string>) | null;
  /** The rung to pin; null or absent: the server adapts. */
  readonly rendition?: string | null;
  /** Of the words in refusals. Default "en". */
  readonly language?: Language;
  /** False: the picture alone, no connection to the room. */
  readonly room?: boolean;
  /** The room's token was refused or has run out: a new one, or null to go on without. Asked for at most once per refusal. */
  readonly onTokenExpired?: () => string | null | Promise<string | null>;
}

// ---------------------------------------------------------------------------------------------------- the session

/** One viewer in one room. `connect(room, options)` makes it, `close()` ends it. */
export interface Session {
  readonly room: string;
  readonly origin: string;

  // Where the picture is.
  /** Media time of the displayed picture. Never goes back within an epoch; null before the first picture. */
  readonly nowT: Ticks | null;
  /** The same in whole ms, rounded down. */
  readonly nowMs: number | null;
  /** Which broadcast the picture is of; null before it is known. Times of different epochs are never compared. */
  readonly epoch: string | null;
  /** The server's wall clock now, in Unix ms; the page's own until the server has told its. For countdowns. */
  readonly nowWallMs: number;
  /** How exactly `nowWallMs` is known: half the smallest round trip in ms; null before the first answer. */
  readonly wallBoundMs: number | null;

  // How it is doing.
  readonly state: SessionState;
  /** Whether the room says that there is a broadcast now; null while it has not said, and where no room is joined. */
  readonly isLive: boolean | null;
  readonly stats: Stats;
  /** The transport in use, or being tried. */
  readonly transport: Transport;
  readonly transportChoice: TransportChoice;
  /** The pinned rung; null: the server adapts. */
  readonly rendition: string | null;
  /** Who the server says this viewer is; null before the room's hello. */
  readonly you: You | null;
  /** When an event takes effect: the room's rule. */
  readonly sync: SyncMode;
  /** Totals that the server counts. */
  readonly totals: Totals;
  /** What is on sale as this viewer's picture shows it: kept from the events that have fired. */
  readonly shelf: Shelf;

  // What happens.
  /** Hear events of one kind, or of all ("*"), when the picture reaches them. Answers how to stop hearing. */
  onEvent<K extends EventKind>(kind: K, hear: (event: EventOf<K>, fired: Fired) => void): () => void;
  onEvent(kind: "*", hear: (event: RoomEvent, fired: Fired) => void): () => void;
  /** Hear what happens to the session itself. Answers how to stop hearing. */
  on<N extends keyof Notices>(name: N, hear: (notice: Notices[N]) => void): () => void;

  // The picture.
  /** Play, after a click where the browser did not allow it by itself (state "blocked"), or after a pause. */
  play(): Promise<void>;
  setTransport(choice: TransportChoice): void;
  /** Pin a rung; null: let the server adapt. Reconnects the picture; the position goes on. */
  setRendition(name: string | null): void;
  /** The rungs that this browser can be pinned to by the present transport, best first: "source" alone without a ladder. */
  renditions(): Promise<readonly Rendition[]>;
  /** Connect again at once what is waiting or has given up. */
  retry(): void;
  /** Take another token from now on: the room is joined anew with it, and a forbidden picture asked for again. */
  setToken(token: string | null): void;

  // What the viewer does. Each promise rejects with `Refused` where the server says no.
  /** Say something at the displayed picture. One's own words come back as an event at once, with `fired.own`. */
  danmaku(text: string, look?: DanmakuLook): Promise<Ack>;
  /** Like. Presses are added up and sent together; a refusal comes as the notice "refused". */
  like(count?: number): void;
  /** Any other kind of event, for hosts' tools. `at` is the displayed picture unless given. */
  send(kind: string, body: Readonly<Record<string, unknown>>, more?: SendMore): Promise<Ack>;

  // Buying. An answer is yes or no and never "perhaps": until there is one, the request is repeated with the same key,
  // for as long as the room is not over.
  /**
   * Reserve `quantity` units. A product's or sale's id takes the price from the shelf, which is what the viewer saw.
   * A no of the shop is an answer (`ok: false`), not an error; so is a request that was never sent because the room is
   * over (1110, 1113). Rejects with `Refused` ("closed", "aborted", "not joined") only if the session was closed,
   * `signal` aborted or the room over before there was an answer: then the order may exist, and the same
   * `idempotencyKey` tells, in this session or another one of the same viewer.
   */
  buy(item: string | Item, quantity?: number, more?: BuyMore): Promise<Purchase>;
  /** What became of one's own order. */
  order(order: string): Promise<Order>;
  /** Give one's own reservation back. */
  cancel(order: string): Promise<Order>;
  /** Take a coupon. */
  claim(coupon: string, more?: BuyMore): Promise<{ readonly coupon: string; readonly duplicate: boolean }>;
  /** Take part in a lottery: the place on the list. */
  enter(lottery: string): Promise<{ readonly lottery: string; readonly place: number; readonly duplicate: boolean }>;

  /** Leave: connections end, and nothing is heard any more. */
  close(): void;
}

/** What `on(name, ...)` tells. */
export interface Notices {
  /** The state has changed. */
  readonly state: SessionState;
  /** A picture has been shown: called in its `requestVideoFrameCallback`, after its events have fired. */
  readonly frame: Frame;
  /** The room was joined, for the first time or again. */
  readonly hello: You;
  /** What the room showed so far is void; its present state follows as events with `fired.snapshot`. Also before the first. */
  readonly reset: { readonly first: boolean };
  readonly totals: Totals;
  readonly sync: SyncMode;
  /** The shelf has changed. */
  readonly shelf: Shelf;
  /** The picture now comes another way. */
  readonly transport: Transport;
  /**
   * The picture's connection is given up, and its last picture is still on the element: copy it now to show it until the
   * next "frame".
   */
  readonly leave: Readonly<Record<string, never>>;
  /** Something that was sent without a promise (likes) was refused. */
  readonly refused: { readonly kind: string; readonly refusal: Refusal };
  /** A sale by wall clock is known before its card is due (`body.opens_ms`): for a countdown. The card's event follows. */
  readonly announced: EventOf<"shop.sale">;
  /** A purchase is under way: sent, or waiting for a connection or for a server that was too busy. */
  readonly buying: Buying;
}

export interface Frame {
  readonly t: Ticks;
  readonly nowMs: number;
  readonly epoch: string;
  /** When the browser gave it to the compositor, and when it expects it on the screen: `performance.now()`. */
  readonly presentedAt: number;
  readonly expectedDisplayAt: number;
  /** How many frames the browser has presented on this video element so far. */
  readonly presentedFrames: number;
}

// ------------------------------------------------------------------------------------------------------ the state

export interface SessionState {
  readonly media: MediaState;
  readonly room: RoomState;
}

export interface MediaState {
  /**
   * "connecting": no picture yet. "playing". "silent": connected, but no new picture for 4 s. "blocked": the browser wants
   * a click first, see `play()`. "paused": the viewer had paused when the connection ended, or for more than 30 s;
   * `play()` connects again. "retrying": comes back by itself in `retryInMs`. "over": does not, see `retry()`.
   * "closed": by `close()`.
   */
  readonly phase: "connecting" | "playing" | "silent" | "blocked" | "paused" | "retrying" | "over" | "closed";
  /** Why; null where there is nothing to say. */
  readonly code: MediaCode | null;
  readonly transport: Transport;
  /** From now to the next attempt; null where there is none planned. */
  readonly retryInMs: number | null;
  /** A sentence of the server's, in English, for those who look into it. */
  readonly detail: string | null;
}

/** Why the picture is not there. Machine words; what a person reads is the page's. */
export type MediaCode =
  | "not-live" // nobody is live in this room yet
  | "host-away" // connected, but the host's picture has stopped
  | "ended" // the broadcast is over
  | "restart" // the server is going away
  | "too-slow" // the connection cannot carry the stream
  | "full" // a limit of the server is reached
  | "changed" // the stream's tracks or codec have changed
  | "stopped" // an operator stopped it
  | "no-room" // there is no such room
  | "forbidden" // this viewer may not watch
  | "no-picture" // connected, but nothing to see in time
  | "no-route" // WebRTC found no way, neither by UDP nor by TCP
  | "unusable" // this transport cannot carry this stream (422)
  | "unsupported" // the browser cannot play any of it
  | "autoplay" // the browser wants a click first
  | "offline" // the browser says that there is no network
  | "lost"; // anything else

export interface RoomState {
  /** "off": not wanted. "connecting". "joined": by WebSocket. "polling": a WebSocket did not get through. "retrying". "over". "closed". */
  readonly phase: "off" | "connecting" | "joined" | "polling" | "retrying" | "over" | "closed";
  readonly code: RoomCode | null;
  readonly retryInMs: number | null;
}

export type RoomCode =
  | "restart"
  | "idle"
  | "too-slow"
  | "full"
  | "unavailable" // the store of events does not answer
  | "no-room"
  | "token" // the token was refused, and there is no other
  | "protocol"
  | "offline"
  | "lost";

/** Counted since `connect`, over all connections. */
export interface Stats {
  readonly connections: number;
  /** Holes in the buffer that were jumped. */
  readonly jumps: number;
  /** Frames that were told of. */
  readonly frames: number;
  /** Frames that the browser dropped, on this connection. */
  readonly dropped: number;
  /** Times the picture stood still, on this connection; null where that is not measured. */
  readonly freezes: number | null;
  /** Media that is there but not yet shown. */
  readonly bufferS: number;
  readonly width: number;
  readonly height: number;
  /** The last close code of the media WebSocket, if there was one. */
  readonly closeCode: number | null;
  /** Events fired, and ambient ones that had become stale. */
  readonly events: number;
  readonly stale: number;
}

export interface You {
  readonly sender: string;
  readonly role: "viewer" | "moderator" | "host" | "backend";
  readonly maySend: boolean;
  /** An anonymous viewer's own: with it as `token` a later session is the same viewer, for a day. Null for others. */
  readonly token: string | null;
}

export interface Totals {
  readonly likes: number;
  readonly presence: number;
}

export interface Rendition {
  readonly name: string;
  /** As in RFC 6381: "avc1.64001f". */
  readonly codec: string;
  readonly width: number;
  readonly height: number;
  readonly frame_rate: number | null;
  /** bit/s; null where it is not known. */
  readonly bitrate: number | null;
}

// ----------------------------------------------------------------------------------------------------- the events

/** "frame": when the picture reaches them. "wall": for everybody at one instant. "frame+hold": the card at its frame, buying for everybody at one instant. */
export type SyncMode = "frame" | "wall" | "frame+hold";

/** How an event met its picture. */
export interface Fired {
  /** Media ms by which the displayed picture is past the event's `t`: never below -1. 0 where the event has no place. */
  readonly lateMs: number;
  /** Media time of the displayed picture; null where there was none. */
  readonly frameT: Ticks | null;
  /** When that picture was given to the compositor, and is expected on the screen: `performance.now()`; null where no frame callback told. */
  readonly presentedAt: number | null;
  readonly expectedDisplayAt: number | null;
  /**
   * "frame": in the callback of the picture that reached it. "arrival": it was past already, or has no place.
   * "wall": at its instant. "timer": the page is in the background or has no frame callbacks.
   */
  readonly by: "frame" | "arrival" | "wall" | "timer";
  /** Part of the state that a newcomer is told: show it, without a fanfare. */
  readonly snapshot: boolean;
  /** Sent by this viewer. */
  readonly own: boolean;
}

interface EventBase<K extends string, Body> {
  readonly id: string;
  readonly epoch: string | null;
  /** When to show it; null: on arrival. */
  readonly t: Ticks | null;
  /** Counts the commerce lane without gaps; null on the ambient lane. */
  readonly seq: number | null;
  readonly kind: K;
  readonly lane: "commerce" | "ambient";
  /** For how many ms after `t` it is worth showing; null: always. */
  readonly ttl: number | null;
  readonly sender: string;
  /** When the store took it, Unix ms; null where it came inside the FLV stream. */
  readonly at_ms: number | null;
  readonly body: Body;
}

/** The bodies, by kind. Amounts are whole minor units (fen, cents); names are the protocol's. */
export interface Bodies {
  readonly danmaku: {
    readonly text: string;
    readonly color: number;
    readonly mode: "scroll" | "top" | "bottom";
    readonly size: number;
    readonly name?: string;
  };
  readonly "product.show": {
    readonly product: string;
    readonly title?: string;
    readonly image?: string;
    readonly link?: string;
    readonly amount?: number;
    readonly currency?: string;
    readonly stock?: number;
  };
  readonly "product.hide": { readonly product?: string };
  readonly price: { readonly product: string; readonly amount: number; readonly currency: string; readonly was?: number };
  readonly stock: { readonly product: string; readonly left: number };
  readonly notice: { readonly text: string; readonly level: "info" | "important" };
  readonly gift: {
    readonly gift: string;
    readonly count: number;
    readonly giver: string;
    readonly name?: string;
    readonly amount?: number;
    readonly currency?: string;
  };
  readonly mute: { readonly sender: string; readonly until_ms: number };
  readonly delete: { readonly event: string };
  readonly sync: { readonly mode: SyncMode };
  readonly likes: { readonly total: number };
  readonly presence: { readonly total: number };
  readonly "shop.product": ProductBody | (Removed & { readonly product: string });
  readonly "shop.sale": SaleBody | (Removed & { readonly sale: string });
  readonly "shop.coupon": CouponBody | (Removed & { readonly coupon: string });
  readonly "shop.lottery": LotteryBody | (Removed & { readonly lottery: string });
  readonly "shop.stock": StockBody;
}

export interface Removed {
  readonly removed: true;
}

export interface ProductBody {
  readonly removed?: never;
  readonly product: string;
  readonly title: string;
  readonly image?: string;
  readonly link?: string;
  readonly amount: number;
  readonly currency: string;
  /** Units per buyer; 0: any number. */
  readonly limit: number;
  /** False: sold in sales only. */
  readonly listed: boolean;
  readonly rev: number;
}

export interface SaleBody {
  readonly removed?: never;
  readonly sale: string;
  readonly product: string;
  readonly amount: number;
  readonly currency: string;
  readonly total: number;
  readonly limit: number;
  readonly sync: SyncMode;
  readonly opens_ms: number;
  readonly closes_ms: number;
  readonly rev: number;
}

export interface CouponBody {
  readonly removed?: never;
  readonly coupon: string;
  readonly off: number;
  readonly currency: string;
  readonly minimum: number;
  readonly total: number;
  readonly limit: number;
  readonly title?: string;
  readonly product?: string;
  readonly opens_ms: number;
  readonly closes_ms: number;
  readonly rev: number;
}

export interface LotteryBody {
  readonly removed?: never;
  readonly lottery: string;
  readonly winners: number;
  readonly total: number;
  readonly title?: string;
  readonly opens_ms: number;
  readonly closes_ms: number;
  readonly rev: number;
  /** Who has won, and among how many; once it is drawn. */
  readonly drawn?: readonly string[];
  readonly entrants?: number;
}

export interface StockBody {
  readonly product?: string;
  readonly sale?: string;
  readonly coupon?: string;
  readonly lottery?: string;
  readonly left: number;
  readonly rev: number;
  readonly phase?: Phase;
}

export type Phase = "soon" | "open" | "over";
export type EventKind = keyof Bodies;
export type EventOf<K extends EventKind> = { [N in K]: EventBase<N, Bodies[N]> }[K];
/** Any event. `switch (event.kind)` tells its body. */
export type RoomEvent = EventOf<EventKind>;

// ---------------------------------------------------------------------------------------------------- the sending

export interface DanmakuLook {
  /** 0 to 0xFFFFFF. */
  readonly color?: number;
  readonly mode?: "scroll" | "top" | "bottom";
  /** 12 to 64. */
  readonly size?: number;
  /** Who says it, as the viewer calls themselves; a token's name goes before it. At most 40 characters. */
  readonly name?: string;
}

export interface SendMore {
  /** Makes repeating safe. */
  readonly id?: string;
  /** Hosts: "now" (in front of the camera), a wall time, or a place. */
  readonly at?: "now" | { readonly t: Ticks } | { readonly wall_ms: number };
}

export interface Ack {
  readonly id: string;
  readonly kind: string;
  readonly epoch: string | null;
  readonly t: Ticks | null;
  /** "self": the flood rule shows it to its sender alone. */
  readonly shown: "room" | "self";
  readonly seq?: number;
  readonly duplicate?: boolean;
}

/** Why not. Numbers of the server's are in docs/interaction.md; the SDK's own are below 100. */
export interface Refusal {
  /** 10 closed, 11 aborted, 12 not joined, 13 no price is known, 14 unreadable answer; from 1000 on the server's. */
  readonly code: number;
  readonly name: string;
  /** Plain words in the language of `connect`. */
  readonly text: string;
  /** The server's own sentence, with the numbers, in English; empty where there is none. */
  readonly detail: string;
  /** The same may be tried again as it is. */
  readonly mayRetry: boolean;
}

/** What promises reject with. `instanceof Refused` works; so does `error.name === "Refused"`. */
export interface RefusedError extends Error {
  readonly refusal: Refusal;
}

// ----------------------------------------------------------------------------------------------------- the buying

export interface Item {
  readonly product: string;
  readonly sale?: string;
  /** The price of one unit that the viewer saw, in minor units. Another price is refused (1125). */
  readonly amount: number;
  readonly currency: string;
  readonly coupon?: string;
}

export interface BuyMore {
  /** One for each decision to buy; default: a new one. 1 to 64 of A-Z a-z 0-9 . _ : - */
  readonly idempotencyKey?: string;
  readonly coupon?: string;
  readonly signal?: AbortSignal;
}

export type Purchase =
  | { readonly ok: true; readonly idempotencyKey: string; readonly order: Order }
  | { readonly ok: false; readonly idempotencyKey: string; readonly refusal: Refusal };

export interface Order {
  readonly order: string;
  readonly product: string;
  readonly sale: string | null;
  readonly quantity: number;
  readonly total: number;
  readonly currency: string;
  readonly state: "reserved" | "confirmed" | "released" | "expired";
  /** Pay before this, by the server's clock: `expiresWallMs - session.nowWallMs` is the countdown. */
  readonly expiresWallMs: number;
  readonly duplicate: boolean;
}

export interface Buying {
  readonly idempotencyKey: string;
  /** "waiting": no connection, or the server asked for patience. "answered": the promise is settled. */
  readonly phase: "sent" | "waiting" | "answered";
  /** How often it has been sent. */
  readonly attempts: number;
}

export interface Shelf {
  readonly products: ReadonlyMap<string, ShelfProduct>;
  readonly sales: ReadonlyMap<string, ShelfSale>;
  readonly coupons: ReadonlyMap<string, CouponBody & { readonly left: number | null; readonly phase: Phase | null }>;
  readonly lotteries: ReadonlyMap<string, LotteryBody & { readonly left: number | null; readonly phase: Phase | null }>;
  /** The product that is being explained; null: none. */
  readonly explained: string | null;
}

export interface ShelfProduct {
  readonly product: string;
  readonly title: string | null;
  readonly image: string | null;
  readonly link: string | null;
  /** null where no price was told. */
  readonly amount: number | null;
  readonly currency: string | null;
  /** The price before, where a `price` event told one. */
  readonly was: number | null;
  readonly left: number | null;
  readonly limit: number;
  /** It can be bought outside sales: the shop knows it. */
  readonly listed: boolean;
}

export interface ShelfSale {
  readonly sale: string;
  readonly product: string;
  readonly amount: number;
  readonly currency: string;
  readonly total: number;
  readonly left: number | null;
  readonly limit: number;
  readonly sync: SyncMode;
  /** When buying opens and closes for everybody, by the server's clock. */
  readonly opensWallMs: number;
  readonly closesWallMs: number;
  readonly phase: Phase | null;
}

/** `import { connect } from "https://live.example/web/sdk.js"`. Connects at once. */
export type Connect = (room: string, options: ConnectOptions) => Session;
