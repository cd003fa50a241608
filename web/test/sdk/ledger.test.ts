import { describe, expect, it } from "vitest";

import { Ledger } from "../../sdk/ledger";
import { notice, words } from "./events";
import { random, shuffled } from "./random";

const seqs = (events: readonly { seq: number | null }[]) => events.map(({ seq }) => seq);

describe("the ledger of the commerce lane", () => {
  it("lets each event through once and in order", () => {
    const ledger = new Ledger();
    ledger.begin("log", 4);
    expect(seqs(ledger.take(notice(4)))).toEqual([]);
    expect(seqs(ledger.take(notice(5)))).toEqual([5]);
    expect(seqs(ledger.take(notice(5)))).toEqual([]);
    expect(ledger.since).toEqual({ log: "log", seq: 5, id: "c5" });
  });

  it("holds what came early, and says that something is missing", () => {
    const ledger = new Ledger();
    ledger.begin("log", 0);
    expect(seqs(ledger.take(notice(2)))).toEqual([]);
    expect(ledger.hasGap).toBe(true);
    expect(ledger.isBehind("log", 2)).toBe(true);
    expect(seqs(ledger.take(notice(1)))).toEqual([1, 2]);
    expect([ledger.hasGap, ledger.isBehind("log", 2), ledger.isBehind("other", 2)]).toEqual([false, false, true]);
  });

  it("is the same whichever way events came, how often, and in what order", () => {
    for (let run = 0; run < 200; run++) {
      const next = random(run);
      const events = Array.from({ length: 40 }, (_, index) => notice(index + 1));
      // The socket and the stream bring each event, some of them again after a reconnection.
      const coming = shuffled([...events, ...events, ...events.slice(Math.floor(next() * 40))], next);
      const ledger = new Ledger();
      ledger.begin("log", 0);
      const taken = coming.flatMap((event) => ledger.take(event));
      expect(seqs(taken)).toEqual(seqs(events));
      expect(ledger.hasGap).toBe(false);
    }
  });

  it("begins anew with another log", () => {
    const ledger = new Ledger();
    expect(ledger.since).toBeNull();
    ledger.begin("log", 9);
    ledger.take(notice(11));
    ledger.begin("other", 1);
    expect([ledger.hasGap, ledger.since]).toEqual([false, { log: "other", seq: 1 }]);
  });

  it("knows the stream's events by id while the room has told nothing", () => {
    const ledger = new Ledger();
    expect(seqs(ledger.take(notice(7)))).toEqual([7]);
    expect(seqs(ledger.take(notice(7)))).toEqual([]);
    expect(seqs(ledger.take(notice(3)))).toEqual([3]);
  });

  it("has nothing to do with the ambient lane", () => {
    expect(new Ledger().take(words(0)).length).toBe(1);
  });
});
