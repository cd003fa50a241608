// Play, sound, danmaku, full screen: buttons and keys.

import type { Key, Words } from "../i18n/words";
import type { Session } from "../sdk/types";
import { byId, face, label, type Shape, setText } from "./dom";
import type { Preferences } from "./preferences";
import { isShortcut } from "./shortcuts";

const FIELDS = "input, textarea, select, [contenteditable]";

type Look = Pick<Preferences, "danmaku" | "shortcuts">;

export interface Acts {
  toggleDanmaku(): void;
  openSettings(): void;
  openShelf(): void;
  buy(): void;
  write(): void;
  like(): void;
}

/** iPhones know full screen for a video alone. */
interface VideoOfApple extends HTMLVideoElement {
  webkitEnterFullscreen?(): void;
}

export class Controls {
  readonly #session: Session;
  readonly #video: VideoOfApple;
  readonly #words: Words;
  readonly #look: Look;

  constructor(session: Session, video: HTMLVideoElement, words: Words, look: Look, acts: Acts) {
    this.#session = session;
    this.#video = video;
    this.#words = words;
    this.#look = look;
    byId("play").addEventListener("click", () => this.togglePlay());
    byId("sound").addEventListener("click", () => this.setSound(video.muted));
    byId("unmute").addEventListener("click", () => this.setSound(true));
    byId("danmaku-switch").addEventListener("click", () => acts.toggleDanmaku());
    byId("full").addEventListener("click", () => this.toggleFull());
    byId("settings-open").addEventListener("click", () => acts.openSettings());
    byId("bag").addEventListener("click", () => acts.openShelf());
    byId("full").hidden = !document.fullscreenEnabled && !this.#video.webkitEnterFullscreen;
    for (const name of ["volumechange", "play", "pause"]) video.addEventListener(name, () => this.render());
    document.addEventListener("fullscreenchange", () => this.render());
    document.addEventListener("keydown", (event) => this.#onKey(event, acts));
    session.on("state", () => this.render());
    words.render(() => this.render());
  }

  togglePlay(): void {
    if (this.#video.paused) void this.#session.play();
    else this.#video.pause();
  }

  setSound(on: boolean): void {
    this.#video.muted = !on;
    if (on && this.#video.volume === 0) this.#video.volume = 1;
  }

  toggleFull(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else if (document.fullscreenEnabled) void document.documentElement.requestFullscreen();
    else this.#video.webkitEnterFullscreen?.();
  }

  render(): void {
    const { paused, muted } = this.#video;
    const full = document.fullscreenElement !== null;
    const show = (id: string, shape: Shape, key: Key): void => face(byId<HTMLButtonElement>(id), shape, this.#words.say(key));
    show("play", paused ? "play" : "pause", paused ? "play" : "pause");
    show("sound", muted ? "silent" : "sound", muted ? "sound.on" : "sound.off");
    show("danmaku-switch", this.#look.danmaku ? "danmaku" : "bare", this.#look.danmaku ? "danmaku.off" : "danmaku.on");
    show("full", full ? "small" : "full", full ? "full.exit" : "full");
    show("settings-open", "gear", "settings");
    const unmute = byId<HTMLButtonElement>("unmute");
    const touch = matchMedia("(hover: none)").matches;
    unmute.hidden = !muted || paused || this.#session.state.media.phase !== "playing";
    if (!unmute.firstElementChild) unmute.append(document.createElement("span"));
    setText(unmute.lastElementChild as HTMLElement, this.#words.say(touch ? "unmute" : "unmute.key"));
    face(unmute, "silent", this.#words.say(touch ? "unmute" : "unmute.key"));
    label(byId("stage"), this.#words.say("stage"));
  }

  #onKey(event: KeyboardEvent, acts: Acts): void {
    const { target } = event;
    const field = target instanceof HTMLElement ? target.closest<HTMLElement>(FIELDS) : null;
    const isInSheet = document.querySelector("dialog[open]") !== null;
    if (event.key === "Escape" && !isInSheet) field?.blur();
    if (!isShortcut(event, { isOn: this.#look.shortcuts, isInField: field !== null, isInSheet })) return;
    const act = this.#actOf(event.key.toLowerCase(), acts);
    // A focused button takes the space bar for itself.
    if (!act || (event.key === " " && target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    act();
  }

  #actOf(key: string, acts: Acts): (() => void) | undefined {
    const table: Readonly<Record<string, () => void>> = {
      " ": () => this.togglePlay(),
      k: () => this.togglePlay(),
      m: () => this.setSound(this.#video.muted),
      f: () => this.toggleFull(),
      d: () => acts.toggleDanmaku(),
      c: () => acts.write(),
      l: () => acts.like(),
      s: () => acts.openShelf(),
      b: () => acts.buy(),
    };
    return table[key];
  }
}
