// The rungs that a viewer can pin.

import { asFields } from "./room_wire";
import type { Rendition, Transport } from "./types";

/** Best first. A server without a ladder answers 404, and has the source alone. Rejects for anything else that is no list. */
export async function readRenditions(
  response: Response,
  source: { readonly width: number; readonly height: number },
): Promise<readonly Rendition[]> {
  if (response.status === 404) return [{ name: "source", codec: "", ...source, frame_rate: null, bitrate: null }];
  if (!response.ok) throw new Error(`the renditions were answered ${response.status}`);
  const list = asFields(await response.json())?.["renditions"];
  if (!Array.isArray(list)) throw new Error("the renditions are not a list");
  return list.map(readRendition).filter((rendition) => rendition !== null);
}

/** Whether this browser can show it by this transport. A codec that is not told is left to the server's judgement. */
export function isPlayable({ codec }: Rendition, transport: Transport): boolean {
  if (codec === "") return true;
  if (transport !== "webrtc") return mediaSource()?.isTypeSupported(`video/mp4; codecs="${codec}"`) ?? true;
  const wanted = RTP_NAMES[codec.slice(0, 4)];
  const known = globalThis.RTCRtpReceiver?.getCapabilities?.("video")?.codecs;
  return wanted === undefined || !known || known.some(({ mimeType }) => mimeType.toLowerCase() === wanted);
}

const RTP_NAMES: Readonly<Record<string, string>> = {
  avc1: "video/h264",
  avc3: "video/h264",
  hvc1: "video/h265",
  hev1: "video/h265",
  av01: "video/av1",
};

function mediaSource(): typeof MediaSource | undefined {
  const scope = globalThis as { MediaSource?: typeof MediaSource; ManagedMediaSource?: typeof MediaSource };
  return scope.MediaSource ?? scope.ManagedMediaSource;
}

function readRendition(value: unknown): Rendition | null {
  const fields = asFields(value);
  if (fields === null || typeof fields["name"] !== "string") return null;
  const { name, codec, width, height, frame_rate: frameRate, bitrate } = fields;
  return {
    name,
    codec: typeof codec === "string" ? codec : "",
    width: typeof width === "number" ? width : 0,
    height: typeof height === "number" ? height : 0,
    frame_rate: typeof frameRate === "number" ? frameRate : null,
    bitrate: typeof bitrate === "number" ? bitrate : null,
  };
}
