// One room published by WHIP (RFC 9725): connects, comes back by itself, and says how it is doing.

import { sessionUrl } from "../sdk/addresses";
import { retryDelayMs } from "../sdk/backoff";
import { preferH264 } from "./codecs";
import { explainEnd, explainStatus, type Refusal, type Sentence } from "./words";

const MAX_BITRATE = 2_500_000;
/** "disconnected" often heals by itself when a phone changes its network. */
const DISCONNECTED_MS = 5_000;
const WATCHDOG_MS = 1_000;
/** A request that a lost network swallows would never end. */
const ANSWER_MS = 10_000;
const GOODBYE_MS = 3_000;
/** Connected for so long, the next failure is the first of its row. */
const GOOD_AFTER_MS = 10_000;

export type State = "off" | "connecting" | "live";

export interface Stats {
  readonly bitrate: number;
  readonly fps: number;
  readonly width: number;
  readonly height: number;
  readonly rttMs: number;
  /** What the browser believes the path carries, in bits per second. */
  readonly available: number;
  readonly connections: number;
}

const NOTHING: Stats = { bitrate: 0, fps: 0, width: 0, height: 0, rttMs: 0, available: 0, connections: 0 };

export class Publisher {
  readonly #room: string;
  readonly #note: (state: State, says: Sentence | null) => void;
  #state: State = "off";
  #stats: Stats = NOTHING;
  #media: MediaStream | null = null;
  #key = "";
  #peer: RTCPeerConnection | null = null;
  /** Whether the server is being asked why the peer was lost. */
  #isAsking = false;
  #session: string | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #connections = 0;
  #liveSince = 0;
  #disconnectedSince: number | null = null;
  #sent: { readonly bytes: number; readonly at: number } | null = null;

  /** `note` is called with each new state and what to say about it; null clears what was said. */
  constructor(room: string, note: (state: State, says: Sentence | null) => void) {
    this.#room = room;
    this.#note = note;
    addEventListener("pagehide", () => this.#leave());
    setInterval(() => void this.#watch(), WATCHDOG_MS);
  }

  get state(): State {
    return this.#state;
  }

  get stats(): Stats {
    return { ...this.#stats, connections: this.#connections };
  }

  start(media: MediaStream, key: string): void {
    this.#media = media;
    this.#key = key;
    this.#failures = 0;
    if (!isSendable(key)) return this.#enter("off", explainStatus(403).says);
    this.#enter("connecting", ["connecting"]);
    void this.#connect();
  }

  stop(): void {
    this.#disconnect();
    this.#leave();
    this.#enter("off", null);
  }

  /** Other devices, without a new connection where the browser can. */
  replace(media: MediaStream): void {
    this.#media = media;
    const peer = this.#peer;
    if (!peer) return;
    for (const sender of peer.getSenders()) {
      const track = media.getTracks().find(({ kind }) => kind === sender.track?.kind);
      if (!track || track === sender.track) continue;
      sender.replaceTrack(track).catch(() => void this.#lost(peer)); // not sendable as agreed: a new session is
    }
  }

  async #connect(): Promise<void> {
    const media = this.#media;
    if (!media) return;
    this.#disconnect();
    this.#connections++;
    const peer = new RTCPeerConnection();
    this.#peer = peer;
    peer.onconnectionstatechange = () => this.#follow(peer);
    try {
      addTracks(peer, media);
      await this.#negotiate(peer);
    } catch {
      await this.#lost(peer);
    }
  }

  async #negotiate(peer: RTCPeerConnection): Promise<void> {
    await peer.setLocalDescription();
    const headers: Record<string, string> = { "Content-Type": "application/sdp" };
    if (this.#key) headers["Authorization"] = `Bearer ${this.#key}`;
    const response = await fetch(new URL(`/whip/${encodeURIComponent(this.#room)}`, location.origin), {
      method: "POST",
      headers,
      body: peer.localDescription?.sdp ?? "",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const session = response.headers.get("Location");
    if (this.#peer !== peer) {
      if (session) void goodbye(session); // stopped meanwhile
      return;
    }
    if (response.status !== 201) {
      const wait = response.headers.get("Retry-After");
      return this.#failed(peer, explainStatus(response.status, await reasonOf(response), wait));
    }
    this.#session = session;
    const sdp = await response.text();
    if (this.#peer === peer) await peer.setRemoteDescription({ type: "answer", sdp });
  }

  #follow(peer: RTCPeerConnection): void {
    if (this.#peer !== peer) return;
    const state = peer.connectionState;
    this.#disconnectedSince = state === "disconnected" ? performance.now() : null;
    if (state === "connected" && this.#state !== "live") {
      this.#liveSince = performance.now();
      this.#enter("live", null);
    }
    if (state === "failed" || state === "closed") void this.#lost(peer);
  }

  /** The server knows why; an answer without a reason means that the network was to blame. */
  async #lost(peer: RTCPeerConnection): Promise<void> {
    if (this.#peer !== peer || this.#isAsking) return;
    this.#isAsking = true;
    const session = this.#session;
    this.#session = null;
    const code = session ? await goodbye(session) : null;
    this.#failed(peer, explainEnd(code));
  }

  #failed(peer: RTCPeerConnection, { says, again }: Refusal): void {
    if (this.#peer !== peer) return;
    const wasGood = this.#state === "live" && performance.now() - this.#liveSince > GOOD_AFTER_MS;
    this.#failures = wasGood ? 1 : this.#failures + 1;
    this.#disconnect();
    this.#enter(again ? "connecting" : "off", says);
    if (again) {
      this.#retry = setTimeout(() => void this.#connect(), retryDelayMs(this.#failures, null, Math.random()));
    }
  }

  #disconnect(): void {
    clearTimeout(this.#retry);
    const peer = this.#peer;
    this.#peer = null;
    this.#isAsking = false;
    this.#disconnectedSince = null;
    this.#sent = null;
    this.#stats = NOTHING;
    peer?.close();
  }

  #leave(): void {
    const session = this.#session;
    this.#session = null;
    if (session) void goodbye(session);
  }

  #enter(state: State, says: Sentence | null): void {
    this.#state = state;
    this.#note(state, says);
  }

  async #watch(): Promise<void> {
    const peer = this.#peer;
    if (!peer) return;
    // A server that says goodbye over DTLS leaves some browsers "connected" with a closed transport.
    const closed = peer.getSenders().some(({ transport }) => transport?.state === "closed");
    const since = this.#disconnectedSince;
    if (this.#state === "live" && (closed || (since !== null && performance.now() - since > DISCONNECTED_MS))) {
      return this.#lost(peer);
    }
    await this.#measure(peer);
  }

  async #measure(peer: RTCPeerConnection): Promise<void> {
    let bytes = 0;
    let stats = NOTHING;
    for (const report of (await peer.getStats()).values()) {
      if (report.type === "outbound-rtp") {
        bytes += report.bytesSent;
        if (report.kind === "video") {
          const { framesPerSecond: fps = 0, frameWidth: width = 0, frameHeight: height = 0 } = report;
          stats = { ...stats, fps, width, height };
        }
      } else if (report.type === "candidate-pair" && report.nominated) {
        const rttMs = Math.round(1000 * (report.currentRoundTripTime ?? 0));
        stats = { ...stats, rttMs, available: report.availableOutgoingBitrate ?? 0 };
      }
    }
    if (this.#peer !== peer) return;
    const at = performance.now();
    const last = this.#sent;
    this.#sent = { bytes, at };
    this.#stats = { ...stats, bitrate: last && at > last.at ? (8000 * (bytes - last.bytes)) / (at - last.at) : 0 };
  }
}

function addTracks(peer: RTCPeerConnection, media: MediaStream): void {
  for (const track of media.getTracks()) {
    const init: RTCRtpTransceiverInit = { direction: "sendonly", streams: [media] };
    if (track.kind === "video") init.sendEncodings = [{ maxBitrate: MAX_BITRATE }];
    const transceiver = peer.addTransceiver(track, init);
    if (track.kind !== "video") continue;
    const preferred = preferH264(RTCRtpSender.getCapabilities("video")?.codecs ?? []);
    if (preferred.length > 0) transceiver.setCodecPreferences(preferred);
  }
}

/** Whether a header can carry it: no key has anything else, and fetch would reject it. */
function isSendable(key: string): boolean {
  return /^[\x21-\x7e]*$/.test(key);
}

/** Ends a session at the server; the number of the reason where it was over already, else null. */
async function goodbye(session: string): Promise<number | null> {
  try {
    // Behind a proxy that adds TLS the server takes itself for http://, where this page may not ask.
    const address = sessionUrl(location.origin, session);
    const signal = AbortSignal.timeout(GOODBYE_MS);
    const response = await fetch(address, { method: "DELETE", keepalive: true, signal });
    return response.ok ? null : await reasonOf(response);
  } catch {
    return null; // no network: the session ends by itself
  }
}

/** The number in a refusal's problem details (RFC 9457); null where it has none. */
async function reasonOf(response: Response): Promise<number | null> {
  const problem: unknown = await response.json().catch(() => null);
  const hasCode = typeof problem === "object" && problem !== null && "code" in problem;
  return hasCode && typeof problem.code === "number" ? problem.code : null;
}
