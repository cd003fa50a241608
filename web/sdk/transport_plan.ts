// Which transport to try next. Pure: the media side tells what happened, this says what follows.

import type { Transport, TransportChoice } from "./types";

/** The lowest latency first, the most modest last. */
export const ORDER: readonly Transport[] = ["webrtc", "ws", "http"];

/**
 * How a connection ended, as far as the choice is concerned.
 * "transport": this way does not work here (no route, no picture in time, 422, a WebSocket that never opened).
 * "unsupported": the browser cannot play it at all. "room": another way would end the same (nobody is live, full, over).
 * "lost": it worked and broke, or nobody knows.
 */
export type Failure = "transport" | "unsupported" | "room" | "lost";

/** After so many losses in a row without a picture the next transport is tried, whatever the reason was. */
const LOSSES = 2;

export class TransportPlan {
  #choice: TransportChoice;
  #possible: readonly Transport[];
  #current: Transport;
  #worked: Transport | null = null;
  #losses = 0;

  /** `possible`: what the browser can do. With none, all are tried and say so themselves. */
  constructor(choice: TransportChoice, possible: readonly Transport[] = ORDER) {
    this.#choice = choice;
    this.#possible = possible.length > 0 ? possible : ORDER;
    this.#current = this.#first();
  }

  get choice(): TransportChoice {
    return this.#choice;
  }

  get current(): Transport {
    return this.#current;
  }

  /** None is left that the browser could play. */
  get isExhausted(): boolean {
    return this.#choice === "auto" ? this.#possible.length === 0 : !this.#possible.includes(this.#choice);
  }

  choose(choice: TransportChoice): void {
    this.#choice = choice;
    this.#losses = 0;
    this.#current = this.#first();
  }

  /** A picture came this way: it is the first to be tried from now on. */
  worked(): void {
    this.#worked = this.#current;
    this.#losses = 0;
  }

  /** Whether this moved on to another transport, which may then be tried at once. */
  failed(how: Failure): boolean {
    const before = this.#current;
    if (how === "unsupported") this.#possible = this.#possible.filter((one) => one !== before);
    this.#losses = how === "lost" ? this.#losses + 1 : 0;
    const gaveUp = how === "transport" || how === "unsupported" || this.#losses >= LOSSES;
    if (this.#choice === "auto" && gaveUp) this.#current = this.#after(before);
    // What worked once is not trusted any more than the others, once it does not.
    if (gaveUp && this.#worked === before) this.#worked = null;
    return this.#current !== before;
  }

  #first(): Transport {
    if (this.#choice !== "auto") return this.#choice;
    return this.#worked ?? this.#possible[0] ?? "webrtc";
  }

  #after(transport: Transport): Transport {
    this.#losses = 0;
    const ring = [...ORDER, ...ORDER];
    const rest = ring.slice(ring.indexOf(transport) + 1);
    return rest.find((one) => this.#possible.includes(one)) ?? transport;
  }
}

/** What this browser has the parts for. Whether they do is found out by using them. */
export function possibleTransports(scope: object = globalThis): readonly Transport[] {
  const mse = "MediaSource" in scope || "ManagedMediaSource" in scope;
  const able: Record<Transport, boolean> = { webrtc: "RTCPeerConnection" in scope, ws: mse, http: mse };
  return ORDER.filter((transport) => able[transport]);
}
