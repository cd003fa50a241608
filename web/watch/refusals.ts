// Why the server said no, in the page's language.

import type { Words } from "../i18n/words";
import type { Refusal, RefusedError } from "../sdk/types";

export function explain(refusal: Refusal, words: Words): string {
  const key = `refused.${refusal.code}`;
  return words.has(key) ? words.say(key) : words.say("refused");
}

/** The refusal that a promise of the session rejected with; null for anything else, which is a bug. */
export function refusalOf(error: unknown): Refusal | null {
  return error instanceof Error && error.name === "Refused" ? (error as RefusedError).refusal : null;
}
