import { describe, expect, it } from "vitest";

import { flvPlace, readFlvAnchor } from "../../sdk/flv_position";
import { Progress } from "../../sdk/place";
import { random } from "./random";

describe("reading onTimeline", () => {
  it("takes epoch and base", () => {
    expect(readFlvAnchor({ onTimeline: { epoch: "k3", base_ms: 12_345 } })).toEqual({ epoch: "k3", baseMs: 12_345 });
  });

  it.each([
    [null],
    ["text"],
    [{ onMetaData: {} }],
    [{ onTimeline: null }],
    [{ onTimeline: { epoch: 3, base_ms: 1 } }],
    [{ onTimeline: { epoch: "k3" } }],
    [{ onTimeline: { epoch: "k3", base_ms: Number.NaN } }],
  ])("refuses %j", (script) => {
    expect(readFlvAnchor(script)).toBeNull();
  });
});

describe("the place of a picture in FLV", () => {
  it("is base plus media time, rounded to a millisecond", () => {
    expect(flvPlace({ epoch: "a", baseMs: 60_000 }, 1.2339999).t).toBe(61_234 * 90);
  });

  it("reaches exactly the events whose millisecond it is at or past", () => {
    const next = random(1);
    for (let run = 0; run < 2_000; run++) {
      // Beyond 24.8 days the tags' own times have wrapped; the base has not.
      const baseMs = Math.floor(next() * 2 ** 40);
      const ms = Math.floor(next() * 100_000);
      const place = flvPlace({ epoch: "a", baseMs }, ms / 1000);
      const t = place.t + Math.floor(next() * 400) - 200;
      expect(t <= place.reach).toBe(Math.floor(t / 90) <= baseMs + ms);
    }
  });
});

describe("the position of the session", () => {
  const at = (epoch: string, t: number) => ({ epoch, t, reach: t });

  it("is unknown before the first picture", () => {
    const progress = new Progress();
    expect([progress.nowT, progress.nowMs, progress.epoch]).toEqual([null, null, null]);
  });

  it("does not step back within one epoch, also over a change of transport", () => {
    const progress = new Progress();
    progress.show(at("a", 900_000));
    progress.show(at("a", 855_000));
    expect(progress.nowMs).toBe(10_000);
    expect(progress.shown?.t).toBe(855_000);
    progress.show(at("a", 900_135));
    expect(progress.nowT).toBe(900_135);
    expect(progress.nowMs).toBe(10_001);
  });

  it("begins anew with another epoch", () => {
    const progress = new Progress();
    progress.show(at("a", 900_000));
    progress.show(at("b", 3600));
    expect([progress.nowMs, progress.epoch]).toEqual([40, "b"]);
  });
});
