// Who the viewer is: a token that the shop put behind the # of the link, or the one that the room gave to an anonymous
// viewer. Either is kept for this tab, so that after a reload an order still has the same buyer.

import type { ConnectOptions, Session } from "../sdk/types";
import { tokenIn } from "./page_address";

export class Identity {
  readonly #given: string;
  readonly #own: string;
  readonly #token: string | null;

  constructor(room: string) {
    [this.#given, this.#own] = [`streamer.token.${room}`, `streamer.guest.${room}`];
    const given = tokenIn(location.hash);
    if (given !== null) {
      // Out of the address bar: what is copied from there, or seen on a screen, must not carry it.
      history.replaceState(history.state, "", location.pathname + location.search);
      keep(this.#given, given);
    }
    this.#token = given ?? kept(this.#given);
  }

  /** For `connect`. */
  get options(): Pick<ConnectOptions, "token" | "onTokenExpired"> {
    if (this.#token !== null) return { token: this.#token };
    // A guest whose token has run out becomes another guest.
    return { token: kept(this.#own), onTokenExpired: () => null };
  }

  follow(session: Session): void {
    if (this.#token !== null) return;
    session.on("hello", ({ token }) => {
      if (token !== null) keep(this.#own, token);
    });
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
