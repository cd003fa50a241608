// One room on one <video>: connects, comes back, jumps holes, and knows where it is on the timeline.

import mpegts from "mpegts.js";

import { mayRetry, retryDelayMs } from "./backoff";
import { bufferedAhead, jumpTarget } from "./gap";
import { webSocketLoader } from "./loader";
import { Position, readAnchor } from "./timeline";
import { type FlvTransport, streamUrl } from "./transport";
import { explain } from "./words";

/** Frames that have been shown in a row before a connection counts as good and the back-off starts anew. */
const GOOD_AFTER_FRAMES = 30;
/** After so long without media the viewer is told that this is not their fault. */
const SILENCE_MS = 4_000;
/** The server keeps viewers for 30 s after their host is gone, then closes. Longer silence is a dead connection. */
const DEAD_MS = 45_000;
const WATCHDOG_MS = 500;

export interface Stats {
  readonly connections: number;
  readonly jumps: number;
  readonly frames: number;
  readonly dropped: number;
  /** Times the picture stood still; null where that is not measured. */
  readonly freezes: number | null;
  readonly bufferS: number;
  readonly width: number;
  readonly height: number;
  readonly closeCode: number | null;
}

export class Player {
  readonly position = new Position();
  readonly #video: HTMLVideoElement;
  readonly #room: string;
  readonly #transports: readonly FlvTransport[];
  readonly #tell: (message: string) => void;
  #engine: mpegts.Player | null = null;
  #choice = 0;
  #failures = 0;
  #connections = 0;
  #jumps = 0;
  #framesHere = 0;
  #framesAll = 0;
  #closeCode: number | null = null;
  #status: number | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #frameRequest = 0;
  #lastBufferedEnd = 0;
  #lastProgress = 0;

  constructor(
    video: HTMLVideoElement,
    room: string,
    transports: readonly FlvTransport[],
    tell: (message: string) => void,
  ) {
    this.#video = video;
    this.#room = room;
    this.#transports = transports;
    this.#tell = tell;
    video.addEventListener("waiting", () => this.#jumpHole());
    // Also `timeupdate`: after a silence the picture goes on without another `playing`.
    for (const name of ["playing", "timeupdate"]) video.addEventListener(name, () => this.#tell(""));
    video.addEventListener("timeupdate", () => this.#noteWithoutFrames());
    setInterval(() => this.#watch(), WATCHDOG_MS);
  }

  get transport(): FlvTransport {
    return this.#transports[this.#choice % this.#transports.length] as FlvTransport;
  }

  get stats(): Stats {
    const quality = this.#video.getVideoPlaybackQuality();
    return {
      connections: this.#connections,
      jumps: this.#jumps,
      frames: this.#framesAll,
      dropped: quality.droppedVideoFrames,
      freezes: null,
      bufferS: bufferedAhead(this.#video.buffered, this.#video.currentTime),
      width: this.#video.videoWidth,
      height: this.#video.videoHeight,
      closeCode: this.#closeCode,
    };
  }

  /** Connect, instead of whatever was there. */
  connect(): void {
    this.stop();
    this.#connections++;
    this.#framesHere = 0;
    this.#closeCode = null;
    this.#status = null;
    this.#lastBufferedEnd = 0;
    this.#lastProgress = performance.now();
    const engine = this.#newEngine();
    this.#engine = engine;
    engine.attachMediaElement(this.#video);
    engine.load();
    this.#video.play().catch((error: DOMException) => {
      if (error.name === "NotAllowedError") this.#tell("Press play to start.");
    });
    this.#askForFrame();
  }

  /** Disconnect and stay so. */
  stop(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#video.cancelVideoFrameCallback?.(this.#frameRequest);
    const engine = this.#engine;
    this.#engine = null;
    engine?.destroy();
  }

  #newEngine(): mpegts.Player {
    const overWebSocket = this.transport === "ws";
    const engine: mpegts.Player = mpegts.createPlayer(
      { type: "flv", isLive: true, url: streamUrl(location.origin, this.#room, this.transport) },
      {
        isLive: true,
        enableStashBuffer: false,
        lazyLoad: false,
        liveBufferLatencyChasing: true,
        liveBufferLatencyMaxLatency: 1.0,
        liveBufferLatencyMinRemain: 0.3,
        autoCleanupSourceBuffer: true,
        autoCleanupMaxBackwardDuration: 30,
        autoCleanupMinBackwardDuration: 10,
        ...(overWebSocket ? { customLoader: webSocketLoader((code) => this.#noteClose(engine, code)) } : {}),
      },
    );
    // A destroyed engine may still speak; only the present one is heard.
    const hear = <Values extends unknown[]>(event: string, react: (...values: Values) => void): void =>
      engine.on(event, (...values) => {
        if (this.#engine === engine) react(...(values as Values));
      });
    hear(mpegts.Events.SCRIPTDATA_ARRIVED, (script: unknown) => this.#readScript(script));
    hear(mpegts.Events.ERROR, (_kind: string, _detail: string, info: { code?: number }) => this.#ended(info));
    hear(mpegts.Events.LOADING_COMPLETE, () => this.#ended({}));
    return engine;
  }

  #noteClose(engine: mpegts.Player, code: number): void {
    if (this.#engine === engine) this.#closeCode = code;
  }

  #readScript(script: unknown): void {
    const anchor = readAnchor(script);
    if (anchor) this.position.anchorAt(anchor);
  }

  #ended(info: { code?: number }): void {
    // Over HTTP the code of an error is the response's status.
    if (this.transport === "http" && info.code !== undefined && info.code >= 400) this.#status = info.code;
    const neverPlayed = this.#framesHere === 0;
    this.#failures = this.#framesHere >= GOOD_AFTER_FRAMES ? 1 : this.#failures + 1;
    const closeCode = this.#closeCode;
    this.stop();
    this.#tell(explain(closeCode, this.#status));
    if (!mayRetry(closeCode)) return;
    // A WebSocket that never brought a picture, and got no reason either: perhaps a proxy does not let it through.
    if (this.#status !== null) this.#choice = 0;
    else if (neverPlayed && (closeCode === null || closeCode < 4000)) this.#choice++;
    this.#retry = setTimeout(() => this.connect(), retryDelayMs(this.#failures, closeCode, Math.random()));
  }

  #askForFrame(): void {
    if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) return;
    this.#frameRequest = this.#video.requestVideoFrameCallback((_now, metadata) => {
      this.#framesHere++;
      this.#framesAll++;
      this.position.shown(metadata.mediaTime);
      this.#askForFrame();
    });
  }

  /** Background tabs and audio-only streams get no frame callbacks. */
  #noteWithoutFrames(): void {
    const callbacks = "requestVideoFrameCallback" in HTMLVideoElement.prototype;
    if (callbacks && !document.hidden && this.#video.videoWidth > 0) return;
    this.#framesHere++;
    this.position.shown(this.#video.currentTime);
  }

  #jumpHole(): void {
    const target = jumpTarget(this.#video.buffered, this.#video.currentTime);
    if (target === null) return;
    this.#jumps++;
    this.#video.currentTime = target;
  }

  #watch(): void {
    if (!this.#engine) return;
    const { buffered } = this.#video;
    const end = buffered.length ? buffered.end(buffered.length - 1) : 0;
    const now = performance.now();
    if (end !== this.#lastBufferedEnd) {
      this.#lastBufferedEnd = end;
      this.#lastProgress = now;
    }
    // `waiting` may have come before the range behind the hole was there.
    if (!this.#video.paused && this.#video.readyState <= HTMLMediaElement.HAVE_CURRENT_DATA) this.#jumpHole();
    const silentMs = now - this.#lastProgress;
    if (silentMs > DEAD_MS) this.#ended({});
    else if (silentMs > SILENCE_MS) this.#explainSilence();
  }

  /** A host that is gone for a moment leaves its viewers connected. */
  #explainSilence(): void {
    if (this.#framesHere > 0) this.#tell("The host's picture has stopped. Waiting for it to come back.");
    else this.#tell("Nobody is live in this room yet. Waiting for the host.");
  }
}
