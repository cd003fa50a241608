// What a viewer asks of the room: once, or until there is an answer.

import { LinkLost } from "./channel";
import * as refusals from "./refusal";
import { Refused } from "./refusal";
import type { Fields } from "./room_wire";
import type { Language, Refusal, RoomCode } from "./types";

/** Between two tries of the same request; it doubles up to the longest. */
const FIRST_MS = 300;
const LONGEST_MS = 5_000;

export interface Asker {
  /** Whether there is a connection to ask over. */
  readonly isJoined: boolean;
  /** Why there will be none any more, as things stand; null while it comes back by itself. */
  readonly over: RoomCode | null;
  ask(message: Fields): Promise<Fields>;
}

export type Progress = (phase: "sent" | "waiting") => void;

export class Requests {
  readonly #asker: Asker;
  readonly #language: Language;
  readonly #waiting = new Set<() => void>();
  /** Requests that the server may have acted on, by their key: also former tries of the same request. */
  readonly #unanswered = new Set<unknown>();
  #isClosed = false;

  constructor(asker: Asker, language: Language) {
    this.#asker = asker;
    this.#language = language;
  }

  /** The room was joined, or is over: those who wait for it look again now. */
  wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  close(): void {
    this.#isClosed = true;
    this.wake();
  }

  refusal(code: number): Refusal {
    return refusals.refusal(code, this.#language);
  }

  /** Ask once. Rejects with `Refused`. */
  async once(message: Fields): Promise<Fields> {
    const answer = await this.#asker.ask(message).catch((error: unknown) => {
      throw error instanceof LinkLost ? new Refused(this.refusal(refusals.NOT_JOINED)) : error;
    });
    const no = this.refusalOf(answer);
    if (no) throw new Refused(no);
    return answer;
  }

  /**
   * Ask until the server says yes or no, over any number of connections. The message must be one that can be repeated.
   * Answers the yes, or the refusal; also one of its own, where the room is over and it was never sent. Rejects with
   * `Refused` if it is closed, aborted or the room is over, before there is an answer.
   */
  async untilAnswered(message: Fields, progress: Progress, signal?: AbortSignal): Promise<Fields | Refusal> {
    const key = message["id"] ?? message;
    for (let tries = 0; ; tries++) {
      this.#check(signal);
      const { over } = this.#asker;
      if (over && !this.#unanswered.has(key)) {
        return this.refusal(over === "token" ? refusals.TOKEN : refusals.JOIN_FIRST);
      }
      if (over) throw new Refused(this.refusal(refusals.NOT_JOINED));
      if (this.#asker.isJoined) this.#unanswered.add(key);
      const answer = this.#asker.isJoined ? await this.#try(message, progress, signal) : null;
      const no = answer && this.refusalOf(answer);
      // "Too fast" and "unavailable" say nothing about a former try of the same request, whose answer got lost.
      if (answer && !(no && isPassing(no.code))) {
        this.#unanswered.delete(key);
        return no ?? answer;
      }
      this.#check(signal);
      progress("waiting");
      await this.#pause(pauseMs(tries, Math.random()), signal);
    }
  }

  refusalOf(answer: Fields): Refusal | null {
    if (answer["type"] !== "error") return null;
    const { code, name, text } = answer;
    return refusals.refusal(typeof code === "number" ? code : refusals.UNREADABLE, this.#language, {
      ...(typeof name === "string" ? { name } : {}),
      ...(typeof text === "string" ? { detail: text } : {}),
    });
  }

  async #try(message: Fields, progress: Progress, signal?: AbortSignal): Promise<Fields | null> {
    progress("sent");
    const asked = this.#asker.ask(message).catch((error: unknown) => {
      if (error instanceof LinkLost) return null;
      throw error;
    });
    return signal ? Promise.race([asked, aborted(signal)]) : asked;
  }

  #check(signal?: AbortSignal): void {
    if (this.#isClosed) throw new Refused(this.refusal(refusals.CLOSED));
    if (signal?.aborted) throw new Refused(this.refusal(refusals.ABORTED));
  }

  /** Until the time is up, the room is joined again, or it is over. */
  #pause(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }
}

/** Doubling, half of it at random. */
export function pauseMs(tries: number, random: number): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries, 10));
  return Math.round(longest / 2 + (longest / 2) * random);
}

function isPassing(code: number): boolean {
  return code >= refusals.UNAVAILABLE && code <= refusals.TOO_FAST_ROOM;
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(null), { once: true }));
}
