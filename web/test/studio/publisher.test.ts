import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { sayer } from "../../i18n/studio";
import { Publisher, type State } from "../../studio/publisher";

interface Sender {
  track: { readonly kind: string };
  readonly transport: { state: string };
  replaceTrack(track: { readonly kind: string }): Promise<void>;
}

class Peer {
  static all: Peer[] = [];
  onconnectionstatechange: () => void = () => undefined;
  connectionState = "new";
  readonly localDescription = { sdp: "offer" };
  readonly senders: Sender[] = [];
  canReplace = true;

  constructor() {
    Peer.all.push(this);
  }

  addTransceiver(track: { readonly kind: string }): { setCodecPreferences(): void } {
    const sender: Sender = {
      track,
      transport: { state: "connected" },
      replaceTrack: async (next) => {
        if (!this.canReplace) throw new DOMException("no", "InvalidModificationError");
        sender.track = next;
      },
    };
    this.senders.push(sender);
    return { setCodecPreferences: () => undefined };
  }

  getSenders(): Sender[] {
    return this.senders;
  }

  async setLocalDescription(): Promise<void> {}

  async setRemoteDescription(): Promise<void> {}

  async getStats(): Promise<ReadonlyMap<string, unknown>> {
    return new Map<string, unknown>();
  }

  close(): void {
    this.connectionState = "closed";
  }

  become(state: string): void {
    this.connectionState = state;
    this.onconnectionstatechange();
  }
}

type Answer = (init: RequestInit) => Response | Promise<Response>;

const media = (name: string) => {
  const tracks = ["video", "audio"].map((kind) => ({ kind, name }));
  return { getTracks: () => tracks } as unknown as MediaStream;
};
const problem = (status: number, code: number, headers = {}) =>
  new Response(JSON.stringify({ status, code }), { status, headers });
const created: Answer = () =>
  new Response("answer", { status: 201, headers: { Location: "http://inner/whip/demo/secret" } });
const lost: Answer = ({ signal }) =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

describe("a room that is published", () => {
  const say = sayer("en");
  let asked: string[] = [];
  let answers: Record<string, Answer> = {};
  let states: [State, string][] = [];

  const newest = (): Peer => Peer.all.at(-1) as Peer;
  const soon = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
  const deleted = () => asked.filter((line) => line.startsWith("DELETE"));
  const posted = () => asked.filter((line) => line.startsWith("POST"));

  const begin = async (): Promise<Publisher> => {
    const publisher = new Publisher("demo", (state, says) => states.push([state, says ? say(...says) : ""]));
    publisher.start(media("first"), "key");
    await soon();
    return publisher;
  };
  const live = async (): Promise<Publisher> => {
    const publisher = await begin();
    newest().become("connected");
    expect(publisher.state).toBe("live");
    return publisher;
  };

  beforeEach(() => {
    [Peer.all, asked, states] = [[], [], []];
    answers = { POST: created, DELETE: () => new Response(null, { status: 200 }) };
    vi.useFakeTimers();
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new DOMException("late", "TimeoutError")), ms);
      return controller.signal;
    });
    vi.stubGlobal("location", { origin: "https://node" });
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("RTCPeerConnection", Peer);
    vi.stubGlobal("RTCRtpSender", { getCapabilities: () => ({ codecs: [] }) });
    vi.stubGlobal("fetch", async (url: URL | string, init: RequestInit) => {
      asked.push(`${init.method} ${url}`);
      return answers[init.method ?? ""]?.(init);
    });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  it.each([
    [4100, "Somebody else"],
    [4103, "stopped by an operator"],
  ])("is left alone after %d, however long the answer takes", async (code, words) => {
    const publisher = await live();
    answers["DELETE"] = () => new Promise((answer) => setTimeout(answer, 2_500, problem(404, code)));
    for (const sender of newest().senders) sender.transport.state = "closed"; // seen by each tick of the watchdog
    await soon(60_000);
    expect(deleted()).toEqual(["DELETE https://node/whip/demo/secret"]);
    expect(posted()).toHaveLength(1);
    expect(publisher.state).toBe("off");
    expect(states.at(-1)?.[1]).toContain(words);
  });

  it("is begun again where the server does not say why within 3 s", async () => {
    await live();
    answers["DELETE"] = lost;
    newest().become("failed");
    await soon(2_900);
    expect(states.at(-1)?.[0]).toBe("live");
    await soon(700);
    expect(posted()).toHaveLength(2);
  });

  it("is begun again where the first request gets no answer", async () => {
    answers["POST"] = lost;
    await begin();
    await soon(11_000);
    expect(posted().length).toBeGreaterThan(1);
  });

  it("is begun again where the answer cannot be taken, and the session that was made is ended", async () => {
    vi.spyOn(Peer.prototype, "setRemoteDescription").mockRejectedValueOnce(new DOMException("no", "OperationError"));
    await begin();
    await soon(600);
    expect(asked.map((line) => line.split(" ")[0])).toEqual(["POST", "DELETE", "POST"]);
  });

  it("keeps its session when the camera changes", async () => {
    const publisher = await live();
    const other = media("other");
    publisher.replace(other);
    await soon(5_000);
    expect(newest().senders.map(({ track }) => track)).toEqual(other.getTracks());
    expect([Peer.all.length, deleted().length, publisher.state]).toEqual([1, 0, "live"]);
  });

  it("is begun again with a camera that the session cannot carry", async () => {
    const publisher = await live();
    newest().canReplace = false;
    const other = media("other");
    publisher.replace(other);
    await soon(600);
    expect([Peer.all.length, deleted().length]).toEqual([2, 1]);
    expect(newest().senders.map(({ track }) => track)).toEqual(other.getTracks());
  });

  it("says why it is not taken, until it is", async () => {
    answers["POST"] = () => problem(409, 4100);
    const publisher = await begin();
    await soon(30_000);
    expect(new Set(states.slice(1).map(([, message]) => message))).toEqual(
      new Set(["Somebody else is live in this room. Trying again."]),
    );
    answers["POST"] = () => problem(409, 4103, { "Retry-After": "300" });
    await soon(30_000);
    expect(publisher.state).toBe("off");
    expect(states.at(-1)?.[1]).toContain("An operator");
  });

  it("is not asked for with a key that no header can carry", async () => {
    const publisher = new Publisher("demo", (state, says) => states.push([state, says ? say(...says) : ""]));
    publisher.start(media("first"), "密钥");
    await soon(5_000);
    expect([asked, publisher.state]).toEqual([[], "off"]);
    expect(states.at(-1)?.[1]).toContain("not right");
  });
});
