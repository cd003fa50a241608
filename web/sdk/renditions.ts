// The rungs that a viewer can pin.

import { asFields } from "./room_wire";
import type { Rendition } from "./types";

/** Best first. A server without a ladder answers 404, and has the source alone. Rejects for anything else that is no list. */
export async function readRenditions(
  response: Response,
  source: { readonly width: number; readonly height: number },
): Promise<readonly Rendition[]> {
  if (response.status === 404) return [{ name: "source", codec: "", ...source, frame_rate: null, bitrate: null }];
  if (!response.ok) throw new Error(`the renditions were answered ${response.status}`);
  const list: unknown = await response.json();
  if (!Array.isArray(list)) throw new Error("the renditions are not a list");
  return list.map(readRendition).filter((rendition) => rendition !== null);
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
