import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Room, type RoomListener, type RoomSettings } from "../../sdk/room";
import type { RoomEvent, RoomState } from "../../sdk/types";
import { notice } from "./events";

/** The browser's socket, with the server's part played by the test. */
class Socket {
  static all: Socket[] = [];
  static readonly OPEN = 1;
  readyState = 0;
  readonly sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor(readonly url: string) {
    Socket.all.push(this);
  }

  static get last(): Socket {
    return Socket.all.at(-1) as Socket;
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(): void {
    this.readyState = 3;
  }

  opened(): void {
    this.readyState = Socket.OPEN;
    this.onopen?.();
  }

  says(message: Record<string, unknown>): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  closes(code: number): void {
    this.onclose?.({ code });
  }

  greets(seq: number, more: Record<string, unknown> = {}): void {
    if (this.readyState !== Socket.OPEN) this.opened();
    const you = { sender: "anon-1", role: "viewer", may_send: true, token: "of the hello" };
    const now = { wall_ms: 1_000, epoch: "a", t: 0, anchor: null, sync: "frame" };
    const beginning = { log: "L", seq, recovered: false, state: [], events: [], recent: [], totals: { likes: 3 } };
    this.says({ type: "hello", you, ...now, ...beginning, ...more });
  }

  /** Questions for the clock that have come since this was asked before, all of which are answered. */
  pings(): number {
    const pings = this.sent.filter(({ type }) => type === "ping");
    this.sent.length = 0;
    for (const { ref } of pings) this.says({ type: "pong", ref, wall_ms: 1_000 });
    return pings.length;
  }

  tells(...events: RoomEvent[]): void {
    const seq = Math.max(...events.map((event) => event.seq ?? 0));
    this.says({ type: "events", log: "L", seq, cursor: "", events });
  }
}

function enter(more: Partial<RoomSettings> = {}) {
  const heard: string[] = [];
  const states: RoomState[] = [];
  const listener: RoomListener = {
    onState: (state) => states.push(state),
    onHello: ({ sender }) => heard.push(`hello ${sender}`),
    onReset: ({ state }, first) => heard.push(`reset ${first} ${state.length}`),
    onEvents: (events) => heard.push(...events.map(({ id }) => id)),
    onTotals: () => undefined,
    onNow: () => undefined,
    onJoined: () => undefined,
  };
  const room = new Room({ origin: "http://a.example", room: "r", token: null, onTokenExpired: undefined, ...more }, listener);
  room.open();
  return { room, heard, states };
}

describe("a place in a room", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    Socket.all = [];
    vi.stubGlobal("WebSocket", Socket);
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("removeEventListener", () => undefined);
    vi.stubGlobal("navigator", { onLine: true });
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it("comes back where it left off, as the same anonymous viewer", () => {
    const { heard } = enter();
    Socket.last.greets(4);
    Socket.last.tells(notice(5));
    Socket.last.closes(4001);
    vi.advanceTimersByTime(10_000);
    expect(Socket.all.length).toBe(2);
    Socket.last.opened();
    expect(Socket.last.sent).toEqual([{ type: "join", token: "of the hello", since: { log: "L", seq: 5, id: "c5" } }]);
    Socket.last.greets(7, { recovered: true, events: [notice(6), notice(7)] });
    expect(heard).toEqual(["hello anon-1", "reset true 0", "c5", "hello anon-1", "c6", "c7"]);
  });

  it("begins anew when the server cannot say what was missed", () => {
    const { heard } = enter();
    Socket.last.greets(4);
    Socket.last.says({ type: "reset", log: "M", seq: 1, recovered: false, state: [notice(1)], events: [], recent: [], totals: {} });
    expect(heard.slice(1)).toEqual(["reset true 0", "reset false 1"]);
  });

  it("joins anew at once when an event is missing, and not again and again", () => {
    const { heard } = enter();
    Socket.last.greets(0);
    Socket.last.tells(notice(2));
    expect(Socket.all.length).toBe(2);
    Socket.last.greets(0, { recovered: true, events: [notice(1)] });
    expect(heard.slice(-2)).toEqual(["c1", "c2"]);
    Socket.last.tells(notice(5));
    expect(Socket.all.length).toBe(2);
    vi.advanceTimersByTime(5_000);
    expect(Socket.all.length).toBe(3);
  });

  it("waits for the socket when the stream was quicker, and joins anew when that takes long", () => {
    const { room, heard } = enter();
    Socket.last.greets(0);
    room.takeFromStream(notice(2));
    room.takeFromStream(notice(1));
    room.takeFromStream(notice(4));
    expect(heard.slice(2)).toEqual(["c1", "c2"]);
    vi.advanceTimersByTime(2_000);
    expect(Socket.all.length).toBe(2);
  });

  it.each([
    [4104, "no-room"],
    [4102, "protocol"],
  ])("is over after close code %d", (code, why) => {
    const { states } = enter();
    Socket.last.greets(0);
    Socket.last.closes(code);
    vi.advanceTimersByTime(60_000);
    expect([states.at(-1)?.phase, states.at(-1)?.code, Socket.all.length]).toEqual(["over", why, 1]);
  });

  it("asks for another token, once for each refusal", async () => {
    const tokens = ["old", "new"];
    const { states } = enter({ token: "oldest", onTokenExpired: () => tokens.shift() ?? null });
    Socket.last.opened();
    Socket.last.closes(4105);
    await vi.advanceTimersByTimeAsync(0);
    Socket.last.opened();
    expect(Socket.last.sent[0]).toMatchObject({ token: "old" });
    Socket.last.closes(4105);
    await vi.advanceTimersByTimeAsync(0);
    expect([Socket.all.length, states.at(-1)?.code]).toEqual([2, "token"]);
    await vi.advanceTimersByTimeAsync(2_000);
    Socket.last.opened();
    expect(Socket.last.sent[0]).toMatchObject({ token: "new" });
  });

  it("is over when there is no other token", async () => {
    const { states } = enter({ token: "oldest" });
    Socket.last.opened();
    Socket.last.closes(4105);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([Socket.all.length, states.at(-1)?.phase]).toEqual([1, "over"]);
  });

  it("tells why it is over, until there is another token, which is not an anonymous viewer's own", async () => {
    const { room, states } = enter();
    expect(room.over).toBeNull();
    Socket.last.greets(0);
    room.setToken("signed");
    for (const token of ["signed", "again"]) {
      Socket.last.opened();
      expect(Socket.last.sent[0]).toMatchObject({ token });
      Socket.last.closes(4105);
      await vi.advanceTimersByTimeAsync(60_000);
      expect([states.at(-1)?.phase, room.over]).toEqual(["over", "token"]);
      room.setToken("again");
      expect(room.over).toBeNull();
    }
  });

  it("polls where no WebSocket opens", async () => {
    const asked: string[] = [];
    const { states } = enter();
    vi.stubGlobal("fetch", async (url: string) => {
      asked.push(url);
      if (asked.length > 1) return new Promise(() => undefined);
      return new Response(JSON.stringify({ type: "hello", log: "L", seq: 0, cursor: "L.0.0-0", wall_ms: 1 }));
    });
    Socket.last.closes(1006);
    await vi.advanceTimersByTimeAsync(1_000);
    Socket.last.closes(1006);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(asked).toEqual(["http://a.example/rooms/r/poll", "http://a.example/rooms/r/poll?cursor=L.0.0-0"]);
    expect(states.at(-1)?.phase).toBe("polling");
    // A WebSocket that does not open changes nothing; one that does takes over.
    await vi.advanceTimersByTimeAsync(5_000);
    Socket.last.closes(1006);
    await vi.advanceTimersByTimeAsync(0);
    expect([states.at(-1)?.phase, Socket.all.length]).toEqual(["polling", 3]);
    await vi.advanceTimersByTimeAsync(120_000);
    Socket.last.opened();
    await vi.advanceTimersByTimeAsync(0);
    Socket.last.greets(0);
    expect([states.at(-1)?.phase, Socket.all.length]).toEqual(["joined", 5]);
  });

  it("goes back to the WebSocket when requests do not get through either", async () => {
    enter();
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("offline")));
    for (let count = 0; count < 2; count++) {
      Socket.last.closes(1006);
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(Socket.all.length).toBeGreaterThan(2);
  });

  it.each([0, 5_000])("asks for the clock often at first, then seldom: hello after %d ms", async (slowness) => {
    const { room } = enter();
    const socket = Socket.last;
    socket.opened();
    await vi.advanceTimersByTimeAsync(slowness);
    socket.greets(0);
    const asked: number[] = [];
    for (let at = 0; at < 65_000; at += 100) {
      await vi.advanceTimersByTimeAsync(100);
      for (let count = socket.pings(); count > 0; count--) asked.push(at + 100);
    }
    expect(asked).toEqual([100, 500, 1_500, 3_000, 23_000, 43_000, 63_000]);
    room.close();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([socket.pings(), vi.getTimerCount(), Socket.all.length]).toEqual([0, 0, 1]);
  });

  it("notices a connection that says nothing any more", async () => {
    enter();
    Socket.last.greets(0);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(Socket.all.length).toBe(2);
  });
});
