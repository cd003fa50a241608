import { afterEach, describe, expect, it, vi } from "vitest";

import { isPlayable, readRenditions } from "../../sdk/renditions";

const SOURCE = { width: 1280, height: 720 };
const rung = (name: string, codec: string) => ({ name, codec, width: 640, height: 360, frame_rate: 30, bitrate: 500_000 });

describe("the rungs that can be pinned", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("are what the server lists, best first", async () => {
    const list = [rung("source", "avc1.64001f"), { name: "360p", bitrate: null }, { codec: "no name" }, "none"];
    const read = await readRenditions(new Response(JSON.stringify({ default: "auto", renditions: list })), SOURCE);
    expect(read[0]).toEqual(rung("source", "avc1.64001f"));
    expect(read.slice(1)).toEqual([{ name: "360p", codec: "", width: 0, height: 0, frame_rate: null, bitrate: null }]);
  });

  it("are the source alone where there is no ladder", async () => {
    const read = await readRenditions(new Response("", { status: 404 }), SOURCE);
    expect(read).toEqual([{ name: "source", codec: "", ...SOURCE, frame_rate: null, bitrate: null }]);
  });

  it("are not made up from an answer that is none", async () => {
    await expect(readRenditions(new Response("", { status: 503 }), SOURCE)).rejects.toThrow("503");
    await expect(readRenditions(new Response("{}"), SOURCE)).rejects.toThrow("list");
  });

  it("are those that the browser can show by the transport", () => {
    vi.stubGlobal("MediaSource", { isTypeSupported: (type: string) => type.includes("avc1") });
    vi.stubGlobal("RTCRtpReceiver", { getCapabilities: () => ({ codecs: [{ mimeType: "video/H264" }] }) });
    for (const transport of ["webrtc", "ws"] as const) {
      expect(isPlayable(rung("source", "avc1.42e01f"), transport)).toBe(true);
      expect(isPlayable(rung("source", "hvc1.1.6.L93.B0"), transport)).toBe(false);
      expect(isPlayable(rung("source", ""), transport)).toBe(true);
    }
  });
});
