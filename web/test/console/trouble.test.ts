import { afterEach, describe, expect, it, vi } from "vitest";

import { Api, Refused } from "../../console/api";
import { ofAction, ofRefresh } from "../../console/trouble";

describe("a server that says no, or nothing", () => {
  it("asks for the key again where that was refused, not where the address has to wait", () => {
    expect(ofRefresh(new Refused(401, "The key is not valid.")).asksForKey).toBe(true);
    expect(ofRefresh(new Refused(403, "Only its own room.")).asksForKey).toBe(true);
    expect(ofRefresh(new Refused(429, "Wait 2 s."))).toEqual({ message: "Wait 2 s. Trying again.", asksForKey: false });
    expect(ofRefresh(new TypeError("offline")).message).toContain("Trying again");
  });

  it("promises no second try of what somebody did", () => {
    expect(ofAction(new TypeError("offline"))).toMatch(/may not have done it.*try again\.$/);
    expect(ofAction(new Refused(500, "A mistake."))).toBe("A mistake.");
    expect(ofAction(new Refused(404, "There is no viewer 7."))).toBe("");
  });
});

describe("a request", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it("ends also where no answer comes", async () => {
    const controller = new AbortController();
    vi.spyOn(AbortSignal, "timeout").mockReturnValue(controller.signal);
    vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
      return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    });
    const asked = new Api("key").streams();
    controller.abort(new DOMException("late", "TimeoutError"));
    await expect(asked).rejects.toThrow("late");
  });

  it("is made only with a key that a header can carry", () => {
    expect(["key-_1", "密钥", "two words", ""].map((key) => Api.canSend(key))).toEqual([true, false, false, false]);
  });
});
