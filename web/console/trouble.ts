// What an operator reads when the server says no, or nothing.

import { Refused } from "./api";

/** Why there is nothing new to show, and whether the key has to be asked for again. */
export function ofRefresh(error: unknown): { readonly message: string; readonly asksForKey: boolean } {
  if (!(error instanceof Refused)) return { message: "The server does not answer. Trying again.", asksForKey: false };
  // Somebody else at this address may have tried wrong keys: this one may be right.
  if (error.status === 429) return { message: `${error.message} Trying again.`, asksForKey: false };
  return { message: error.message, asksForKey: error.status === 401 || error.status === 403 };
}

/** Why what was asked for was not done: nothing does it again by itself. Empty where there is nothing left to do. */
export function ofAction(error: unknown): string {
  if (!(error instanceof Refused)) return "The server did not answer, and may not have done it. Look, and try again.";
  return error.status === 404 ? "" : error.message;
}
