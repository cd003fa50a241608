import { describe, expect, it } from "vitest";

import { refusal } from "../../sdk/refusal";
import { LikeCount } from "../../watch/like_count";

const TOO_FAST = refusal(1002, "en");
const FORBIDDEN = refusal(1105, "en");
const MUTED = refusal(1109, "en");

function pressed(total: number, presses: number): LikeCount {
  const count = new LikeCount();
  count.counted(total);
  for (let press = 0; press < presses; press++) count.press();
  return count;
}

describe("the likes that are shown", () => {
  it("are one's own at once, and never twice", () => {
    const count = pressed(10, 3);
    expect(count.shown).toBe(13);
    expect([count.counted(12), count.shown]).toEqual([0, 13]);
    expect([count.counted(18), count.shown]).toEqual([5, 18]);
  });

  it("float for nobody when they are told of first", () => {
    expect(new LikeCount().counted(1_000)).toBe(0);
  });

  it.each([MUTED, FORBIDDEN])("are taken back where they are refused for good: $name", (refused) => {
    const count = pressed(10, 3);
    expect([count.refused(refused), count.shown]).toEqual([true, 10]);
    expect([count.counted(12), count.shown]).toEqual([2, 12]);
  });

  it("stay where they are sent again", () => {
    const count = pressed(10, 3);
    expect([count.refused(TOO_FAST), count.shown]).toEqual([false, 13]);
  });
});
