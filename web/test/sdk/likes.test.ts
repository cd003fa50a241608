import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Likes, MAX_COUNT, MAX_WAITING, PAUSE_MS } from "../../sdk/likes";

describe("likes", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("goes at once, and those of one pause together", () => {
    const sent: number[] = [];
    const likes = new Likes((count) => sent.push(count));
    for (let press = 0; press < 8; press++) likes.add(1);
    expect(sent).toEqual([1]);
    vi.advanceTimersByTime(PAUSE_MS);
    expect(sent).toEqual([1, 7]);
    vi.advanceTimersByTime(10 * PAUSE_MS);
    expect(sent).toEqual([1, 7]);
    likes.add(1);
    expect(sent).toEqual([1, 7, 1]);
  });

  it("keeps to what a message holds and to the server's pace, and loses none", () => {
    const sent: number[] = [];
    const likes = new Likes((count) => sent.push(count));
    for (let press = 0; press < 4; press++) likes.add(40);
    vi.advanceTimersByTime(10 * PAUSE_MS);
    expect(Math.max(...sent)).toBeLessThanOrEqual(MAX_COUNT);
    expect(sent.reduce((sum, count) => sum + count)).toBe(160);
  });

  it("sends again what was refused for now, and bounds a stuck finger", () => {
    const sent: number[] = [];
    const likes = new Likes((count) => sent.push(count));
    likes.add(5);
    likes.giveBack(5);
    likes.add(2);
    vi.advanceTimersByTime(PAUSE_MS);
    expect(sent).toEqual([5, 7]);
    likes.add(100_000);
    expect(likes.waiting).toBe(MAX_WAITING);
  });

  it("takes nothing that is no number of presses, and nothing after the end", () => {
    const sent: number[] = [];
    const likes = new Likes((count) => sent.push(count));
    for (const count of [0, -1, Number.NaN]) likes.add(count);
    likes.close();
    likes.add(1);
    vi.advanceTimersByTime(10 * PAUSE_MS);
    expect(sent).toEqual([]);
  });
});
