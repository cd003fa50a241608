import { describe, expect, it } from "vitest";

import { readRtpAnchor, RtpPosition } from "../../sdk/rtp_position";
import { random } from "./random";

const WRAP = 2 ** 32;

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
    expect(position.picture(5)).toBeNull();
    position.anchorAt({ epoch: "a", rtp: 1000, t: 90_000 });
    expect(position.picture(1000 + 45_000)).toEqual({ epoch: "a", t: 135_000, reach: 135_000 });
    position.anchorAt({ epoch: "a", rtp: 10, t: 90_000 });
    expect(position.picture(WRAP + 10 - 9000)?.t).toBe(81_000);
  });

  it("goes on over any number of wraps, however far apart pictures are", () => {
    for (let run = 0; run < 200; run++) {
      const next = random(run);
      const position = new RtpPosition();
      const origin = Math.floor(next() * WRAP);
      let t = Math.floor(next() * 2 ** 40);
      position.anchorAt({ epoch: "a", rtp: (origin + t) % WRAP, t });
      for (let step = 0; step < 50; step++) {
        t += Math.floor(next() * (2 ** 31 - 1)) - 9000;
        expect(position.picture((((origin + t) % WRAP) + WRAP) % WRAP)?.t).toBe(t);
      }
    }
  });

  it("is the same by sound, whose clock is 48 kHz", () => {
    for (let run = 0; run < 200; run++) {
      const next = random(run);
      const position = new RtpPosition();
      const origin = Math.floor(next() * WRAP);
      let t = Math.floor(next() * 2 ** 40);
      position.anchorAt({ epoch: "a", rtp: (origin + t) % WRAP, t });
      for (let step = 0; step < 20; step++) {
        t += Math.floor(next() * 2 ** 30);
        const sound = position.sound((origin + Math.floor((t * 48) / 90)) % WRAP);
        expect(Math.abs((sound?.t ?? 0) - t)).toBeLessThanOrEqual(3);
      }
    }
  });

  it("stays with the broadcast of its connection, whatever the room says of another", () => {
    const position = new RtpPosition();
    position.anchorAt({ epoch: "a", rtp: 0, t: 0 });
    position.anchorAt({ epoch: "b", rtp: 77, t: 0 });
    expect(position.picture(9000)).toEqual({ epoch: "a", t: 9000, reach: 9000 });
  });
});
