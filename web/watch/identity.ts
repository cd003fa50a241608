// Who the viewer is: a token that the shop put behind the # of the link, or the one that the room gave to an anonymous
// viewer. Either is kept for this tab, so that after a reload an order still has the same buyer.

import type { ConnectOptions, Session } from "../sdk/types";
import { tokenIn } from "./page_address";

export class Identity {
  readonly #given: string;
  readonly #own: string;
  #token: string | null;

  constructor(room: string) {
    [this.#given, this.#own] = [`streamer.token.${room}`, `streamer.guest.${room}`];
    this.#token = this.#take() ?? kept(this.#given);
  }

  /** For `connect`. */
  get options(): Pick<ConnectOptions, "token" | "onTokenExpired"> {
    // A guest whose token has run out becomes another guest. For the shop's token there is no other one here, and the
    // same again says so.
    return { token: this.#token ?? kept(this.#own), onTokenExpired: () => this.#token };
  }

  follow(session: Session): void {
    session.on("hello", ({ token }) => {
      if (this.#token === null && token !== null) keep(this.#own, token);
    });
    // Another link of the shop's in the same tab differs in the part behind the # alone: the page is not loaded anew.
    addEventListener("hashchange", () => {
      const token = this.#take();
      if (token === null) return;
      this.#token = token;
      session.setToken(token);
    });
  }

  /** What the address carries goes out of the address bar: what is copied from there, or seen, must not have it. */
  #take(): string | null {
    const given = tokenIn(location.hash);
    if (given === null) return null;
    history.replaceState(history.state, "", location.pathname + location.search);
    keep(this.#given, given);
    return given;
  }
}

function kept(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null; // the browser keeps nothing for this site
  }
}

function keep(key: string, value: string): void {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // The browser keeps nothing for this site: it holds until the page is closed.
  }
}
