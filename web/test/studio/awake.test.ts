import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Awake } from "../../studio/awake";

class Lock {
  released = false;

  async release(): Promise<void> {
    this.released = true;
  }
}

describe("the lock that keeps the screen on", () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  let given: Lock[] = [];
  let asked: ((lock: Lock) => void)[] = [];

  const held = (): number => given.filter((lock) => !lock.released).length;

  /** The browser answers every request that waits. */
  const grant = async (): Promise<void> => {
    for (const answer of asked.splice(0)) {
      const lock = new Lock();
      given.push(lock);
      answer(lock);
    }
    await new Promise((turn) => setTimeout(turn));
  };

  const see = (isVisible: boolean): void => {
    page.visibilityState = isVisible ? "visible" : "hidden";
    if (!isVisible) for (const lock of given) lock.released = true; // as browsers do
    page.dispatchEvent(new Event("visibilitychange"));
  };

  beforeEach(() => {
    [given, asked] = [[], []];
    page.visibilityState = "visible";
    vi.stubGlobal("document", page);
    vi.stubGlobal("navigator", { wakeLock: { request: () => new Promise((answer) => asked.push(answer)) } });
  });
  afterEach(() => void vi.unstubAllGlobals());

  it("is one, however often it is wanted, and none when it is over", async () => {
    const awake = new Awake();
    awake.want(true);
    awake.want(true); // connecting, then live
    await grant();
    awake.want(true);
    await grant();
    expect(held()).toBe(1);
    awake.want(false);
    expect(held()).toBe(0);
  });

  it("is asked for again when the page is seen again", async () => {
    const awake = new Awake();
    awake.want(true);
    await grant();
    see(false);
    expect(asked).toHaveLength(0);
    see(true);
    await grant();
    expect(held()).toBe(1);
    awake.want(false);
    see(false);
    see(true);
    expect(asked).toHaveLength(0);
  });

  it("is let go where it comes after the end", async () => {
    const awake = new Awake();
    awake.want(true);
    awake.want(false);
    await grant();
    expect([given.length, held()]).toEqual([1, 0]);
  });

  it("is done without where the browser refuses, and where it knows of none", async () => {
    vi.stubGlobal("navigator", { wakeLock: { request: () => Promise.reject(new Error("low battery")) } });
    new Awake().want(true);
    vi.stubGlobal("navigator", {});
    new Awake().want(true);
    await new Promise((turn) => setTimeout(turn));
    expect(held()).toBe(0);
  });
});
