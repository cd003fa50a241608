// FLV over a WebSocket or over HTTP, by mpegts.js. This file and what it imports are loaded only when FLV is played.

import mpegts from "mpegts.js";

import { type FlvTransport, flvUrl } from "./addresses";
import {
  type Connection,
  type ConnectionListener,
  type ConnectionSettings,
  type End,
  endOf,
  endOfClose,
  endOfStatus,
  type Measured,
} from "./connection";
import { type FlvAnchor, flvPlace, readFlvAnchor } from "./flv_position";
import { webSocketLoader } from "./flv_loader";
import { FrameWatch } from "./frames";
import { bufferedAhead, jumpTarget } from "./gap";
import { LatencyKeeper } from "./latency";
import type { Place } from "./place";
import { readProblem } from "./problem";

/** How often the buffer is looked at. `waiting` may come before the range behind a hole is there. */
const LOOK_MS = 250;
/** The server holds a question about a stream that is not there yet for 10 s. */
const WHY_MS = 15_000;

const LIVE: mpegts.Config = {
  isLive: true,
  enableStashBuffer: false,
  lazyLoad: false,
  autoCleanupSourceBuffer: true,
  autoCleanupMaxBackwardDuration: 30,
  autoCleanupMinBackwardDuration: 10,
};

export class FlvConnection implements Connection {
  readonly #settings: ConnectionSettings;
  readonly #transport: FlvTransport;
  readonly #listener: ConnectionListener;
  readonly #frames: FrameWatch;
  #engine: mpegts.Player | null = null;
  #anchor: FlvAnchor | null = null;
  #admitted = false;
  #isOver = false;
  #jumps = 0;
  #droppedBefore = 0;
  #closeCode: number | null = null;
  #neverOpened = false;
  #looking: ReturnType<typeof setInterval> | undefined;
  readonly #latency = new LatencyKeeper(performance.now());
  readonly #onWaiting = (): void => this.#wait();

  constructor(settings: ConnectionSettings, transport: FlvTransport, listener: ConnectionListener) {
    this.#settings = settings;
    this.#transport = transport;
    this.#listener = listener;
    this.#frames = new FrameWatch(settings.video, (shown) =>
      listener.onFrame(this.#anchor && flvPlace(this.#anchor, shown.mediaTime), shown),
    );
  }

  open(): void {
    if (!mpegts.getFeatureList().mseLivePlayback) {
      this.#over(endOf("unsupported", "unsupported"));
      return;
    }
    this.#start().catch((error: unknown) => this.#over(endOf("lost", "lost", String(error))));
  }

  close(): void {
    this.#isOver = true;
    clearInterval(this.#looking);
    this.#frames.stop();
    this.#settings.video.removeEventListener("waiting", this.#onWaiting);
    const engine = this.#engine;
    this.#engine = null;
    if (engine) this.#listener.onLeave();
    engine?.destroy();
    this.#settings.video.playbackRate = 1;
  }

  get arrived(): number {
    const { buffered } = this.#settings.video;
    return buffered.length ? buffered.end(buffered.length - 1) : 0;
  }

  get measured(): Measured {
    const { video } = this.#settings;
    return {
      jumps: this.#jumps,
      dropped: video.getVideoPlaybackQuality().droppedVideoFrames - this.#droppedBefore,
      freezes: null,
      bufferS: bufferedAhead(video.buffered, video.currentTime),
    };
  }

  sample(): Place | null {
    const { video } = this.#settings;
    return this.#anchor && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA ? flvPlace(this.#anchor, video.currentTime) : null;
  }

  anchorAt(): void {
    // The stream carries its own.
  }

  async #start(): Promise<void> {
    const { video, origin, room, rendition } = this.#settings;
    const url = flvUrl(origin, room, this.#transport, { rendition, ticket: await this.#settings.ticket() });
    if (this.#isOver) return;
    mpegts.LoggingControl.applyConfig({ enableVerbose: false, enableInfo: false, enableDebug: false });
    const engine = this.#newEngine(url);
    this.#engine = engine;
    video.addEventListener("waiting", this.#onWaiting);
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    video.srcObject = null; // a WebRTC picture, under which `src` would not be looked at
    engine.attachMediaElement(video);
    engine.load();
    this.#frames.start();
    this.#droppedBefore = video.getVideoPlaybackQuality().droppedVideoFrames;
    video.play().catch((error: DOMException) => {
      if (error.name === "NotAllowedError" && !this.#isOver) this.#listener.onBlocked();
    });
  }

  #newEngine(url: string): mpegts.Player {
    const customLoader = webSocketLoader({
      onOpen: () => this.#letIn(),
      onClose: (code, opened) => {
        this.#closeCode = code;
        this.#neverOpened = !opened;
      },
    });
    const overWebSocket = this.#transport === "ws" ? { customLoader } : {};
    const engine: mpegts.Player = mpegts.createPlayer(
      { type: "flv", isLive: true, cors: true, url },
      { ...LIVE, ...overWebSocket },
    );
    engine.on(mpegts.Events.SCRIPTDATA_ARRIVED, (script: unknown) => this.#readScript(script));
    engine.on(mpegts.Events.ERROR, (_kind: string, detail: string, info: { code?: number }) => this.#ended(detail, info));
    engine.on(mpegts.Events.LOADING_COMPLETE, () => this.#ended("", {}));
    return engine;
  }

  #letIn(): void {
    if (this.#admitted || this.#isOver) return;
    this.#admitted = true;
    this.#listener.onAdmitted();
  }

  #readScript(script: unknown): void {
    if (this.#isOver) return; // a destroyed engine may still speak
    this.#letIn();
    this.#anchor = readFlvAnchor(script) ?? this.#anchor;
    this.#listener.onScript(script);
  }

  #ended(detail: string, info: { code?: number }): void {
    if (this.#isOver) return;
    // Over HTTP the code of an error is the response's status.
    const status = this.#transport === "http" && info.code !== undefined && info.code >= 400 ? info.code : null;
    if (status !== null) this.#over(endOfStatus(status, null, null));
    else if (this.#neverOpened) this.#askWhy();
    else if (detail === mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED) this.#over(endOf("unusable", "transport"));
    else this.#over(endOfClose(this.#closeCode));
  }

  /** A refused WebSocket handshake tells a page nothing; the same question over HTTP does. */
  #askWhy(): void {
    const { origin, room, rendition } = this.#settings;
    const neverOpened = endOf("lost", "transport", "the WebSocket did not open");
    fetch(flvUrl(origin, room, "http", { rendition }), { method: "HEAD", signal: AbortSignal.timeout(WHY_MS) })
      .then(async (response) => {
        if (response.ok) return this.#over(neverOpened);
        const { status, detail, retryAfterMs } = await readProblem(response);
        this.#over(endOfStatus(status, detail, retryAfterMs));
      })
      .catch(() => this.#over(endOf("lost", "lost", "the server does not answer")));
  }

  #over(end: End): void {
    if (this.#isOver) return;
    this.close();
    this.#listener.onEnd(end);
  }

  #look(): void {
    const { video } = this.#settings;
    if (video.paused || video.seeking) return;
    if (video.readyState > HTMLMediaElement.HAVE_CURRENT_DATA) this.#keepLatency();
    else this.#jumpHole();
  }

  /** Nothing more to show: behind a hole there is, else the connection was too slow for this little buffer. */
  #wait(): void {
    if (!this.#jumpHole() && !this.#settings.video.seeking) this.#latency.stalled(performance.now());
  }

  #keepLatency(): void {
    const { video } = this.#settings;
    const aheadS = bufferedAhead(video.buffered, video.currentTime);
    const { rate, jumpS } = this.#latency.look(aheadS, performance.now());
    if (video.playbackRate !== rate) video.playbackRate = rate;
    if (jumpS > 0) video.currentTime += jumpS;
  }

  /** Whether there was one. */
  #jumpHole(): boolean {
    const { video } = this.#settings;
    const target = jumpTarget(video.buffered, video.currentTime);
    if (target === null) return false;
    this.#jumps++;
    video.currentTime = target;
    return true;
  }
}
