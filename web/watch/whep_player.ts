// One room on one <video> by WHEP: connects, comes back, and knows where it is on the timeline.

import { retryDelayMs } from "./backoff";
import type { Stats } from "./player";
import { readRtpAnchor, RtpPosition } from "./rtp_timeline";
import type { Transport } from "./transport";
import { whepUrl } from "./transport";
import { explain } from "./words";

const GOOD_AFTER_FRAMES = 30;
/** After so long without a new picture the viewer is told that this is not their fault. */
const SILENCE_MS = 4_000;
/** The server keeps viewers for 30 s after their host is gone, then closes. Longer silence is a dead connection. */
const DEAD_MS = 45_000;
/** "disconnected" often heals by itself when a phone changes its network. */
const DISCONNECTED_MS = 5_000;
const WATCHDOG_MS = 500;
const REFUSED_FOR_GOOD = new Set([400, 404, 415, 422]);

interface Measured {
  readonly dropped: number;
  readonly freezes: number;
  readonly bufferS: number;
}

export class WhepPlayer {
  readonly position = new RtpPosition();
  readonly transport: Transport = "webrtc";
  readonly #video: HTMLVideoElement;
  readonly #room: string;
  readonly #tell: (message: string) => void;
  #peer: RTCPeerConnection | null = null;
  #session: string | null = null;
  #failures = 0;
  #connections = 0;
  #framesHere = 0;
  #framesAll = 0;
  #measured: Measured = { dropped: 0, freezes: 0, bufferS: 0 };
  #retry: ReturnType<typeof setTimeout> | undefined;
  #frameRequest = 0;
  #lastProgress = 0;
  #disconnectedSince: number | null = null;

  constructor(video: HTMLVideoElement, room: string, tell: (message: string) => void) {
    this.#video = video;
    this.#room = room;
    this.#tell = tell;
    for (const name of ["playing", "timeupdate"]) video.addEventListener(name, () => this.#tell(""));
    addEventListener("pagehide", () => this.#leave());
    setInterval(() => void this.#watch(), WATCHDOG_MS);
  }

  get stats(): Stats {
    return {
      connections: this.#connections,
      jumps: 0,
      frames: this.#framesAll,
      dropped: this.#measured.dropped,
      freezes: this.#measured.freezes,
      bufferS: this.#measured.bufferS,
      width: this.#video.videoWidth,
      height: this.#video.videoHeight,
      closeCode: null,
    };
  }

  /** Connect, instead of whatever was there. */
  connect(): void {
    this.stop();
    this.#connections++;
    this.#framesHere = 0;
    this.#disconnectedSince = null;
    this.#lastProgress = performance.now();
    const peer = new RTCPeerConnection();
    this.#peer = peer;
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.addTransceiver("audio", { direction: "recvonly" });
    const media = new MediaStream();
    peer.ontrack = ({ track }) => media.addTrack(track);
    peer.onconnectionstatechange = () => this.#note(peer);
    this.#video.srcObject = media;
    this.#negotiate(peer).catch(() => this.#ended(peer, explain(null, null)));
    this.#video.play().catch((error: DOMException) => {
      if (error.name === "NotAllowedError") this.#tell("Press play to start.");
    });
    this.#askForFrame(peer);
  }

  /** Disconnect and stay so. */
  stop(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#video.cancelVideoFrameCallback?.(this.#frameRequest);
    this.#leave();
    const peer = this.#peer;
    this.#peer = null;
    peer?.close();
  }

  async #negotiate(peer: RTCPeerConnection): Promise<void> {
    const offer = await peer.createOffer();
    // Without being asked for stereo, browsers play Opus in mono.
    const sdp = (offer.sdp ?? "").replace(/(a=fmtp:\d+ [^\r\n]*useinbandfec=1)(?![^\r\n]*stereo=)/g, "$1;stereo=1");
    await peer.setLocalDescription({ type: "offer", sdp });
    const response = await fetch(whepUrl(location.origin, this.#room), {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: peer.localDescription?.sdp ?? sdp,
    });
    if (this.#peer !== peer) return abandon(response);
    if (response.status !== 201) return this.#refused(peer, response);
    this.#session = response.headers.get("Location");
    const anchor = readRtpAnchor(response.headers.get("Streamer-Timeline"));
    if (anchor) this.position.anchorAt(anchor);
    const answer = await response.text();
    if (this.#peer === peer) await peer.setRemoteDescription({ type: "answer", sdp: answer });
  }

  async #refused(peer: RTCPeerConnection, response: Response): Promise<void> {
    const problem: unknown = await response.json().catch(() => null);
    const detail =
      typeof problem === "object" && problem !== null && "detail" in problem ? String(problem.detail) : null;
    const forGood = REFUSED_FOR_GOOD.has(response.status);
    this.#ended(peer, forGood && detail ? detail : explain(null, response.status), !forGood);
  }

  #note(peer: RTCPeerConnection): void {
    if (this.#peer !== peer) return;
    const state = peer.connectionState;
    this.#disconnectedSince = state === "disconnected" ? performance.now() : null;
    if (state === "failed" || state === "closed") this.#ended(peer, explain(null, null));
  }

  #ended(peer: RTCPeerConnection, message: string, again = true): void {
    if (this.#peer !== peer) return;
    this.#failures = this.#framesHere >= GOOD_AFTER_FRAMES ? 1 : this.#failures + 1;
    this.stop();
    this.#tell(message);
    if (again) this.#retry = setTimeout(() => this.connect(), retryDelayMs(this.#failures, null, Math.random()));
  }

  #leave(): void {
    const session = this.#session;
    this.#session = null;
    if (session) fetch(session, { method: "DELETE", keepalive: true }).catch(() => undefined); // it expires anyway
  }

  #askForFrame(peer: RTCPeerConnection): void {
    if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) return;
    this.#frameRequest = this.#video.requestVideoFrameCallback((_now, metadata) => {
      if (this.#peer !== peer) return;
      // Chrome and Safari know each picture's RTP time; Firefox only the one that was decoded last.
      const rtp = metadata.rtpTimestamp ?? lastRtpTime(peer);
      this.#framesHere++;
      this.#framesAll++;
      this.#lastProgress = performance.now();
      if (rtp !== undefined) this.position.shown(rtp);
      this.#askForFrame(peer);
    });
  }

  async #watch(): Promise<void> {
    const peer = this.#peer;
    if (!peer) return;
    const now = performance.now();
    if (document.hidden) this.#lastProgress = now; // no frame callbacks in the background
    if (this.#disconnectedSince !== null && now - this.#disconnectedSince > DISCONNECTED_MS) {
      return this.#ended(peer, explain(null, null));
    }
    const silentMs = now - this.#lastProgress;
    if (silentMs > DEAD_MS) return this.#ended(peer, explain(null, null));
    if (silentMs > SILENCE_MS) this.#explainSilence();
    this.#measured = await measure(peer);
  }

  /** A host that is gone for a moment leaves its viewers connected. */
  #explainSilence(): void {
    if (this.#framesHere > 0) this.#tell("The host's picture has stopped. Waiting for it to come back.");
    else this.#tell("Nobody is live in this room yet. Waiting for the host.");
  }
}

/** An answer that nobody waits for any more: its session ends now. */
function abandon(response: Response): void {
  const session = response.headers.get("Location");
  if (session) fetch(session, { method: "DELETE" }).catch(() => undefined); // it expires anyway
}

function lastRtpTime(peer: RTCPeerConnection): number | undefined {
  const receiver = peer.getReceivers().find(({ track }) => track.kind === "video");
  return receiver?.getSynchronizationSources()[0]?.rtpTimestamp;
}

async function measure(peer: RTCPeerConnection): Promise<Measured> {
  let measured: Measured = { dropped: 0, freezes: 0, bufferS: 0 };
  for (const report of (await peer.getStats()).values()) {
    if (report.type !== "inbound-rtp" || report.kind !== "video") continue;
    const emitted: number = report.jitterBufferEmittedCount ?? 0;
    measured = {
      dropped: report.framesDropped ?? 0,
      freezes: report.freezeCount ?? 0,
      bufferS: emitted ? (report.jitterBufferDelay ?? 0) / emitted : 0,
    };
  }
  return measured;
}
