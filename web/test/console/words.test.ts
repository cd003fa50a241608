import { describe, expect, it } from "vitest";

import { bitrate, bytes, count, since } from "../../console/words";

describe("numbers as people read them", () => {
  const now = Date.parse("2025-01-31T12:00:00Z");

  it.each([
    ["2025-01-31T12:00:05Z", "0 s"],
    ["2025-01-31T11:59:01Z", "59 s"],
    ["2025-01-31T11:59:00Z", "1 min"],
    ["2025-01-31T11:00:01Z", "59 min"],
    ["2025-01-31T09:54:59Z", "2 h 05 min"],
  ])("since %s is %s", (timestamp, expected) => expect(since(timestamp, now)).toBe(expected));

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.0 kB"],
    [999_499, "999 kB"],
    [999_600, "1.0 MB"],
    [12_340_000, "12.3 MB"],
    [4e15, "4000 TB"],
  ])("%d bytes are %s", (given, expected) => expect(bytes(given)).toBe(expected));

  it("names rates and counts", () => {
    expect(bitrate(2_540_000)).toBe("2.5 Mbit/s");
    expect(bitrate(128_400)).toBe("128 kbit/s");
    expect([count(0, "viewer"), count(1, "viewer"), count(2, "viewer")]).toEqual(["0 viewers", "1 viewer", "2 viewers"]);
  });
});
