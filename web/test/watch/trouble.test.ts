import { describe, expect, it } from "vitest";

import type { MediaCode, MediaState, RoomState } from "../../sdk/types";
import { read } from "../../watch/preferences";
import { CHAT_PATIENCE_MS, PATIENCE_MS, type Seen, troubleOf } from "../../watch/trouble";

const JOINED: RoomState = { phase: "joined", code: null, retryInMs: null };
const WELL: Seen = { hadPicture: true, troubledMs: 0, apartMs: 0, isLive: true };

function look(phase: MediaState["phase"], code: MediaCode | null, seen: Partial<Seen> = {}, room: RoomState = JOINED) {
  const media: MediaState = { phase, code, transport: "webrtc", retryInMs: null, detail: null };
  return troubleOf({ media, room }, { ...WELL, ...seen });
}

describe("trouble", () => {
  it("is none while the picture plays", () => expect(look("playing", null).level).toBe("none"));

  it("is none while the viewer has paused, however long, and whatever became of the connection", () => {
    expect(look("paused", null, { troubledMs: 600_000 }).level).toBe("none");
  });

  it("is silent at first, and said after some seconds", () => {
    expect(look("retrying", "lost", { troubledMs: PATIENCE_MS - 1 }).level).toBe("none");
    expect(look("retrying", "lost", { troubledMs: PATIENCE_MS })).toMatchObject({ level: "toast", what: "trouble.lost" });
    expect(look("connecting", "lost", { troubledMs: PATIENCE_MS })).toMatchObject({ level: "toast" });
  });

  it("is a spinner before the first picture, and words where there will be none", () => {
    expect(look("connecting", null, { hadPicture: false }).level).toBe("spinner");
    expect(look("connecting", null, { hadPicture: false, troubledMs: 60_000 }).level).toBe("spinner");
    expect(look("retrying", "not-live", { hadPicture: false })).toMatchObject({ level: "panel", what: "trouble.nobody" });
  });

  it("is known from the room before the server answers for the picture", () => {
    expect(look("connecting", null, { hadPicture: false, isLive: false, troubledMs: 500 }).level).toBe("spinner");
    expect(look("connecting", null, { hadPicture: false, isLive: false, troubledMs: 1_000 }).what).toBe("trouble.nobody");
    expect(look("connecting", null, { hadPicture: false, isLive: null, troubledMs: 9_000 }).what).toBeNull();
  });

  it.each([
    ["ended", "panel", "trouble.ended"],
    ["stopped", "panel", "trouble.closed"],
    ["no-room", "panel", "trouble.noroom"],
    ["forbidden", "panel", "trouble.private"],
    ["full", "toast", "trouble.full"],
    ["unusable", "toast", "trouble.blocked"],
  ] as const)("%s is said at once, on a %s", (code, level, what) => {
    expect(look("over", code)).toMatchObject({ level, what, again: true });
  });

  it("has a hint for every reason, and no button where pressing it cannot help", () => {
    const codes: MediaCode[] = ["not-live", "host-away", "ended", "restart", "too-slow", "full", "no-room", "forbidden", "offline", "lost"];
    for (const code of codes) expect(look("retrying", code, { troubledMs: 60_000 }).hint, code).not.toBeNull();
    expect(look("over", "unsupported").again).toBe(false);
    expect(look("retrying", "lost", { troubledMs: 60_000 }).again).toBe(false);
  });

  it("tells an expired link from a private room", () => {
    const room: RoomState = { phase: "over", code: "token", retryInMs: null };
    expect(look("over", "forbidden", {}, room).what).toBe("trouble.expired");
    expect(look("playing", null, {}, room)).toMatchObject({ level: "toast", what: "trouble.expired" });
  });

  it("is a button where the browser wants a click", () => expect(look("blocked", "autoplay")).toMatchObject({ level: "start", what: "start" }));

  it("of the host is said while the last picture stands", () => {
    expect(look("silent", "host-away")).toMatchObject({ level: "toast", what: "trouble.stopped" });
  });

  it("of the chat alone waits longer", () => {
    const room: RoomState = { phase: "retrying", code: "lost", retryInMs: 100 };
    expect(look("playing", null, { apartMs: CHAT_PATIENCE_MS - 1 }, room).level).toBe("none");
    expect(look("playing", null, { apartMs: CHAT_PATIENCE_MS }, room)).toMatchObject({ level: "toast", what: "trouble.chat" });
  });
});

describe("preferences", () => {
  it("are what was kept, and the defaults for the rest", () => {
    expect(read(JSON.stringify({ danmaku: false, opacity: 0.4, density: "all", name: "A".repeat(99) }))).toMatchObject({
      ...{ danmaku: false, opacity: 0.4, density: "all", transport: "auto", language: null },
      name: "A".repeat(40),
    });
  });

  it.each([null, "", "{", "null", "7", '{"opacity":9,"density":"dense","danmaku":"yes"}'])("survive %s", (text) => {
    expect(read(text)).toMatchObject({ danmaku: true, opacity: 0.9, density: "some" });
  });
});
