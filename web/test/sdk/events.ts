// Events for the tests.

import type { EventOf, RoomEvent } from "../../sdk/types";

let count = 0;

/** A notice at `t`, number `seq` of the commerce lane. */
export function notice(seq: number, t: number | null = null, epoch: string | null = "a"): RoomEvent {
  const id = `c${seq}`;
  const body = { text: id, level: "info" } as const;
  return { id, epoch, t, seq, kind: "notice", lane: "commerce", ttl: null, sender: "host", at_ms: 0, body };
}

/** A sale for everybody at one instant, number `seq` of the commerce lane. */
export function saleByWall(seq: number, opens_ms: number): EventOf<"shop.sale"> {
  const terms = { amount: 100, currency: "CNY", total: 5, limit: 1, sync: "wall", rev: 1 } as const;
  const body = { sale: `s${seq}`, product: "tea", ...terms, opens_ms, closes_ms: opens_ms + 60_000 };
  return { ...notice(seq, null, null), kind: "shop.sale", body } as EventOf<"shop.sale">;
}

/** Somebody's words at `t`. */
export function words(t: number | null, more: { epoch?: string | null; at_ms?: number; sender?: string } = {}): RoomEvent {
  const id = `d${count++}`;
  const { epoch = "a", at_ms = 0, sender = "ann" } = more;
  const body = { text: id, color: 0xffffff, mode: "scroll", size: 25 } as const;
  return { id, epoch, t, seq: null, kind: "danmaku", lane: "ambient", ttl: 8_000, sender, at_ms, body };
}
