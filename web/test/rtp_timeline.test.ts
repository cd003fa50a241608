import { describe, expect, it } from "vitest";

import { readRtpAnchor, RtpPosition } from "../watch/rtp_timeline";

describe("the anchor in a header", () => {
  it("has epoch, RTP time and media time", () => {
    expect(readRtpAnchor("epoch=k3;rtp=4294967295;t=900000")).toEqual({ epoch: "k3", rtp: 4294967295, t: 900000 });
  });

  it.each([[null], [""], ["epoch=k3"], ["epoch=;rtp=1;t=1"], ["epoch=a;rtp=x;t=1"], ["rtp=1;t=1"]])(
    "is refused as %j",
    (header) => {
      expect(readRtpAnchor(header)).toBeNull();
    },
  );
});

describe("the position by RTP time", () => {
  it("counts from the anchor, both ways", () => {
    const position = new RtpPosition();
    position.shown(5);
    expect(position.nowMs).toBeNull();
    position.anchorAt({ epoch: "a", rtp: 1000, t: 90_000 });
    position.shown(1000 + 45_000);
    expect(position.nowT).toBe(135_000);
    expect(position.nowMs).toBe(1500);
  });

  it("a picture before the anchor is before its time", () => {
    const position = new RtpPosition();
    position.anchorAt({ epoch: "a", rtp: 10, t: 90_000 });
    position.shown(2 ** 32 + 10 - 9000);
    expect(position.nowT).toBe(81_000);
  });

  it("goes on over any number of wraps", () => {
    const position = new RtpPosition();
    position.anchorAt({ epoch: "a", rtp: 2 ** 32 - 1, t: 0 });
    let t = 0;
    for (let step = 0; step < 5; step++) {
      t += 2 ** 31 - 1;
      position.shown((2 ** 32 - 1 + t) % 2 ** 32);
      expect(position.nowT).toBe(t);
    }
  });

  it("does not step back within one epoch, and begins anew with another", () => {
    const position = new RtpPosition();
    position.anchorAt({ epoch: "a", rtp: 0, t: 0 });
    position.shown(9000);
    position.shown(6000);
    expect(position.nowT).toBe(9000);
    position.anchorAt({ epoch: "b", rtp: 0, t: 0 });
    expect(position.nowT).toBeNull();
  });
});
