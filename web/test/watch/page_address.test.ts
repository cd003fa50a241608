import { describe, expect, it } from "vitest";

import { roomOf, tokenIn, transportOf } from "../../watch/page_address";

describe("the transport that a page address asks for", () => {
  it("is none, unless it names one", () => {
    expect(transportOf("")).toBeNull();
    expect(transportOf("?via=carrier-pigeon")).toBeNull();
    expect(transportOf("?via=http")).toBe("http");
    expect(transportOf("?lang=zh&via=ws")).toBe("ws");
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

it.each([
  ["#token=v1.a-b.c_d", "v1.a-b.c_d"],
  ["#", null],
  ["", null],
  ["#elsewhere", null],
])("the token of %s is %s", (fragment, token) => {
  expect(tokenIn(fragment)).toBe(token);
});
