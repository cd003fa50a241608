import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Session } from "../../sdk/types";
import { Identity } from "../../watch/identity";

const heard = new Map<string, (notice: never) => void>();
const given: (string | null)[] = [];
const session = {
  on: (name: string, hear: (notice: never) => void) => heard.set(name, hear),
  setToken: (token: string | null) => given.push(token),
} as unknown as Session;

/** The tab: what a test opens in its address bar, and what it keeps. */
const address = { pathname: "/watch/demo", search: "?lang=zh", hash: "" };
const kept = new Map<string, string>();

function opens(hash: string): void {
  address.hash = hash;
  heard.get("hashchange")?.(undefined as never);
}

beforeEach(() => {
  for (const all of [heard, kept]) all.clear();
  given.length = 0;
  address.hash = "";
  vi.stubGlobal("location", address);
  vi.stubGlobal("history", { state: null, replaceState: () => (address.hash = "") });
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
  vi.stubGlobal("addEventListener", (name: string, hear: () => void) => heard.set(name, hear));
});
afterEach(() => void vi.unstubAllGlobals());

describe("who the viewer is", () => {
  it("is told behind the address, out of which it goes, and outlives a reload", () => {
    address.hash = "#token=first";
    expect(new Identity("demo").options.token).toBe("first");
    expect(address.hash).toBe("");
    expect(new Identity("demo").options.token).toBe("first");
    expect(new Identity("other").options.token).toBeNull();
  });

  it("changes with another link in the same tab", () => {
    const identity = new Identity("demo");
    identity.follow(session);
    opens("#shelf");
    expect(given).toEqual([]);
    opens("#token=new");
    expect([given, address.hash]).toEqual([["new"], ""]);
    expect(new Identity("demo").options.token).toBe("new");
  });

  it("is another guest when a guest's own has run out, and over when the shop's has", () => {
    const identity = new Identity("demo");
    identity.follow(session);
    heard.get("hello")?.({ token: "guest" } as never);
    const { options } = new Identity("demo");
    expect([options.token, options.onTokenExpired?.()]).toEqual(["guest", null]);
    opens("#token=shop");
    heard.get("hello")?.({ token: null } as never);
    // The same again: the session tries it no second time.
    expect(identity.options.onTokenExpired?.()).toBe("shop");
  });
});
