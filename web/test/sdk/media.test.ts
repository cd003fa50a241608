import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { type ConnectionListener, endOf, endOfClose } from "../../sdk/connection";
import { Media } from "../../sdk/media";
import type { Place } from "../../sdk/place";

/** A connection whose server's and player's part the test plays. Like mpegts.js it pauses the element when it goes. */
const { FakeConnection } = vi.hoisted(() => {
  class FakeConnection {
    static all: FakeConnection[] = [];
    readonly measured = { jumps: 0, dropped: 0, freezes: null, bufferS: 0 };
    arrived = 0;
    t = 0;
    isOpen = true;

    constructor(
      readonly settings: { readonly video: HTMLVideoElement },
      readonly listener: ConnectionListener,
    ) {
      FakeConnection.all.push(this);
    }

    static get last(): FakeConnection {
      return FakeConnection.all.at(-1) as FakeConnection;
    }

    open(): void {
      void this.settings.video.play();
      this.listener.onAdmitted();
    }

    close(): void {
      this.isOpen = false;
      this.settings.video.pause();
    }

    sample(): Place {
      return { epoch: "a", t: this.t, reach: this.t };
    }

    anchorAt(): void {}

    /** Media arrives for so long, and is shown unless the element is paused. */
    brings(seconds: number): void {
      for (let frame = 0; frame < seconds * 10; frame++) {
        this.t += 9_000;
        this.arrived++;
        const shown = { mediaTime: 0, rtpTimestamp: 0, presentedAt: 0, expectedDisplayAt: 0, presentedFrames: 0 };
        if (!this.settings.video.paused) this.listener.onFrame(this.sample(), shown);
        vi.advanceTimersByTime(100);
      }
    }

    ends(end = endOf("lost", "lost")): void {
      this.close();
      this.listener.onEnd(end);
    }
  }
  return { FakeConnection };
});
vi.mock("../../sdk/whep_connection", () => ({ WhepConnection: FakeConnection }));

/** As browsers do, it tells of a pause a moment later. */
class Video {
  paused = true;
  plays = 0;
  readonly videoWidth = 320;
  readonly #hearers = new Map<string, () => void>();

  addEventListener(name: string, hear: () => void): void {
    this.#hearers.set(name, hear);
  }

  removeEventListener(name: string): void {
    this.#hearers.delete(name);
  }

  async play(): Promise<void> {
    this.plays++;
    this.#turn(false);
  }

  pause(): void {
    this.#turn(true);
  }

  removeAttribute(): void {}

  load(): void {}

  #turn(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    setTimeout(() => this.#hearers.get(paused ? "pause" : "play")?.());
  }
}

const page = { hidden: false };

async function plays() {
  const video = new Video();
  const phases: string[] = [];
  const places: (number | "clock")[] = [];
  const media = new Media(
    {
      ...{ origin: "", room: "r", rendition: null, token: null, choice: "webrtc", ticket: async () => null },
      ...{ video: video as unknown as HTMLVideoElement, isLive: () => true },
    },
    {
      onState: ({ phase }) => phases.push(phase),
      onPlace: ({ t }, shown) => places.push(shown ? t : "clock"),
      onScript: () => undefined,
      onTransport: () => undefined,
      onLeave: () => undefined,
    },
  );
  media.start();
  await vi.advanceTimersByTimeAsync(0);
  FakeConnection.last.brings(4);
  expect(media.state.phase).toBe("playing");
  return { media, video, phases, places };
}

async function pauses(video: Video): Promise<void> {
  video.pause();
  await vi.advanceTimersByTimeAsync(0);
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeConnection.all = [];
  page.hidden = false;
  vi.stubGlobal("document", page);
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("removeEventListener", () => undefined);
  vi.stubGlobal("navigator", { onLine: true });
  vi.stubGlobal("RTCPeerConnection", class {});
  vi.stubGlobal("HTMLVideoElement", { prototype: { requestVideoFrameCallback: () => 0 } });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a picture that the viewer has paused", () => {
  it("is not played by a reconnect, but by the viewer, who then gets the present one", async () => {
    const { media, video } = await plays();
    await pauses(video);
    FakeConnection.last.brings(5);
    FakeConnection.last.ends();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([media.state.phase, FakeConnection.all.length, video.plays]).toEqual(["paused", 1, 1]);
    await media.play();
    await vi.advanceTimersByTimeAsync(0);
    FakeConnection.last.brings(1);
    expect([media.state.phase, FakeConnection.all.length, video.paused]).toEqual(["playing", 2, false]);
  });

  it("is played by the element's own button as well", async () => {
    const { media, video } = await plays();
    await pauses(video);
    FakeConnection.last.ends();
    await video.play();
    await vi.advanceTimersByTimeAsync(0);
    FakeConnection.last.brings(1);
    expect([media.state.phase, FakeConnection.all.length]).toEqual(["playing", 2]);
    FakeConnection.last.ends();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(FakeConnection.all.length, "the pause is over").toBeGreaterThan(2);
  });

  it("costs no connection after half a minute, and is no fault meanwhile", async () => {
    const { media, video, phases } = await plays();
    await pauses(video);
    FakeConnection.last.brings(29);
    expect([media.state.phase, FakeConnection.last.isOpen]).toEqual(["playing", true]);
    FakeConnection.last.brings(2);
    expect([media.state.phase, FakeConnection.last.isOpen]).toEqual(["paused", false]);
    media.setRendition("360p");
    await vi.advanceTimersByTimeAsync(60_000);
    expect([FakeConnection.all.length, video.plays]).toEqual([1, 1]);
    await media.play();
    await vi.advanceTimersByTimeAsync(0);
    expect(FakeConnection.last.settings).toMatchObject({ rendition: "360p" });
    expect(new Set(phases)).toEqual(new Set(["connecting", "playing", "paused"]));
  });

  it("stays at its place while newer ones arrive", async () => {
    const { video, places } = await plays();
    await pauses(video);
    places.length = 0;
    FakeConnection.last.brings(10);
    expect(places).toEqual([]);
    await video.play();
    FakeConnection.last.brings(1);
    expect(places.at(-1)).toBe(FakeConnection.last.t);
  });

  it("is asked for again by the viewer who asks after the end of it all", async () => {
    const { media, video } = await plays();
    await pauses(video);
    FakeConnection.last.ends(endOfClose(4103));
    expect(media.state).toMatchObject({ phase: "over", code: "stopped" });
    media.retry();
    await vi.advanceTimersByTimeAsync(0);
    FakeConnection.last.brings(1);
    expect(media.state.phase).toBe("playing");
  });
});

describe("a pause that is not the viewer's", () => {
  it("by a player that goes is none: the next connection plays", async () => {
    const { media, video } = await plays();
    for (const count of [2, 3]) {
      FakeConnection.last.ends();
      await vi.advanceTimersByTimeAsync(600);
      FakeConnection.last.brings(4);
      expect([media.state.phase, FakeConnection.all.length, video.paused]).toEqual(["playing", count, false]);
    }
    media.setRendition("360p");
    await vi.advanceTimersByTimeAsync(0);
    FakeConnection.last.brings(1);
    expect([media.state.phase, FakeConnection.all.length]).toEqual(["playing", 4]);
  });

  it("by a browser in the background is none either", async () => {
    const { media, video } = await plays();
    page.hidden = true;
    await pauses(video);
    FakeConnection.last.brings(40);
    expect([media.state.phase, FakeConnection.last.isOpen]).toEqual(["playing", true]);
    FakeConnection.last.ends();
    await vi.advanceTimersByTimeAsync(10_000);
    page.hidden = false;
    FakeConnection.last.brings(1);
    expect([media.state.phase, video.paused]).toEqual(["playing", false]);
  });

  it("by a browser that refuses to begin waits for the click", async () => {
    const { media, video } = await plays();
    FakeConnection.last.ends();
    vi.spyOn(video, "play").mockImplementation(async () => void video.plays++);
    await vi.advanceTimersByTimeAsync(1_000);
    FakeConnection.last.listener.onBlocked();
    FakeConnection.last.brings(40);
    expect([media.state.phase, FakeConnection.last.isOpen]).toEqual(["blocked", true]);
    vi.mocked(video.play).mockRestore();
    await media.play();
    FakeConnection.last.brings(1);
    expect(media.state.phase).toBe("playing");
  });
});

describe("a picture that was forbidden", () => {
  it("is asked for again with another token", async () => {
    const { media } = await plays();
    FakeConnection.last.ends(endOfClose(4105));
    expect(media.state).toMatchObject({ phase: "over", code: "forbidden" });
    media.setToken(null);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeConnection.all.length, "the same").toBe(1);
    media.setToken("new");
    await vi.advanceTimersByTimeAsync(0);
    expect(FakeConnection.last.settings).toMatchObject({ token: "new" });
  });
});
