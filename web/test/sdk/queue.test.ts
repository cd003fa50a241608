import { describe, expect, it } from "vitest";

import { EventQueue, type Moment, WALL_LEAD_MS, wallDueMs } from "../../sdk/queue";
import type { EventOf, SaleBody } from "../../sdk/types";
import { notice, words } from "./events";
import { random, shuffled } from "./random";

function moment(t: number | null, more: Partial<Moment> = {}): Moment {
  const place = t === null ? null : { epoch: "a", t, reach: t };
  const rest = { edgeT: null, roomEpoch: "a", isOver: () => false, isBlind: false, wallMs: 0, hidden: false };
  return { place, ...rest, ...more };
}

const ids = (due: ReturnType<EventQueue["due"]>) => due.map(({ waiting }) => waiting.event.id);

describe("an event that waits for its picture", () => {
  it("fires at its place or past it, never before", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 9_000));
    expect(queue.due(moment(null))).toEqual([]);
    expect(queue.due(moment(8_999))).toEqual([]);
    const [due] = queue.due(moment(12_000));
    expect(due).toMatchObject({ lateMs: 3000 / 90, by: "frame" });
    expect(queue.due(moment(15_000))).toEqual([]);
  });

  it("fires on arrival when the picture is past it already, or it has no place", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 9_000));
    queue.push(notice(2, null, null));
    expect(queue.due(moment(18_000)).map(({ by, lateMs }) => [by, lateMs])).toEqual([
      ["arrival", 0],
      ["arrival", 100],
    ]);
  });

  it("is met once and in order, whatever order it came in and whichever pictures were dropped", () => {
    for (let run = 0; run < 100; run++) {
      const next = random(run);
      const events = Array.from({ length: 50 }, (_, index) => notice(index + 1, Math.floor(next() * 900_000)));
      const queue = new EventQueue();
      const met: { t: number; at: number; seq: number }[] = [];
      const coming = shuffled(events, next);
      for (let t = 0; t < 1_000_000; t += Math.floor(next() * 30_000)) {
        for (const event of coming.splice(0, Math.floor(next() * 5))) queue.push(event);
        for (const { waiting } of queue.due(moment(t))) met.push({ t: waiting.event.t ?? 0, at: t, seq: waiting.event.seq ?? 0 });
      }
      for (const event of coming) queue.push(event);
      for (const { waiting } of queue.due(moment(1_000_000))) met.push({ t: waiting.event.t ?? 0, at: 1_000_000, seq: waiting.event.seq ?? 0 });
      expect(met.length).toBe(50);
      expect(new Set(met.map(({ seq }) => seq)).size).toBe(50);
      expect(met.every(({ t, at }) => t <= at)).toBe(true);
      // Those that one picture met are in the order of their places.
      for (const at of new Set(met.map((one) => one.at))) {
        const together = met.filter((one) => one.at === at).map(({ t }) => t);
        expect(together).toEqual([...together].sort((a, b) => a - b));
      }
      expect(queue.length).toBe(0);
    }
  });

  it("keeps the order in which events of one place were told", () => {
    const queue = new EventQueue();
    for (const seq of [1, 2, 3]) queue.push(notice(seq, 9_000));
    expect(ids(queue.due(moment(9_000)))).toEqual(["c1", "c2", "c3"]);
  });
});

describe("events of other broadcasts", () => {
  it("fire at once when theirs is over", () => {
    const queue = new EventQueue();
    queue.push(notice(2, 9_000));
    queue.push(notice(1, 99_000_000, "before"));
    expect(ids(queue.due(moment(9_000, { isOver: (epoch) => epoch === "before" })))).toEqual(["c1", "c2"]);
  });

  it("wait while the picture is still the end of the one before", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 0, "next"));
    expect(queue.due(moment(99_000_000, { roomEpoch: "next" }))).toEqual([]);
    const place = { epoch: "next", t: 0, reach: 0 };
    expect(ids(queue.due(moment(0, { roomEpoch: "next", place })))).toEqual(["c1"]);
  });

  it("wait while nobody has said whether theirs is over", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 0, "new"));
    expect(queue.due(moment(9_000, { roomEpoch: "a" }))).toEqual([]);
  });
});

describe("without a picture", () => {
  it("the live edge stands in for it, once it has been missing for long", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 9_000));
    expect(queue.due(moment(null, { edgeT: 10_000 }))).toEqual([]);
    expect(queue.due(moment(null, { edgeT: 8_000, isBlind: true }))).toEqual([]);
    expect(ids(queue.due(moment(null, { edgeT: 9_000, isBlind: true })))).toEqual(["c1"]);
  });

  it("also where one was there before", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 9_000));
    expect(ids(queue.due(moment(4_000, { edgeT: 9_000, isBlind: true })))).toEqual(["c1"]);
  });
});

describe("what was said", () => {
  it("is dropped and counted when it is no longer worth showing", () => {
    const queue = new EventQueue();
    queue.push(words(0));
    queue.push(words(90));
    expect(queue.due(moment(8_001 * 90)).length).toBe(1);
    expect(queue.stale).toBe(1);
  });

  it("before the show goes by the wall clock", () => {
    const queue = new EventQueue();
    queue.push(words(null, { epoch: null, at_ms: 1_000 }));
    queue.push(words(null, { epoch: null, at_ms: 9_000 }));
    expect(queue.due(moment(null, { wallMs: 10_000 })).length).toBe(1);
  });

  it("waits in the background, and is past on the return; commerce is neither", () => {
    const queue = new EventQueue();
    queue.push(words(9_000));
    queue.push(words(99_000));
    queue.push(notice(1, 9_000));
    expect(ids(queue.due(moment(10_000, { hidden: true })))).toEqual(["c1"]);
    queue.dropPast(moment(20_000));
    expect(queue.stale).toBe(1);
    expect(queue.due(moment(20_000))).toEqual([]);
    expect(queue.due(moment(99_000)).length).toBe(1);
  });

  it("is not what a total is: the latest holds, also in the background", () => {
    const queue = new EventQueue();
    queue.push({ ...words(null), kind: "likes", body: { total: 7 } } as never);
    expect(queue.due(moment(9_000, { hidden: true })).length).toBe(1);
  });

  it("is bounded, and commerce is not", () => {
    const queue = new EventQueue();
    for (let seq = 1; seq <= 3_000; seq++) queue.push(notice(seq, 9_000));
    for (let count = 0; count < 3_000; count++) queue.push(words(9_000));
    expect([queue.length, queue.stale]).toEqual([5_000, 1_000]);
  });

  it("can be taken back before it got there", () => {
    const queue = new EventQueue();
    const event = words(9_000);
    queue.push(event);
    queue.remove(event.id);
    expect(queue.length).toBe(0);
  });
});

describe("the snapshot", () => {
  it("is shown at once, before there is a picture", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 9_000), { snapshot: true });
    queue.push(notice(2, 10_000));
    const [due] = queue.due(moment(null));
    expect(due?.waiting).toMatchObject({ snapshot: true, event: { seq: 1 } });
    expect(queue.length).toBe(1);
  });
});

describe("by wall clock", () => {
  const wallMsOf = (t: number) => 100_000 + t / 90;

  it("an event has one instant for everybody: when it was taken, or when its place is broadcast, and a lead", () => {
    const event = { ...notice(1, 90_000), at_ms: 100_400 };
    expect(wallDueMs(event, "wall", wallMsOf)).toBe(101_000 + WALL_LEAD_MS);
    expect(wallDueMs({ ...event, t: 0 }, "wall", wallMsOf)).toBe(100_400 + WALL_LEAD_MS);
    expect(wallDueMs({ ...event, t: null }, "wall", wallMsOf)).toBe(100_400 + WALL_LEAD_MS);
    expect(wallDueMs(event, "frame", wallMsOf)).toBeNull();
    expect(wallDueMs(event, "frame+hold", wallMsOf)).toBeNull();
    expect(wallDueMs(words(0), "wall", wallMsOf)).toBeNull();
  });

  it("a sale that is by wall clock has its card when it opens, whatever the room's rule is", () => {
    const body = { sale: "s", sync: "wall", opens_ms: 123_456 } as SaleBody;
    const sale = { ...notice(1, null, null), kind: "shop.sale", body } as EventOf<"shop.sale">;
    expect(wallDueMs(sale, "frame", wallMsOf)).toBe(123_456);
    expect(wallDueMs({ ...sale, body: { ...body, sync: "frame" } }, "frame", wallMsOf)).toBeNull();
    expect(wallDueMs({ ...sale, body: { sale: "s", removed: true } }, "frame", wallMsOf)).toBeNull();
  });

  it("fires at that instant, whatever the picture shows", () => {
    const queue = new EventQueue();
    queue.push(notice(1, 9_000), { dueWallMs: 500 });
    expect(queue.nextWallMs()).toBe(500);
    expect(queue.due(moment(99_000, { wallMs: 499 }))).toEqual([]);
    expect(queue.due(moment(0, { wallMs: 500 }))).toMatchObject([{ by: "wall", lateMs: 0 }]);
    expect(queue.nextWallMs()).toBeNull();
  });
});
