// Why the server said no, in the page's language.

import type { Words } from "../i18n/words";
import type { Refusal, RefusedError } from "../sdk/types";

/** Some numbers have words of their own for what was being done. */
export function explain({ code }: Refusal, words: Words, doing = ""): string {
  const keys = [`refused.${code}.${doing}`, `refused.${code}`];
  return words.say(keys.find((key) => words.has(key)) ?? "refused");
}

/** The refusal that a promise of the session rejected with; null for anything else, which is a bug. */
export function refusalOf(error: unknown): Refusal | null {
  return error instanceof Error && error.name === "Refused" ? (error as RefusedError).refusal : null;
}
