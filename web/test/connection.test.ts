import { describe, expect, it } from "vitest";

import { mayRetry, RECONNECT, retryDelayMs } from "../watch/backoff";
import { roomOf, streamUrl, transports, wantsWebRtc, whepUrl } from "../watch/transport";
import { explain } from "../watch/words";

describe("the wait before the next connection", () => {
  it("is nothing when the server asks for a reconnection, once", () => {
    expect(retryDelayMs(1, RECONNECT, 0.5)).toBe(0);
    expect(retryDelayMs(2, RECONNECT, 0.5)).toBeGreaterThan(0);
  });

  it("doubles and then stays", () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 100].map((failures) => retryDelayMs(failures, null, 1));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  });

  it("is spread over its upper half", () => {
    expect(retryDelayMs(6, null, 0)).toBe(5000);
    expect(retryDelayMs(6, null, 1)).toBe(10_000);
  });

  it("ends where the server says that nothing will change", () => {
    expect(mayRetry(null)).toBe(true);
    expect(mayRetry(1006)).toBe(true);
    expect(mayRetry(4099)).toBe(true);
    expect(mayRetry(4103)).toBe(false);
  });
});

describe("transports", () => {
  it("begins with WebSocket and falls back to HTTP", () => {
    expect(transports("")).toEqual(["ws", "http"]);
    expect(transports("?via=carrier-pigeon")).toEqual(["ws", "http"]);
  });

  it("can be forced", () => {
    expect(transports("?via=http")).toEqual(["http"]);
    expect(transports("?via=ws")).toEqual(["ws"]);
  });

  it("WebRTC only when asked for", () => {
    expect(wantsWebRtc("?via=webrtc")).toBe(true);
    expect(wantsWebRtc("?via=ws")).toBe(false);
    expect(whepUrl("https://a.example:8443", "a b")).toBe("https://a.example:8443/whep/a%20b");
  });

  it("keeps host, port and security of the page", () => {
    expect(streamUrl("https://a.example:8443", "demo", "ws")).toBe("wss://a.example:8443/live/demo.flv");
    expect(streamUrl("http://[::1]:8080", "a.b", "ws")).toBe("ws://[::1]:8080/live/a.b.flv");
    expect(streamUrl("http://a.example", "demo", "http")).toBe("http://a.example/live/demo.flv");
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
  it("prefers the server's reason, then the status, then says what is known", () => {
    expect(explain(4000, 404)).toBe("The broadcast is over.");
    expect(explain(null, 404)).toContain("Waiting for the host");
    expect(explain(1006, null)).toContain("Trying again");
  });
});
