import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Broadcast } from "../../sdk/broadcast";
import type { Beginning } from "../../sdk/room_wire";
import { Stage } from "../../sdk/stage";
import type { RoomEvent } from "../../sdk/types";
import { WallClock } from "../../sdk/wall_clock";
import { notice, saleByWall } from "./events";

/** The server's wall time when a test begins. */
const NOW_MS = 1_000_000;

function beginning(more: Partial<Beginning>): Beginning {
  const counts = { log: "L", seq: 9, recovered: false, totals: { likes: 0, presence: 0 } };
  return { ...counts, state: [], events: [], recent: [], ...more };
}

function open() {
  const told: string[] = [];
  const clock = new WallClock(0);
  clock.heard(NOW_MS, performance.now(), performance.now());
  const broadcast = new Broadcast();
  broadcast.hear({ wallMs: NOW_MS, epoch: "a", t: 9_000_000, anchor: null, sync: "frame" });
  const stage = new Stage(broadcast, clock, {
    onFire: ({ id }, { by, snapshot }) => told.push(`${id} ${snapshot ? "as it is" : `by ${by}`}`),
    onAnnounced: ({ id }: RoomEvent) => told.push(`${id} announced`),
    sender: () => null,
  });
  stage.open();
  return { stage, told };
}

describe("the room's state, to a newcomer", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    const hear = { addEventListener: () => undefined, removeEventListener: () => undefined };
    vi.stubGlobal("document", { hidden: false, ...hear });
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it("has a sale by wall clock announced, and its card at its instant", () => {
    const { stage, told } = open();
    stage.begin(beginning({ state: [notice(1, 90), saleByWall(2, NOW_MS + 60_000)] }));
    expect(told).toEqual(["c2 announced"]);
    stage.look();
    expect(told.splice(0)).toEqual(["c2 announced", "c1 as it is"]);
    vi.advanceTimersByTime(59_900);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(told).toEqual(["c2 by wall"]);
    stage.close();
  });

  it("has one that is open already without a fanfare", () => {
    const { stage, told } = open();
    stage.begin(beginning({ state: [saleByWall(2, NOW_MS - 1)] }));
    stage.look();
    expect(told).toEqual(["c2 as it is"]);
    stage.close();
  });
});
