// How long to wait before the next connection. The server numbers its reasons: from 4000 to 4099 the same request may
// succeed soon, from 4100 on it will not before something changes.

export const RECONNECT = 4010;
const FIRST_MS = 500;
const LONGEST_MS = 10_000;

/** Delay before attempt number `failures` (1 for the first failure in a row); `random` is from 0 to 1. */
export function retryDelayMs(failures: number, closeCode: number | null, random: number): number {
  if (closeCode === RECONNECT && failures <= 1) return 0;
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10));
  // Half fixed, half random: a thousand players that lost one server must not come back in one instant.
  return Math.round(longest / 2 + (longest / 2) * random);
}

/** Whether to ask again at all, without the viewer's wish. */
export function mayRetry(closeCode: number | null): boolean {
  return closeCode === null || closeCode < 4100;
}
