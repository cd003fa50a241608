import { describe, expect, it } from "vitest";

import { Broadcast } from "../../sdk/broadcast";
import { WallClock } from "../../sdk/wall_clock";
import { random } from "./random";

describe("the server's wall clock", () => {
  it("is the page's own until the server has told its", () => {
    const clock = new WallClock(1_000);
    expect([clock.wallMs(5), clock.boundMs]).toEqual([1_005, null]);
  });

  it("is that of the quickest answer", () => {
    const clock = new WallClock(0);
    clock.heard(1_000_050, 0, 100);
    clock.heard(1_000_215, 200, 210);
    clock.heard(1_000_900, 400, 900);
    expect([clock.offsetMs, clock.boundMs]).toEqual([1_000_010, 5]);
    expect(clock.at(clock.wallMs(77))).toBe(77);
  });

  it("is never further off than it says, however uneven the ways are", () => {
    for (let run = 0; run < 300; run++) {
      const next = random(run);
      const truth = Math.floor(next() * 1e12);
      const clock = new WallClock(0);
      let at = 0;
      for (let answer = 0; answer < 20; answer++) {
        const [there, back] = [next() * 300, next() * 300];
        clock.heard(truth + at + there, at, at + there + back);
        at += 1_000;
        expect(Math.abs(clock.offsetMs - truth)).toBeLessThanOrEqual((clock.boundMs ?? 0) + 1e-3);
      }
    }
  });

  it("forgets what is ten minutes old, because clocks drift", () => {
    const clock = new WallClock(0);
    clock.heard(1_000, 0, 0);
    clock.heard(701_500, 700_000, 701_000);
    expect([clock.offsetMs, clock.boundMs]).toEqual([1_000, 500]);
  });

  it("is right again with the first answer after a sleep in which the page's clock stood still", () => {
    const clock = new WallClock(0);
    clock.heard(1_000_001, 0, 2);
    clock.heard(1_000_300, 200, 400);
    // A minute of sleep that `performance.now()` knows nothing of, and a slow answer after it.
    clock.heard(1_060_650, 500, 800);
    expect([clock.offsetMs, clock.boundMs]).toEqual([1_060_000, 150]);
  });

  it("follows a server whose clock is set back", () => {
    const clock = new WallClock(0);
    clock.heard(1_000_001, 0, 2);
    clock.heard(999_911, 100, 120);
    expect([clock.offsetMs, clock.boundMs]).toEqual([999_801, 10]);
  });

  it("keeps an exact answer as long as later ones may be true beside it", () => {
    const clock = new WallClock(0);
    clock.heard(1_000_001, 0, 2);
    // 30 ms of drift in ten minutes, and an uneven way.
    clock.heard(1_600_030, 599_900, 600_000);
    expect([clock.offsetMs, clock.boundMs]).toEqual([1_000_000, 1]);
  });
});

describe("the broadcast as the room tells it", () => {
  const now = (wallMs: number, t: number, epoch: string | null = "a") => ({
    wallMs,
    epoch,
    t: epoch === null ? null : t,
    anchor: null,
    sync: "frame" as const,
  });

  it("tells when it is another one", () => {
    const broadcast = new Broadcast();
    expect(broadcast.isLive).toBeNull();
    expect(broadcast.hear(now(0, 0, null))).toBe(false);
    expect(broadcast.isLive).toBe(false);
    expect(broadcast.hear(now(0, 0))).toBe(true);
    expect(broadcast.hear(now(1, 90))).toBe(false);
    expect(broadcast.isLive).toBe(true);
  });

  it("maps between wall and media time as the server says, latest", () => {
    const broadcast = new Broadcast();
    expect([broadcast.wallMsOf(0), broadcast.edgeAt(0)]).toEqual([null, null]);
    broadcast.hear(now(10_040, 0));
    broadcast.hear(now(20_000, 900_000));
    expect(broadcast.wallMsOf(900_000)).toBe(20_000);
    expect(broadcast.edgeAt(20_500)).toBe(945_000);
    expect(broadcast.edgeAt(0)).toBe(0);
    broadcast.hear(now(30_000, 0, null));
    expect(broadcast.wallMsOf(0)).toBeNull();
  });

  it("knows which broadcasts are over: those that it is not in", () => {
    const broadcast = new Broadcast();
    broadcast.hear(now(0, 0));
    broadcast.settle(["a", "before"]);
    expect([broadcast.isOver("a"), broadcast.isOver("before"), broadcast.isOver("next")]).toEqual([false, true, false]);
    broadcast.hear(now(0, 0, "b"));
    broadcast.settle(["a"]);
    expect(broadcast.isOver("a")).toBe(true);
  });
});
