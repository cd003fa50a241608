// WebRTC by WHEP (draft-ietf-wish-whep): one offer, one answer, then RTP.

import { sessionUrl, whepUrl } from "./addresses";
import {
  type Connection,
  type ConnectionListener,
  type ConnectionSettings,
  type End,
  endOf,
  endOfStatus,
  type Measured,
} from "./connection";
import { FrameWatch } from "./frames";
import type { Place } from "./place";
import { readProblem } from "./problem";
import { type RtpAnchor, readRtpAnchor, RtpPosition } from "./rtp_position";

/** From the answer to a checked path. UDP and TCP candidates are tried side by side, which takes well under a second. */
const ROUTE_MS = 5_000;
/** "disconnected" often heals by itself when a phone changes its network. */
const DISCONNECTED_MS = 5_000;
/** The server holds an offer for a stream that is not there yet for 10 s. */
const ANSWER_MS = 20_000;
const MEASURE_MS = 500;
const NO_ROOM = 4104;

export class WhepConnection implements Connection {
  readonly #settings: ConnectionSettings;
  readonly #listener: ConnectionListener;
  readonly #frames: FrameWatch;
  readonly #position = new RtpPosition();
  readonly #peer = new RTCPeerConnection();
  readonly #asking = new AbortController();
  #session: string | null = null;
  #isOver = false;
  #wasConnected = false;
  #arrived = 0;
  readonly #newest = new Map<"video" | "audio", number>();
  #measured: Measured = { jumps: 0, dropped: 0, freezes: 0, bufferS: 0 };
  #measuring: ReturnType<typeof setInterval> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  readonly #onPageHide = (): void => this.#leave();

  constructor(settings: ConnectionSettings, listener: ConnectionListener) {
    this.#settings = settings;
    this.#listener = listener;
    this.#frames = new FrameWatch(
      settings.video,
      // Chrome and Safari know each picture's RTP time; Firefox only the one that was decoded last.
      (shown) => listener.onFrame(this.#place(shown.rtpTimestamp ?? this.#lastRtp("video")), shown),
    );
  }

  open(): void {
    const media = new MediaStream();
    this.#peer.addTransceiver("video", { direction: "recvonly" });
    this.#peer.addTransceiver("audio", { direction: "recvonly" });
    this.#peer.ontrack = ({ track }) => media.addTrack(track);
    this.#peer.onconnectionstatechange = () => this.#note();
    addEventListener("pagehide", this.#onPageHide);
    this.#negotiate(media).catch((error: unknown) => this.#over(this.#failure(error)));
    this.#frames.start();
    this.#measuring = setInterval(() => void this.#measure(), MEASURE_MS);
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener.onLeave();
    clearInterval(this.#measuring);
    clearTimeout(this.#deadline);
    removeEventListener("pagehide", this.#onPageHide);
    this.#frames.stop();
    this.#asking.abort();
    this.#leave();
    this.#peer.close(); // the last picture stays until the next connection's
  }

  get arrived(): number {
    return this.#arrived;
  }

  get measured(): Measured {
    return this.#measured;
  }

  sample(): Place | null {
    const rtp = this.#lastRtp("video");
    if (rtp !== undefined) return this.#place(rtp);
    const sound = this.#lastRtp("audio");
    return sound === undefined ? null : this.#position.sound(sound);
  }

  anchorAt(anchor: RtpAnchor): void {
    this.#position.anchorAt(anchor);
  }

  async #negotiate(media: MediaStream): Promise<void> {
    const { origin, room, rendition, token } = this.#settings;
    const offer = await this.#peer.createOffer();
    // Without being asked for stereo, browsers play Opus in mono.
    const sdp = (offer.sdp ?? "").replace(/(a=fmtp:\d+ [^\r\n]*useinbandfec=1)(?![^\r\n]*stereo=)/g, "$1;stereo=1");
    await this.#peer.setLocalDescription({ type: "offer", sdp });
    this.#deadline = setTimeout(() => this.#asking.abort(), ANSWER_MS);
    const response = await fetch(whepUrl(origin, room, { rendition }), {
      method: "POST",
      headers: { "Content-Type": "application/sdp", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
      body: this.#peer.localDescription?.sdp ?? sdp,
      signal: this.#asking.signal,
    });
    clearTimeout(this.#deadline);
    if (response.status !== 201) return this.#refused(response);
    const location = response.headers.get("Location");
    this.#session = location === null ? null : sessionUrl(origin, location);
    if (this.#isOver) return this.#leave();
    const anchor = readRtpAnchor(response.headers.get("Streamer-Timeline"));
    if (anchor) this.#position.anchorAt(anchor);
    await this.#peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    if (this.#isOver) return;
    this.#play(media);
    this.#listener.onAdmitted();
    this.#deadline = setTimeout(() => this.#over(endOf("no-route", "transport")), ROUTE_MS);
    this.#note();
  }

  /**
   * Only now, when the tracks are in it: Chromium decides at this moment how it shows a stream, and for one without a
   * remote picture it queues what comes in the background, and stays seconds behind after the return. Until then the
   * picture before stays, and the page counts as loaded.
   */
  #play(media: MediaStream): void {
    const { video } = this.#settings;
    video.srcObject = media;
    video.play().catch((error: DOMException) => {
      if (error.name === "NotAllowedError" && !this.#isOver) this.#listener.onBlocked();
    });
  }

  async #refused(response: Response): Promise<void> {
    const { status, detail, code, retryAfterMs } = await readProblem(response);
    this.#over(this.#endOf(status, code) ?? endOfStatus(status, detail, retryAfterMs));
  }

  /** 404 has three meanings, which FLV's has not; null for every other status. */
  #endOf(status: number, code: number | null): End | null {
    if (status !== 404) return null;
    // No number of ours: nothing here speaks WHEP, perhaps because a proxy does not pass it on.
    if (code !== NO_ROOM) return endOf("unusable", "transport", "the server does not speak WHEP here");
    // With a rung that was asked for, it may be the rung that there is not: then without it, the answer is another one.
    if (this.#settings.rendition !== null) return endOf("not-live", "room");
    return { ...endOf("no-room", "room"), mayRetry: false };
  }

  #failure(error: unknown): End {
    const name = error instanceof Error ? error.name : "";
    // A fetch that fails is the network's doing; anything else is this browser and this answer not agreeing.
    if (name === "TypeError" || name === "AbortError") return endOf("lost", "lost", "the server does not answer");
    return endOf("unusable", "transport", String(error));
  }

  #note(): void {
    const state = this.#peer.connectionState;
    if (state === "connected") {
      this.#wasConnected = true;
      clearTimeout(this.#deadline);
    } else if (state === "disconnected") {
      clearTimeout(this.#deadline);
      this.#deadline = setTimeout(() => this.#over(endOf("lost", "lost")), DISCONNECTED_MS);
    } else if (state === "failed" || state === "closed") {
      this.#over(this.#wasConnected ? endOf("lost", "lost") : endOf("no-route", "transport"));
    }
  }

  #over(end: End): void {
    if (this.#isOver) return;
    this.close();
    this.#listener.onEnd(end);
  }

  #leave(): void {
    const session = this.#session;
    this.#session = null;
    if (session) fetch(session, { method: "DELETE", keepalive: true }).catch(() => undefined); // it expires anyway
  }

  #place(rtp: number | undefined): Place | null {
    return rtp === undefined ? null : this.#position.picture(rtp);
  }

  #lastRtp(kind: "video" | "audio"): number | undefined {
    const receiver = this.#peer.getReceivers().find(({ track }) => track.kind === kind);
    return receiver?.getSynchronizationSources()[0]?.rtpTimestamp;
  }

  /** Whether the picture or the sound is further than when this was asked before; true until there is either. */
  #hasNews(): boolean {
    let hasNews = this.#newest.size === 0;
    for (const kind of ["video", "audio"] as const) {
      const rtp = this.#lastRtp(kind);
      const before = this.#newest.get(kind);
      if (rtp === undefined || (before !== undefined && ((rtp - before) | 0) <= 0)) continue;
      this.#newest.set(kind, rtp);
      hasNews = true;
    }
    return hasNews;
  }

  async #measure(): Promise<void> {
    const reports = [...(await this.#peer.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
    if (this.#isOver) return;
    // A browser that misses pictures asks for the last one again, and gets it: that is nothing new.
    if (this.#hasNews()) this.#arrived = reports.reduce((sum, report) => sum + (report.packetsReceived ?? 0), 0);
    const video = reports.find(({ kind }) => kind === "video");
    if (!video) return;
    const emitted: number = video.jitterBufferEmittedCount ?? 0;
    this.#measured = {
      jumps: 0,
      dropped: video.framesDropped ?? 0,
      freezes: video.freezeCount ?? 0,
      bufferS: emitted ? (video.jitterBufferDelay ?? 0) / emitted : 0,
    };
  }
}
