import { describe, expect, it } from "vitest";

import { bufferedAhead, jumpTarget } from "../../sdk/gap";

function ranges(...pairs: [number, number][]) {
  return {
    length: pairs.length,
    start: (index: number) => pairs[index]![0],
    end: (index: number) => pairs[index]![1],
  };
}

describe("jumping a hole", () => {
  it("stays inside a range that has media left", () => {
    expect(jumpTarget(ranges([0, 5], [6, 9]), 3)).toBeNull();
  });

  it("goes to the start of the next range from the end of one", () => {
    expect(jumpTarget(ranges([0, 5], [6, 9]), 5)).toBe(6);
    expect(jumpTarget(ranges([0, 5], [6, 9]), 4.99)).toBe(6);
  });

  it("goes to the first range from before it", () => {
    expect(jumpTarget(ranges([2, 5]), 0)).toBe(2);
  });

  it("takes the nearest of several ranges", () => {
    expect(jumpTarget(ranges([0, 1], [3, 4], [6, 9]), 2)).toBe(3);
  });

  it("waits at the end of all media", () => {
    expect(jumpTarget(ranges([0, 5]), 5)).toBeNull();
    expect(jumpTarget(ranges(), 0)).toBeNull();
  });
});

describe("media ahead", () => {
  it("is what lies between the position and the last end", () => {
    expect(bufferedAhead(ranges([0, 1], [2, 4]), 3)).toBe(1);
  });

  it("is never negative, and nothing without media", () => {
    expect(bufferedAhead(ranges([0, 1]), 3)).toBe(0);
    expect(bufferedAhead(ranges(), 3)).toBe(0);
  });
});
