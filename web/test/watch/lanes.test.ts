import { describe, expect, it } from "vitest";

import { Lanes } from "../../watch/danmaku/lanes";
import { isDark } from "../../watch/danmaku/sprite";

const STAGE = 400;
const GAP = 20;

function lanes(count: number): Lanes {
  const made = new Lanes();
  made.resize(count);
  return made;
}

describe("lanes", () => {
  it("are taken from above, and no lane twice before the line before is in", () => {
    const two = lanes(2);
    expect([two.run(100, 0, STAGE, GAP), two.run(50, 0, STAGE, GAP), two.run(10, 0, STAGE, GAP)]).toEqual([0, 1, null]);
    expect(two.run(10, 69, STAGE, GAP)).toBeNull();
    expect(two.run(10, 70, STAGE, GAP)).toBe(1);
    expect(two.run(10, 120, STAGE, GAP)).toBe(0);
  });

  it("never let two lines overlap, whatever comes", () => {
    const some = lanes(5);
    const shown: { lane: number; from: number; width: number }[] = [];
    let seed = 7;
    const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    for (let travel = 0; travel < 20_000; travel += random() * 60) {
      const width = 30 + random() * 300;
      const lane = some.run(width, travel, STAGE, GAP);
      if (lane !== null) shown.push({ lane, from: travel, width });
    }
    expect(shown.length).toBeGreaterThan(200);
    for (const lane of [0, 1, 2, 3, 4]) {
      const here = shown.filter((line) => line.lane === lane);
      here.slice(1).forEach((line, index) => {
        const before = here[index] as (typeof shown)[number];
        expect(line.from - before.from).toBeGreaterThanOrEqual(before.width + GAP);
      });
    }
  });

  it("let a line stand only where nothing runs, and nothing run where one stands", () => {
    const two = lanes(2);
    two.run(100, 0, STAGE, GAP);
    expect(two.stand(0, true)).toBe(1);
    expect(two.stand(0, false)).toBeNull();
    expect(two.run(10, 10_000, STAGE, GAP)).toBe(0);
    expect(two.run(10, 10_000, STAGE, GAP)).toBeNull();
    two.release(1, 10_000);
    expect(two.run(10, 10_000, STAGE, GAP)).toBe(1);
  });

  it("are free again when cleared, and may become fewer", () => {
    const three = lanes(3);
    for (let n = 0; n < 3; n++) three.run(100, 0, STAGE, GAP);
    three.clear();
    three.resize(1);
    expect([three.run(10, 0, STAGE, GAP), three.run(10, 0, STAGE, GAP)]).toEqual([0, null]);
    three.release(2, 0);
    expect(three.count).toBe(1);
  });
});

it.each([
  [0x000000, true],
  [0x1a1a80, true],
  [0xff0000, false],
  [0xffffff, false],
])("colour %d is dark: %s", (color, dark) => expect(isDark(color)).toBe(dark));
