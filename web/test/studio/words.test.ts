import { describe, expect, it } from "vitest";

import { preferH264 } from "../../studio/codecs";
import { bitrate, explainCamera, explainEnd, explainEnded, explainNoCameras, explainStatus } from "../../studio/words";

const codec = (mimeType: string, sdpFmtpLine?: string) => ({ mimeType, ...(sdpFmtpLine ? { sdpFmtpLine } : {}) });

describe("the codecs that are offered", () => {
  const high = codec("video/H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f");
  const baseline = codec("video/H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
  const single = codec("video/H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f");
  const rtx = codec("video/rtx");

  it("are H.264 with fragmentation, Constrained Baseline first, and its repairs", () => {
    expect(preferH264([codec("video/VP8"), high, single, rtx, baseline])).toEqual([baseline, high, rtx]);
  });

  it("are none where there is no H.264", () => {
    expect(preferH264([codec("video/VP8"), rtx])).toEqual([]);
  });
});

describe("what a host is told", () => {
  it("says what to do about the camera", () => {
    const both = ["video", "audio"] as const;
    expect(explainCamera({ name: "NotAllowedError", kinds: both })).toMatch(/^The camera or microphone .*Allow it/);
    expect(explainCamera({ name: "NotReadableError", kinds: ["audio"] })).toMatch(/^The microphone is in use/);
    expect(explainCamera({ name: "New", kinds: ["video"] })).toContain("camera could not be opened (New)");
    expect(explainEnded("video")).toContain("The camera has stopped.");
    expect(explainNoCameras("192.0.2.1", false)).toContain("https://192.0.2.1:8443");
    expect(explainNoCameras("[2001:db8::1]", false)).toContain("https://[2001:db8::1]:8443");
    expect(explainNoCameras("example.org", true)).not.toContain("https");
  });

  it("tries again only where that can help", () => {
    expect(explainStatus(403).again).toBe(false);
    expect(explainStatus(503).again).toBe(true);
    expect(explainStatus(500).again).toBe(true);
    expect(explainEnd(null).again).toBe(true);
    expect(explainEnd(4001).again).toBe(true);
    expect(explainEnd(4100).again).toBe(false);
    expect(explainEnd(4100).message).toContain("Somebody else");
    expect(explainEnd(4199)).toEqual({ message: "The server has ended the broadcast.", again: false });
  });

  it("comes back to a server that has restarted and knows no session of before", () => {
    expect(explainEnd(4104)).toEqual(explainEnd(null));
  });

  it("tells an operator's block from another host, and a time to wait from a wrong key", () => {
    expect(explainStatus(409, 4100)).toMatchObject({ message: expect.stringContaining("Somebody else"), again: true });
    expect(explainStatus(409, 4103)).toMatchObject({ message: expect.stringContaining("operator"), again: false });
    expect(explainStatus(403, 4101, "3").message).toContain("wait 3 s");
    expect(explainStatus(403, 4101).message).toContain("not right");
  });

  it("reads bit rates as people do", () => {
    expect(bitrate(2_480_000)).toBe("2.5 Mb/s");
    expect(bitrate(640_400)).toBe("640 kb/s");
  });
});
