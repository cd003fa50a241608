// The room by plain requests: a long poll for what happens, a POST for what is asked.

import { roomUrl } from "./addresses";
import { type Channel, type ChannelListener, type Joining, LinkLost } from "./channel";
import { asFields, type Fields, readYou } from "./room_wire";

/** The server answers an empty poll after 25 s. */
const POLL_MS = 40_000;
const ANSWER_MS = 10_000;
/** A room full of talk answers at once: not more often than this. */
const PAUSE_MS = 200;

export class RoomPoll implements Channel {
  readonly #joining: Joining;
  readonly #listener: ChannelListener;
  readonly #over = new AbortController();
  #token: string | null;
  #joined = false;

  constructor(joining: Joining, listener: ChannelListener) {
    this.#joining = joining;
    this.#listener = listener;
    this.#token = joining.token;
  }

  open(): void {
    this.#run().then(
      () => undefined,
      () => this.#end(null),
    );
  }

  async ask(message: Fields): Promise<Fields> {
    const { type, ...fields } = message;
    const path = type === "send" ? "/events" : `/shop/${String(type)}`;
    return this.#request("POST", path, {}, fields, ANSWER_MS);
  }

  close(): void {
    this.#over.abort();
  }

  async #run(): Promise<void> {
    const askedAt = performance.now();
    const hello = await this.#request("GET", "/poll", {}, null, ANSWER_MS);
    if (hello["type"] === "error") return this.#refused(hello);
    // An anonymous viewer is named in the hello, and comes back by that name.
    this.#token = readYou(hello)?.token ?? this.#token;
    this.#joined = true;
    this.#listener.onHello(hello, askedAt);
    let cursor = hello["cursor"];
    while (!this.#over.signal.aborted) {
      const news = await this.#request("GET", "/poll", { cursor: String(cursor) }, null, POLL_MS);
      if (news["type"] === "error") return this.#refused(news);
      cursor = news["cursor"];
      this.#listener.onMessage(news);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  #refused(message: Fields): void {
    this.#listener.onMessage(message);
    this.#end(null);
  }

  async #request(
    method: string,
    path: string,
    query: Record<string, string>,
    body: Fields | null,
    patienceMs: number,
  ): Promise<Fields> {
    const { origin, room } = this.#joining;
    const late = new AbortController();
    const giveUp = (): void => late.abort();
    const timer = setTimeout(giveUp, patienceMs);
    this.#over.signal.addEventListener("abort", giveUp);
    try {
      const response = await fetch(roomUrl(origin, room, path, query), {
        method,
        headers: {
          ...(this.#token ? { Authorization: `Bearer ${this.#token}` } : {}),
          ...(body ? { "Content-Type": "application/json" } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        signal: late.signal,
      });
      const answer = asFields(await response.json());
      // Problem details are a proxy's, or a node's that is going away: no answer of the room's.
      if (answer === null || typeof answer["type"] !== "string" || "status" in answer) throw new LinkLost();
      return answer;
    } catch {
      throw new LinkLost();
    } finally {
      clearTimeout(timer);
      this.#over.signal.removeEventListener("abort", giveUp);
    }
  }

  #end(code: number | null): void {
    if (this.#over.signal.aborted) return;
    this.close();
    this.#listener.onEnd(code, this.#joined);
  }
}
