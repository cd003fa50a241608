// The operator's API, as far as this page needs it. The key travels in a header only, never in an address.

/** A request that a lost network swallows would never end, and the page would show old things without a word. */
const ANSWER_MS = 10_000;

export type Severity = "ok" | "info" | "warning" | "problem";

export interface Finding {
  readonly code: string;
  readonly severity: Severity;
  readonly text: string;
  readonly advice: string;
}

export interface Track {
  readonly kind: "video" | "audio";
  readonly codec: string;
  readonly codec_string: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly frame_rate: number | null;
  readonly sample_rate: number | null;
  readonly channels: number | null;
  readonly bitrate: number | null;
}

export interface Stream {
  readonly room: string;
  readonly state: string;
  readonly started: string;
  readonly viewers: number;
  readonly publisher: { readonly peer: string; readonly since: string } | null;
  readonly recording: boolean;
  readonly severity: Severity | null;
  readonly findings: readonly Finding[];
  /** Only known where the state of one room was asked for. */
  readonly tracks: readonly Track[] | null;
  readonly codecs: string;
}

export interface Viewer {
  readonly id: string;
  readonly transport: string;
  readonly peer: string;
  readonly rendition: string;
  readonly joined: string;
  readonly bytes: number;
  readonly queued_bytes: number;
  readonly skips: number;
}

export interface Viewers {
  readonly total: number;
  readonly viewers: readonly Viewer[];
}

export interface Streams {
  readonly streams: readonly Stream[];
  readonly blocked: Readonly<Record<string, number>>;
}

/** The server said no; `status` is 401 for a wrong key, 429 for one that has to wait. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

interface StreamEntry extends Omit<Stream, "tracks" | "codecs"> {
  readonly video: string | null;
  readonly audio: string | null;
}

interface StreamState extends Omit<Stream, "tracks" | "codecs" | "recording" | "findings"> {
  readonly tracks: readonly Track[];
  readonly recording: { readonly active: boolean } | null;
  readonly health: { readonly findings: readonly Finding[] } | null;
}

export class Api {
  readonly #key: string;

  constructor(key: string) {
    this.#key = key;
  }

  /** Whether a header can carry it: no key has anything else, and fetch would reject it. */
  static canSend(key: string): boolean {
    return /^[\x21-\x7e]+$/.test(key);
  }

  async streams(): Promise<Streams> {
    const answer = (await this.#ask("GET", "streams")) as {
      streams: readonly StreamEntry[];
      blocked: Record<string, number>;
    };
    const streams = answer.streams.map((entry) => ({
      ...entry,
      tracks: null,
      codecs: [entry.video, entry.audio].filter(Boolean).join(" + "),
    }));
    return { streams, blocked: answer.blocked };
  }

  async stream(room: string): Promise<Stream> {
    const state = (await this.#ask("GET", `streams/${encodeURIComponent(room)}`)) as StreamState;
    return {
      ...state,
      recording: state.recording?.active ?? false,
      findings: state.health?.findings ?? [],
      codecs: state.tracks.map((track) => track.codec).join(" + "),
    };
  }

  async viewers(room: string): Promise<Viewers> {
    return (await this.#ask("GET", `streams/${encodeURIComponent(room)}/viewers?limit=200`)) as Viewers;
  }

  /** Ends a broadcast; with `blockS` its publisher is refused for so long, 0 lifts that, null leaves it. */
  async end(room: string, blockS: number | null): Promise<void> {
    const query = blockS === null ? "" : `?block=${blockS}`;
    await this.#ask("DELETE", `streams/${encodeURIComponent(room)}${query}`);
  }

  async close(viewer: string): Promise<void> {
    await this.#ask("DELETE", `viewers/${encodeURIComponent(viewer)}`);
  }

  async #ask(method: string, path: string): Promise<unknown> {
    const headers = { Authorization: `Bearer ${this.#key}` };
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(`/api/v1/${path}`, { method, headers, cache: "no-store", signal });
    if (response.status === 204) return null;
    const body = (await response.json()) as { detail?: string };
    if (!response.ok) throw new Refused(response.status, body.detail ?? `The server answered ${response.status}.`);
    return body;
  }
}
