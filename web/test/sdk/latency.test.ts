import { describe, expect, it } from "vitest";

import { LatencyKeeper } from "../../sdk/latency";

const STEP_MS = 250;

/** A player whose buffer grows in real time; `seconds` later, how much it holds and how often it jumped. */
function play(keeper: LatencyKeeper, aheadS: number, seconds: number, from = 0) {
  let jumps = 0;
  for (let at = from; at < from + 1000 * seconds; at += STEP_MS) {
    const { rate, jumpS } = keeper.look(aheadS, at);
    if (jumpS > 0) jumps++;
    aheadS -= jumpS + ((rate - 1) * STEP_MS) / 1000;
  }
  return { aheadS, jumps };
}

describe("the distance to the live edge", () => {
  it("is left alone where it is right", () => {
    const keeper = new LatencyKeeper(0);
    expect(keeper.look(0.3, 0)).toEqual({ rate: 1, jumpS: 0 });
    expect(keeper.look(0.44, 250)).toEqual({ rate: 1, jumpS: 0 });
    expect(keeper.look(0.05, 500)).toEqual({ rate: 1, jumpS: 0 });
  });

  it.each([-300e-6, 0, 300e-6])("stays where it is when the clocks differ by %f", (skew) => {
    const keeper = new LatencyKeeper(0);
    let aheadS = 0.3;
    const seen: number[] = [];
    for (let look = 0; look < 4 * 1800; look++) {
      const inStepsOfPictures = aheadS + (look % 3) / 90 - 1 / 90;
      const { rate } = keeper.look(inStepsOfPictures, look * STEP_MS);
      aheadS -= ((rate + skew - 1) * STEP_MS) / 1000;
      seen.push(aheadS);
    }
    expect(Math.max(...seen) - Math.min(...seen)).toBeLessThan(0.05);
    expect(aheadS).toBeCloseTo(0.3, 1);
  });

  it("comes back after a stall, and is in no hurry about it", () => {
    const keeper = new LatencyKeeper(0);
    keeper.look(0.3, 0);
    const rates = Array.from({ length: 80 }, (_, look) => keeper.look(0.4, 250 + look * STEP_MS).rate);
    expect(Math.max(...rates)).toBeCloseTo(1.01);
    expect(Math.min(...Array.from({ length: 80 }, (_, look) => keeper.look(0.2, 30_250 + look * STEP_MS).rate))).toBeCloseTo(0.99);
  });

  it("skips what the server has kept, before anything was seen", () => {
    const { jumpS } = new LatencyKeeper(0).look(1.8, 0);
    expect(jumpS).toBeCloseTo(1.5);
  });

  it("is made up for by playing faster, and without a jump", () => {
    const keeper = new LatencyKeeper(0);
    keeper.look(0.3, 0);
    const { aheadS, jumps } = play(keeper, 1.3, 15, 250);
    expect(aheadS).toBeCloseTo(0.3, 1);
    expect(jumps).toBe(0);
    expect(keeper.look(aheadS, 15_250).rate).toBe(1);
  });

  it("is jumped where that would take too long", () => {
    const keeper = new LatencyKeeper(0);
    keeper.look(0.3, 0);
    expect(play(keeper, 9, 5, 250).jumps).toBe(1);
  });

  it("grows with stalls up to a bound, and shrinks in calm", () => {
    const keeper = new LatencyKeeper(0);
    keeper.stalled(0);
    expect(keeper.wishS).toBe(0.3); // it had not begun
    keeper.look(0.3, 0);
    for (let at = 1000; at < 20_000; at += 1000) keeper.stalled(at);
    expect(keeper.wishS).toBe(1.5);
    expect(keeper.look(1.6, 20_000)).toEqual({ rate: 1, jumpS: 0 });
    play(keeper, 1.5, 600, 20_250);
    expect(keeper.wishS).toBeCloseTo(0.3);
  });
});
