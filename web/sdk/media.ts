// The picture of one session: one connection at a time, another one when it ends, another transport when one does not work.

import { mayRetry, retryDelayMs } from "./backoff";
import { type Connection, type ConnectionListener, type ConnectionSettings, type End, endOf } from "./connection";
import { type Shown, tellsFrames } from "./frames";
import type { Place } from "./place";
import type { RtpAnchor } from "./rtp_position";
import { ORDER, possibleTransports, TransportPlan } from "./transport_plan";
import type { MediaCode, MediaState, Stats, Transport, TransportChoice } from "./types";
import { WhepConnection } from "./whep_connection";

/** Frames that have been shown in a row before a connection counts as good and the back-off starts anew. */
const GOOD_AFTER_FRAMES = 30;
/** After so long without media the viewer may be told that this is not their fault. */
const SILENCE_MS = 4_000;
/** The server keeps viewers for 30 s after their host is gone, then closes. Longer silence is a dead connection. */
const DEAD_MS = 45_000;
/** Once the server has let us in, something must arrive by then: it sends the last group of pictures at once. */
const ARRIVAL_MS = 5_000;
/** Something arrives, but nothing to show: the next keyframe of OBS's automatic interval is up to 8.3 s away. */
const PICTURE_MS = 15_000;
/** To be let in: the server itself holds the question for 10 s while nobody is live. */
const ADMISSION_MS = 20_000;
/** To be let in to a stream that is there, as the room says. */
const LIVE_ADMISSION_MS = 6_000;
/** A longer pause gives the connection up: by then the smallest buffers of browsers, of 30 MB, may be full. */
const PAUSED_MS = 30_000;
/** media/reasons.py: the pinned picture size is not made any more. */
const RUNG_SHED = 4013;
/** Also how often the player's clock is looked at where no pictures are told of. Browsers make it 1 s in the background. */
const WATCH_MS = 250;
/** So far, in ticks, sound or clock run ahead of the last told picture before pictures are taken not to be told of. */
const UNTOLD_TICKS = 45_000;

export interface MediaListener {
  onState(state: MediaState): void;
  /** `shown` is null where no picture was told of: a page in the background, sound alone. */
  onPlace(place: Place, shown: Shown | null): void;
  onScript(script: unknown): void;
  onTransport(transport: Transport): void;
  /** The connection is given up; its last picture is still on the element. */
  onLeave(): void;
}

export interface MediaSettings extends ConnectionSettings {
  readonly choice: TransportChoice;
  /** Whether the room says that somebody is live; null where it says nothing. */
  readonly isLive: () => boolean | null;
}

type Phase = MediaState["phase"];

export class Media {
  readonly #listener: MediaListener;
  readonly #plan: TransportPlan;
  #settings: MediaSettings;
  #connection: Connection | null = null;
  #serial = 0;
  #state: MediaState;
  #failures = 0;
  #connections = 0;
  #jumpsBefore = 0;
  #framesAll = 0;
  #framesHere = 0;
  #samplesHere = 0;
  #hasPlayed = false;
  #closeCode: number | null = null;
  #openedAt = 0;
  #admittedAt: number | null = null;
  #arrived = 0;
  #progressAt = 0;
  /** Since when the viewer has it paused: `performance.now()`; null: it plays, or would if it could. */
  #pausedAt: number | null = null;
  #frameT: number | null = null;
  #sampleT: number | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #watchTimer: ReturnType<typeof setInterval> | undefined;
  readonly #onOnline = (): void => this.#backOnline();
  readonly #onPause = (): void => this.#paused();
  readonly #onPlay = (): void => this.#resume();

  constructor(settings: MediaSettings, listener: MediaListener) {
    this.#settings = settings;
    this.#listener = listener;
    this.#plan = new TransportPlan(settings.choice, possibleTransports());
    this.#state = { phase: "connecting", code: null, transport: this.#plan.current, retryInMs: null, detail: null };
  }

  get state(): MediaState {
    return this.#state;
  }

  get transport(): Transport {
    return this.#plan.current;
  }

  get choice(): TransportChoice {
    return this.#plan.choice;
  }

  get rendition(): string | null {
    return this.#settings.rendition;
  }

  get stats(): Omit<Stats, "events" | "stale"> {
    const { video } = this.#settings;
    const measured = this.#connection?.measured ?? { jumps: 0, dropped: 0, freezes: null, bufferS: 0 };
    return {
      ...measured,
      jumps: this.#jumpsBefore + measured.jumps,
      connections: this.#connections,
      frames: this.#framesAll,
      width: video.videoWidth,
      height: video.videoHeight,
      closeCode: this.#closeCode,
    };
  }

  start(): void {
    addEventListener("online", this.#onOnline);
    this.#settings.video.addEventListener("pause", this.#onPause);
    this.#settings.video.addEventListener("play", this.#onPlay);
    this.#watchTimer = setInterval(() => this.#watch(), WATCH_MS);
    this.#connect();
  }

  close(): void {
    removeEventListener("online", this.#onOnline);
    clearInterval(this.#watchTimer);
    this.#drop();
    const { video } = this.#settings;
    video.removeEventListener("pause", this.#onPause);
    video.removeEventListener("play", this.#onPlay);
    video.srcObject = null;
    video.removeAttribute("src");
    video.load();
    this.#tell("closed", null);
  }

  /** Connect at once, instead of waiting or of having given up. */
  retry(): void {
    if (this.#state.phase === "closed") return;
    this.#failures = 0;
    this.#connect();
  }

  /** The room says that a broadcast has begun. */
  broadcastBegan(): void {
    if (this.#state.phase !== "retrying") return;
    clearTimeout(this.#retryTimer);
    // A thousand viewers who wait for the host hear of it at the same instant.
    this.#retryTimer = setTimeout(() => this.#connect(), 500 * Math.random());
  }

  setTransport(choice: TransportChoice): void {
    const before = this.#plan.current;
    this.#plan.choose(choice);
    if (this.#plan.current !== before || this.#state.phase !== "playing") this.retry();
  }

  setRendition(rendition: string | null): void {
    if (rendition === this.#settings.rendition) return;
    this.#settings = { ...this.#settings, rendition };
    this.retry();
  }

  /** For the next connection; at once where the former one was not let in. */
  setToken(token: string | null): void {
    if (token === this.#settings.token) return;
    this.#settings = { ...this.#settings, token };
    if (this.#state.phase === "over" && this.#state.code === "forbidden") this.retry();
  }

  anchorAt(anchor: RtpAnchor): void {
    this.#connection?.anchorAt(anchor);
  }

  async play(): Promise<void> {
    const played = this.#settings.video.play();
    if (this.#state.phase === "paused") {
      played.catch(() => undefined); // the new connection plays for itself, by the leave of the same click
      return this.#resume();
    }
    await played;
    if (this.#state.phase === "blocked") this.#tell("connecting", null);
  }

  #connect(): void {
    this.#drop();
    if (this.#plan.isExhausted) {
      this.#tell("over", "unsupported");
      return;
    }
    if (this.#pausedAt !== null) {
      this.#tell("paused", null);
      return;
    }
    const serial = this.#serial;
    const transport = this.#plan.current;
    this.#connections++;
    this.#framesHere = this.#samplesHere = 0;
    this.#arrived = 0;
    this.#admittedAt = this.#frameT = this.#sampleT = null;
    this.#openedAt = this.#progressAt = performance.now();
    this.#tell("connecting", this.#state.code);
    this.#listener.onTransport(transport);
    const listener = this.#hear(serial);
    make(transport, this.#settings, listener).then(
      (connection) => {
        if (serial !== this.#serial) return;
        this.#connection = connection;
        connection.open();
      },
      (error: unknown) => listener.onEnd(endOf("lost", "transport", String(error))),
    );
  }

  /** What a connection tells is heard only while it is the present one. */
  #hear(serial: number): ConnectionListener {
    const guard =
      <Values extends unknown[]>(react: (...values: Values) => void) =>
      (...values: Values): void => {
        if (serial === this.#serial) react(...values);
      };
    return {
      onLeave: () => this.#listener.onLeave(), // also of one that is no longer heard otherwise
      onAdmitted: guard(() => (this.#admittedAt = performance.now())),
      onFrame: guard((place, shown) => this.#frame(place, shown)),
      onScript: guard((script) => this.#listener.onScript(script)),
      onBlocked: guard(() => this.#tell("blocked", "autoplay")),
      onEnd: guard((end) => this.#ended(end)),
    };
  }

  #drop(): void {
    this.#serial++;
    clearTimeout(this.#retryTimer);
    const connection = this.#connection;
    this.#connection = null;
    if (!connection) return;
    this.#jumpsBefore += connection.measured.jumps;
    connection.close();
  }

  #frame(place: Place | null, shown: Shown): void {
    this.#framesAll++;
    this.#framesHere++;
    // The same picture again, as a server answers a browser that misses the next, is no sign of the host.
    if (place !== null && this.#frameT !== null && place.t <= this.#frameT && this.#state.phase !== "blocked") return;
    this.#noteProgress();
    this.#playing();
    if (place === null) return;
    this.#frameT = place.t;
    this.#listener.onPlace(place, shown);
  }

  #playing(): void {
    this.#hasPlayed = true;
    if (this.#state.phase !== "playing") this.#tell("playing", null);
    if (this.#framesHere + this.#samplesHere === 1) this.#plan.worked();
  }

  #noteProgress(): void {
    this.#progressAt = performance.now();
  }

  #ended(end: End): void {
    this.#closeCode = end.closeCode ?? this.#closeCode;
    const wasGood = this.#framesHere >= GOOD_AFTER_FRAMES;
    this.#failures = wasGood ? 1 : this.#failures + 1;
    const movedOn = this.#plan.failed(wasGood && end.how === "lost" ? "room" : end.how);
    this.#drop();
    const code = this.#reason(end);
    if (!end.mayRetry || !mayRetry(end.closeCode)) {
      this.#pausedAt = null; // who asks again wants to see it
      this.#tell("over", code, { detail: end.detail });
      return;
    }
    // A rung that is no longer made is not waited for.
    if (end.closeCode === RUNG_SHED || (end.code === "not-live" && this.#settings.isLive() !== false)) {
      this.#settings = { ...this.#settings, rendition: null };
    }
    if (this.#pausedAt !== null) {
      this.#tell("paused", null);
      return;
    }
    const atOnce = movedOn && this.#failures < ORDER.length; // a full round without a picture is no reason to hurry
    const retryInMs = atOnce && !end.retryAfterMs ? 0 : this.#delayMs(end);
    this.#tell("retrying", code, { retryInMs, detail: end.detail });
    this.#retryTimer = setTimeout(() => this.#connect(), retryInMs);
  }

  #reason(end: End): MediaCode {
    if (navigator.onLine === false) return "offline";
    return end.code === "not-live" && this.#hasPlayed ? "ended" : end.code;
  }

  #delayMs(end: End): number {
    const own = retryDelayMs(this.#failures, end.closeCode, Math.random());
    return end.retryAfterMs === null ? own : end.retryAfterMs * (1 + Math.random() / 2);
  }

  #backOnline(): void {
    if (this.#state.phase === "retrying") this.retry();
  }

  /** Browsers themselves pause pages in the background, and elements whose connection is gone: that is no wish. */
  #paused(): void {
    const hasPicture = this.#connection !== null && this.#framesHere + this.#samplesHere > 0;
    // At its end an element pauses before the connection tells that it has ended.
    if (hasPicture && !document.hidden && !this.#settings.video.ended) this.#pausedAt = performance.now();
  }

  #resume(): void {
    this.#pausedAt = null;
    if (this.#state.phase === "paused") this.#connect();
  }

  #watch(): void {
    const connection = this.#connection;
    if (!connection) return;
    if (this.#pausedAt !== null && performance.now() - this.#pausedAt > PAUSED_MS) {
      this.#connect(); // ends this connection; another one waits for play
      return;
    }
    if (connection.arrived !== this.#arrived) {
      this.#arrived = connection.arrived;
      this.#noteProgress();
    }
    this.#sample(connection);
    const end = this.#overdue();
    if (end) this.#ended(end);
    else if (this.#state.phase === "playing" && performance.now() - this.#progressAt > SILENCE_MS) {
      this.#tell("silent", "host-away");
    }
  }

  /** Pages in the background, sound alone and old browsers are told of no pictures: there the player's clock counts. */
  #sample(connection: Connection): void {
    // A frozen picture stays where it is, whatever goes on to arrive.
    const place = this.#settings.video.paused ? null : connection.sample();
    if (place === null) return;
    const moved = this.#sampleT !== null && place.t !== this.#sampleT;
    this.#sampleT = place.t;
    if (!moved) return;
    const noPictures = document.hidden || !tellsFrames() || this.#settings.video.videoWidth === 0;
    const untold = this.#frameT !== null && place.t - this.#frameT > UNTOLD_TICKS;
    if (!noPictures && !untold) return;
    this.#samplesHere++;
    this.#noteProgress();
    this.#playing();
    this.#listener.onPlace(place, null);
  }

  /** What should have happened by now, and has not. */
  #overdue(): End | null {
    const now = performance.now();
    if (now - this.#progressAt > DEAD_MS && this.#state.phase !== "blocked") return endOf("lost", "lost");
    if (this.#framesHere + this.#samplesHere > 0 || this.#state.phase === "blocked" || document.hidden) return null;
    if (this.#admittedAt === null) {
      const patience = this.#settings.isLive() ? LIVE_ADMISSION_MS : ADMISSION_MS;
      return now - this.#openedAt > patience ? endOf("no-picture", "transport") : null;
    }
    const patience = this.#arrived > 0 ? PICTURE_MS : ARRIVAL_MS;
    return now - this.#admittedAt > patience ? endOf("no-picture", "transport") : null;
  }

  #tell(phase: Phase, code: MediaCode | null, more: { retryInMs?: number; detail?: string | null } = {}): void {
    const { retryInMs = null, detail = null } = more;
    this.#state = { phase, code, transport: this.#plan.current, retryInMs, detail };
    this.#listener.onState(this.#state);
  }
}

/** FLV and its player come over the network only when they are needed. */
async function make(transport: Transport, settings: ConnectionSettings, listener: ConnectionListener): Promise<Connection> {
  if (transport === "webrtc") return new WhepConnection(settings, listener);
  const { FlvConnection } = await import("./flv_connection");
  return new FlvConnection(settings, transport, listener);
}
