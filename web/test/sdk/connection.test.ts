import { describe, expect, it } from "vitest";

import { flvUrl, renditionsUrl, roomUrl, sessionUrl, whepUrl } from "../../sdk/addresses";
import { mayRetry, RECONNECT, retryDelayMs } from "../../sdk/backoff";
import { endOfClose, endOfStatus } from "../../sdk/connection";
import { readProblem, retryAfterMs } from "../../sdk/problem";

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

describe("addresses", () => {
  it("keep host, port and security of the node", () => {
    expect(flvUrl("https://a.example:8443", "demo", "ws")).toBe("wss://a.example:8443/live/demo.flv");
    expect(flvUrl("http://[::1]:8080", "a.b", "ws")).toBe("ws://[::1]:8080/live/a.b.flv");
    expect(flvUrl("http://a.example", "demo", "http")).toBe("http://a.example/live/demo.flv");
    expect(roomUrl("https://a.example", "demo", "/ws")).toBe("wss://a.example/rooms/demo/ws");
    expect(roomUrl("https://a.example", "demo", "/shop/buy")).toBe("https://a.example/rooms/demo/shop/buy");
    expect(renditionsUrl("https://a.example", "demo")).toBe("https://a.example/live/demo/renditions");
  });

  it("name the rung and the ticket, and escape what they are given", () => {
    const asked = { rendition: "720p", ticket: "a&b" };
    expect(flvUrl("http://a.example", "x y", "http", asked)).toBe(
      "http://a.example/live/x%20y.flv?rendition=720p&ticket=a%26b",
    );
    expect(whepUrl("http://a.example", "demo", asked)).toBe("http://a.example/whep/demo?rendition=720p");
    expect(whepUrl("http://a.example", "demo", { rendition: null })).toBe("http://a.example/whep/demo");
  });

  it("take a session's path from the server and its host from us", () => {
    const session = "https://a.example/whep/demo/secret";
    expect(sessionUrl("https://a.example", "http://inside:8080/whep/demo/secret")).toBe(session);
    expect(sessionUrl("https://a.example", "/whep/demo/secret")).toBe(session);
  });
});

describe("what an end says of the transport", () => {
  it.each([
    [422, "unusable", "transport", true],
    [409, "not-live", "room", true],
    [404, "not-live", "room", true],
    [403, "forbidden", "room", false],
    [503, "full", "room", true],
    [500, "lost", "lost", true],
  ])("status %d is %s, because of the %s", (status, code, how, mayRetry) => {
    expect(endOfStatus(status, null, null)).toMatchObject({ code, how, mayRetry });
  });

  it.each([
    [4000, "ended", true],
    [4010, "changed", true],
    [4103, "stopped", false],
    [4199, "lost", false],
    [1006, "lost", true],
    [null, "lost", true],
  ])("close code %j is %s", (closeCode, code, mayRetry) => {
    expect(endOfClose(closeCode)).toMatchObject({ code, mayRetry, closeCode });
  });

  it("reads problem details, and does without them", async () => {
    const headers = { "Retry-After": "5" };
    const body = JSON.stringify({ detail: "demo is not live", code: 4104 });
    const problem = await readProblem(new Response(body, { status: 404, headers }));
    expect(problem).toEqual({ status: 404, detail: "demo is not live", code: 4104, retryAfterMs: 5000 });
    const page = await readProblem(new Response("<html>", { status: 502 }));
    expect(page).toEqual({ status: 502, detail: null, code: null, retryAfterMs: null });
    expect(retryAfterMs("Wed, 21 Oct 2026 07:28:00 GMT")).toBeNull();
  });
});
