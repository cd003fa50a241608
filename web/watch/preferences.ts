// What a viewer chose, kept in this browser. A browser that keeps nothing gets the defaults each time.

import type { TransportChoice } from "../sdk/types";
import type { Density } from "./danmaku/layer";

export interface Preferences {
  readonly language: string | null;
  readonly danmaku: boolean;
  readonly opacity: number;
  readonly density: Density;
  readonly transport: TransportChoice;
  readonly name: string;
  /** Keys that act on the whole page. */
  readonly shortcuts: boolean;
}

const KEY = "streamer.watch";
const DEFAULTS: Preferences = {
  language: null,
  danmaku: true,
  opacity: 0.9,
  density: "some",
  transport: "auto",
  name: "",
  shortcuts: true,
};
export const OPACITY: readonly [number, number] = [0.2, 1];
export const LONGEST_NAME = 40;

/** What `text` holds of preferences, the rest by default: another version of the page may have written it. */
export function read(text: string | null): Preferences {
  const found = parse(text);
  const { language, danmaku, opacity, density, transport, name, shortcuts } = found;
  return {
    language: typeof language === "string" ? language : DEFAULTS.language,
    danmaku: typeof danmaku === "boolean" ? danmaku : DEFAULTS.danmaku,
    opacity: typeof opacity === "number" && opacity >= OPACITY[0] && opacity <= OPACITY[1] ? opacity : DEFAULTS.opacity,
    density: density === "few" || density === "some" || density === "all" ? density : DEFAULTS.density,
    transport: transport === "webrtc" || transport === "ws" || transport === "http" ? transport : DEFAULTS.transport,
    name: typeof name === "string" ? name.slice(0, LONGEST_NAME) : DEFAULTS.name,
    shortcuts: typeof shortcuts === "boolean" ? shortcuts : DEFAULTS.shortcuts,
  };
}

function parse(text: string | null): Partial<Record<keyof Preferences, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {}; // not JSON
  }
}

export class Chosen {
  #now: Preferences;

  constructor() {
    this.#now = read(stored());
  }

  get now(): Preferences {
    return this.#now;
  }

  change(some: Partial<Preferences>): void {
    this.#now = { ...this.#now, ...some };
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#now));
    } catch {
      // The browser keeps nothing for this site: the choice holds until the page is closed.
    }
  }
}

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // the browser keeps nothing for this site
  }
}
