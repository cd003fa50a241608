import { describe, expect, it } from "vitest";

import { sayer, STUDIO } from "../../i18n/studio";
import { preferH264 } from "../../studio/codecs";
import { bitrate, explainCamera, explainEnd, explainEnded, explainNoCameras, explainStatus } from "../../studio/words";
import type { Refusal } from "../../studio/words";

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
  const say = sayer("en");
  const said = ({ says }: Refusal): string => say(...says);

  it("says what to do about the camera", () => {
    const both = ["video", "audio"] as const;
    const denied = explainCamera(say, { name: "NotAllowedError", kinds: both });
    expect(denied).toMatch(/^The camera or microphone .*Allow it/);
    expect(explainCamera(say, { name: "NotReadableError", kinds: ["audio"] })).toMatch(/^The microphone is in use/);
    expect(explainCamera(say, { name: "New", kinds: ["video"] })).toContain("camera could not be opened (New)");
    expect(explainEnded(say, "video")).toContain("The camera has stopped.");
    expect(explainNoCameras(say, "192.0.2.1", false)).toContain("https://192.0.2.1:8443");
    expect(explainNoCameras(say, "[2001:db8::1]", false)).toContain("https://[2001:db8::1]:8443");
    expect(explainNoCameras(say, "example.org", true)).not.toContain("https");
  });

  it("tries again only where that can help", () => {
    expect(explainStatus(403).again).toBe(false);
    expect(explainStatus(503).again).toBe(true);
    expect(explainStatus(500).again).toBe(true);
    expect(explainEnd(null).again).toBe(true);
    expect(explainEnd(4001).again).toBe(true);
    expect(explainEnd(4100).again).toBe(false);
    expect(said(explainEnd(4100))).toContain("Somebody else");
    expect(explainEnd(4199)).toEqual({ says: ["ended.other"], again: false });
  });

  it("comes back to a server that has restarted and knows no session of before", () => {
    expect(explainEnd(4104)).toEqual(explainEnd(null));
  });

  it("tells an operator's block from another host, and a time to wait from a wrong key", () => {
    expect(explainStatus(409, 4100)).toEqual({ says: ["refused.409"], again: true });
    expect(explainStatus(409, 4103)).toEqual({ says: ["refused.blocked"], again: false });
    expect(said(explainStatus(403, 4101, "3"))).toContain("wait 3 s");
    expect(said(explainStatus(403, 4101))).toContain("not right");
    expect(said(explainStatus(500))).toContain("answered 500");
  });

  it("has the same holes in every language, and nothing empty", () => {
    const holes = (sentence: string): string[] => [...sentence.matchAll(/\{\w+\}/g)].map(String).sort();
    for (const [key, english] of Object.entries(STUDIO.en)) {
      const chinese = STUDIO.zh[key as keyof typeof STUDIO.zh];
      expect(holes(chinese), key).toEqual(holes(english));
      expect(english.trim() && chinese.trim(), key).not.toBe("");
    }
    const trouble = { name: "NotReadableError", kinds: ["audio"] } as const;
    expect(explainCamera(sayer("zh"), trouble)).toBe("麦克风正被其他程序使用。");
  });

  it("reads bit rates as people do", () => {
    expect(bitrate(2_480_000)).toBe("2.5 Mb/s");
    expect(bitrate(640_400)).toBe("640 kb/s");
  });
});
