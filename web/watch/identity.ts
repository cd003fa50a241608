// Who the viewer is: a token that the shop put behind the # of the link, kept for this tab.

import { tokenIn } from "./page_address";

export function tokenOf(room: string): string | null {
  const key = `streamer.token.${room}`;
  const given = tokenIn(location.hash);
  // Out of the address bar: what is copied from there, or seen on a screen, must not carry it.
  if (given !== null) history.replaceState(history.state, "", location.pathname + location.search);
  try {
    if (given !== null) sessionStorage.setItem(key, given);
    return given ?? sessionStorage.getItem(key);
  } catch {
    return given; // the browser keeps nothing for this site: it holds until the page is closed
  }
}
