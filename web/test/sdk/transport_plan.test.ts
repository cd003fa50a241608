import { describe, expect, it } from "vitest";

import { type Failure, ORDER, possibleTransports, TransportPlan } from "../../sdk/transport_plan";
import { random } from "./random";

describe("which transport is tried", () => {
  it("is WebRTC first, then a WebSocket, then HTTP, and round again", () => {
    const plan = new TransportPlan("auto");
    const tried = [plan.current];
    for (let count = 0; count < 4; count++) {
      expect(plan.failed("transport")).toBe(true);
      tried.push(plan.current);
    }
    expect(tried).toEqual(["webrtc", "ws", "http", "webrtc", "ws"]);
  });

  it("stays when another way would end the same", () => {
    const plan = new TransportPlan("auto");
    for (let count = 0; count < 10; count++) expect(plan.failed("room")).toBe(false);
    expect(plan.current).toBe("webrtc");
  });

  it("stays after one loss, and moves on after two without a picture", () => {
    const plan = new TransportPlan("auto");
    expect([plan.failed("lost"), plan.failed("lost")]).toEqual([false, true]);
    expect(plan.current).toBe("ws");
    plan.worked();
    expect(plan.failed("lost")).toBe(false);
    plan.worked();
    expect(plan.failed("lost")).toBe(false);
  });

  it("goes back to what worked when the choice is left to it again", () => {
    const plan = new TransportPlan("auto");
    plan.failed("transport");
    plan.worked();
    plan.choose("http");
    expect(plan.current).toBe("http");
    plan.choose("auto");
    expect(plan.current).toBe("ws");
  });

  it("is the one that was chosen by hand, whatever happens", () => {
    const plan = new TransportPlan("ws");
    for (const how of ["transport", "lost", "lost", "room"] as const) expect(plan.failed(how)).toBe(false);
    expect(plan.current).toBe("ws");
  });

  it("leaves out what the browser cannot do, until nothing is left", () => {
    const plan = new TransportPlan("auto", ["ws", "http"]);
    expect(plan.current).toBe("ws");
    plan.failed("unsupported");
    expect([plan.current, plan.isExhausted]).toEqual(["http", false]);
    plan.failed("unsupported");
    expect(plan.isExhausted).toBe(true);
    expect(possibleTransports({ RTCPeerConnection: class {} })).toEqual(["webrtc"]);
    expect(possibleTransports({ ManagedMediaSource: class {} })).toEqual(["ws", "http"]);
  });

  it("is always one of those that can work, and every one of them is reached", () => {
    for (let run = 0; run < 200; run++) {
      const next = random(run);
      const possible = ORDER.filter(() => next() < 0.7);
      const plan = new TransportPlan("auto", possible);
      const reached = new Set([plan.current]);
      for (let step = 0; step < 40; step++) {
        const how = (["transport", "room", "lost"] as const)[Math.floor(next() * 3)] as Failure;
        plan.failed(how);
        reached.add(plan.current);
        if (next() < 0.1) plan.worked();
      }
      const expected = possible.length > 0 ? possible : ORDER;
      expect([...reached].sort()).toEqual([...expected].sort());
    }
  });
});
