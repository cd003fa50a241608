// A viewer that was too slow skips media, which leaves a hole in the buffer, and a <video> waits at a hole for ever.

export interface Ranges {
  readonly length: number;
  start(index: number): number;
  end(index: number): number;
}

/** Two ranges closer than this are one: browsers round frame times when they join buffers. */
const TOUCHING_S = 0.02;

/** Where to seek so that playback goes on behind the hole at `position`; null when there is no hole to jump. */
export function jumpTarget(buffered: Ranges, position: number): number | null {
  for (let index = 0; index < buffered.length; index++) {
    const start = buffered.start(index);
    if (start <= position + TOUCHING_S && position + TOUCHING_S < buffered.end(index)) return null;
    if (start > position) return start;
  }
  return null;
}

/** Seconds of media that are there but not yet shown. */
export function bufferedAhead(buffered: Ranges, position: number): number {
  const last = buffered.length - 1;
  return last < 0 ? 0 : Math.max(0, buffered.end(last) - position);
}
