import { describe, expect, it } from "vitest";

import { roomOf, transportOf } from "../watch/room";
import { explain } from "../watch/words";

describe("the transport that a page address asks for", () => {
  it("is any, unless it names one", () => {
    expect(transportOf("")).toBe("auto");
    expect(transportOf("?via=carrier-pigeon")).toBe("auto");
    expect(transportOf("?via=http")).toBe("http");
    expect(transportOf("?via=ws")).toBe("ws");
    expect(transportOf("?via=webrtc")).toBe("webrtc");
  });
});

describe("the room of an address", () => {
  it.each([
    ["/watch/demo", "demo"],
    ["/watch/demo/", "demo"],
    ["/watch/a%2Eb", "a.b"],
    ["/watch/", null],
    ["/watch/a/b", null],
    ["/watch/%", null],
    ["/elsewhere", null],
  ])("of %s is %s", (path, room) => {
    expect(roomOf(path)).toBe(room);
  });
});

describe("words", () => {
  it("say why there is no picture, and nothing where there is one", () => {
    expect(explain({ phase: "over", code: "stopped" })).toBe("The broadcast was stopped.");
    expect(explain({ phase: "retrying", code: "not-live" })).toContain("Waiting for the host");
    expect(explain({ phase: "connecting", code: null })).toBe("Connecting.");
    expect(explain({ phase: "playing", code: null })).toBe("");
  });
});
