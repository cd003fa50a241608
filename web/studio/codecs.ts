// Which codecs to offer: H.264 alone, because every viewer of every transport can show it.

interface Codec {
  readonly mimeType: string;
  readonly sdpFmtpLine?: string;
}

/** H.264 with fragmentation, Constrained Baseline first, and what repairs it. Empty: this browser has none. */
export function preferH264<T extends Codec>(codecs: readonly T[]): T[] {
  const h264 = codecs.filter((codec) => isH264(codec) && codec.sdpFmtpLine?.includes("packetization-mode=1"));
  if (h264.length === 0) return [];
  const baseline = (codec: T): number => (/profile-level-id=42e0/i.test(codec.sdpFmtpLine ?? "") ? 0 : 1);
  const sorted = [...h264].sort((one, other) => baseline(one) - baseline(other));
  return [...sorted, ...codecs.filter((codec) => codec.mimeType.toLowerCase() === "video/rtx")];
}

function isH264(codec: Codec): boolean {
  return codec.mimeType.toLowerCase() === "video/h264";
}
