// Shows trouble, and takes it away again without a flash.

import type { Words } from "../i18n/words";
import type { Session } from "../sdk/types";
import { byId, face, setText } from "./dom";
import { isWell, type Level, type Trouble, troubleOf } from "./trouble";

const LOOK_MS = 500;
const BADGES: ReadonlySet<string> = new Set(["ended", "stopped"]);

export class TroubleView {
  readonly #session: Session;
  readonly #words: Words;
  readonly #node = byId("trouble");
  #troubledSince: number | null = null;
  #apartSince: number | null = null;
  #hadPicture = false;
  #shown: Trouble | null = null;

  constructor(session: Session, words: Words) {
    this.#session = session;
    this.#words = words;
    const start = byId<HTMLButtonElement>("start");
    start.addEventListener("click", () => void session.play());
    byId("again").addEventListener("click", () => session.retry());
    words.render(() => {
      face(start, "play", words.say("start"));
      this.#shown = null;
      this.#look();
    });
    session.on("state", () => this.#look());
    session.on("frame", () => {
      if (!this.#hadPicture) this.#look();
    });
    setInterval(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    const { state } = this.#session;
    const now = performance.now();
    if (state.media.phase === "playing" && !this.#hadPicture) {
      this.#hadPicture = true;
      byId("stage").dataset["picture"] = "yes";
    }
    this.#troubledSince = isWell(state.media) ? null : (this.#troubledSince ?? now);
    const apart = state.room.phase === "retrying" || state.room.phase === "over";
    this.#apartSince = apart ? (this.#apartSince ?? now) : null;
    const since = (start: number | null): number => (start === null ? 0 : now - start);
    const seen = {
      hadPicture: this.#hadPicture,
      troubledMs: since(this.#troubledSince),
      apartMs: since(this.#apartSince),
      isLive: this.#session.isLive,
    };
    this.#show(troubleOf(state, seen));
    this.#showBadge();
  }

  #show(trouble: Trouble): void {
    const before = this.#shown;
    if (before?.level === trouble.level && before.what === trouble.what && before.again === trouble.again) return;
    this.#shown = trouble;
    this.#node.dataset["level"] = trouble.level;
    const text = (key: Trouble["what"]): string => (key ? this.#words.say(key) : "");
    setText(byId("message"), sayable(trouble.level) ? text(trouble.what) : "");
    setText(byId("hint"), sayable(trouble.level) ? text(trouble.hint) : "");
    byId("start").hidden = trouble.level !== "start";
    byId("again").hidden = !trouble.again;
  }

  #showBadge(): void {
    const { phase, code } = this.#session.state.media;
    const over = code !== null && BADGES.has(code);
    const live = phase === "playing" || phase === "blocked" || (phase === "paused" && this.#session.isLive !== false);
    const badge = byId("badge");
    badge.hidden = !this.#hadPicture && !over;
    badge.dataset["look"] = over ? "over" : live ? "live" : "waiting";
    setText(badge, this.#words.say(over ? "badge.over" : live ? "badge.live" : "badge.waiting"));
  }
}

function sayable(level: Level): boolean {
  return level === "toast" || level === "panel" || level === "start";
}
