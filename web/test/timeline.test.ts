import { describe, expect, it } from "vitest";

import { Position, readAnchor } from "../watch/timeline";

describe("reading onTimeline", () => {
  it("takes epoch and base", () => {
    expect(readAnchor({ onTimeline: { epoch: "k3", base_ms: 12_345 } })).toEqual({ epoch: "k3", baseMs: 12_345 });
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
    expect(readAnchor(script)).toBeNull();
  });
});

describe("the position", () => {
  it("is unknown before the anchor and before the first picture", () => {
    const position = new Position();
    position.shown(1);
    expect(position.nowMs).toBeNull();
    position.anchorAt({ epoch: "a", baseMs: 1000 });
    expect(position.nowMs).toBeNull();
  });

  it("is base plus media time, rounded to a millisecond", () => {
    const position = new Position();
    position.anchorAt({ epoch: "a", baseMs: 60_000 });
    position.shown(1.2339999);
    expect(position.nowMs).toBe(61_234);
    expect(position.epoch).toBe("a");
  });

  it("does not step back within one epoch, also over a reconnection", () => {
    const position = new Position();
    position.anchorAt({ epoch: "a", baseMs: 0 });
    position.shown(10);
    position.anchorAt({ epoch: "a", baseMs: 9000 });
    position.shown(0.5);
    expect(position.nowMs).toBe(10_000);
    position.shown(1.5);
    expect(position.nowMs).toBe(10_500);
  });

  it("begins anew with another epoch", () => {
    const position = new Position();
    position.anchorAt({ epoch: "a", baseMs: 50_000 });
    position.shown(10);
    position.anchorAt({ epoch: "b", baseMs: 0 });
    expect(position.nowMs).toBeNull();
    position.shown(0.04);
    expect(position.nowMs).toBe(40);
  });
});
