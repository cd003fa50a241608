// Saying something, and what others say.

import type { Words } from "../i18n/words";
import type { EventOf, Fired, Session } from "../sdk/types";
import { ChatLog } from "./chat_log";
import type { DanmakuLayer } from "./danmaku/layer";
import { byId, face, setText } from "./dom";
import type { Chosen } from "./preferences";
import { explain, refusalOf } from "./refusals";

/** Code points in one danmaku (docs/interaction.md). */
const LONGEST = 200;
const WARN_BELOW = 20;
/** Later than this after its picture, a line no longer crosses it. */
const LATEST_MS = 2_000;
const NOTE_MS = 6_000;

export class Chat {
  readonly log: ChatLog;
  readonly #session: Session;
  readonly #words: Words;
  readonly #layer: DanmakuLayer;
  readonly #chosen: Chosen;
  readonly #field = byId<HTMLInputElement>("say");
  #noteUntil = 0;

  constructor(session: Session, words: Words, layer: DanmakuLayer, chosen: Chosen) {
    this.#session = session;
    this.#words = words;
    this.#layer = layer;
    this.#chosen = chosen;
    this.log = new ChatLog(words);
    byId("dock").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
    this.#field.addEventListener("input", () => this.#showLength());
    words.render(() => {
      face(byId<HTMLButtonElement>("send"), "send", words.say("chat.send"));
      this.#showOpen();
    });
    session.on("hello", () => this.#showOpen());
    session.on("state", () => this.#showOpen());
    session.onEvent("danmaku", (event, fired) => this.#heard(event, fired));
    session.onEvent("delete", ({ body }) => {
      layer.remove(body.event);
      this.log.removeSaying(body.event);
    });
    session.onEvent("mute", ({ body }) => {
      if (body.until_ms > session.nowWallMs) this.#silence(body.sender);
    });
    session.on("reset", ({ first }) => {
      if (!first) this.log.clear();
    });
  }

  focus(): void {
    this.#field.focus();
  }

  /** A line under the field, for a while. */
  note(text: string): void {
    const node = byId("say-note");
    setText(node, text);
    this.#noteUntil = performance.now() + NOTE_MS;
    if (text) setTimeout(() => performance.now() >= this.#noteUntil && setText(node, ""), NOTE_MS + 50);
  }

  #heard({ id, sender, body }: EventOf<"danmaku">, fired: Fired): void {
    this.log.add({ id, sender, name: body.name ?? null, text: body.text, own: fired.own });
    // What was said before this viewer came is in the list, and not over a picture that it was not about.
    if (fired.snapshot || (fired.lateMs > LATEST_MS && !fired.own)) return;
    this.#layer.add({ id, sender, text: body.text, color: body.color, mode: body.mode, size: body.size, own: fired.own });
  }

  #silence(sender: string): void {
    if (sender === "all") return; // what was said stays
    this.#layer.silence(sender);
    this.log.removeSender(sender);
  }

  async #send(): Promise<void> {
    const text = this.#field.value.trim();
    if (!text) return;
    if (this.#session.state.room.phase !== "joined" && this.#session.state.room.phase !== "polling") {
      return this.note(this.#words.say("chat.offline"));
    }
    // At once, as if it were said already: an answer takes a round trip. A refusal brings the words back.
    this.#field.value = "";
    this.note("");
    try {
      const { name } = this.#chosen.now;
      const ack = await this.#session.danmaku(text, name ? { name } : {});
      if (ack.shown === "self") this.note(this.#words.say("chat.self"));
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      this.#field.value ||= text;
      this.note(explain(refusal, this.#words));
    }
  }

  #showLength(): void {
    const left = LONGEST - Array.from(this.#field.value).length;
    if (left <= WARN_BELOW) this.note(this.#words.say("chat.left", { n: left }));
    else if (performance.now() > this.#noteUntil) this.note("");
  }

  #showOpen(): void {
    const closed = this.#session.you?.maySend === false || this.#session.state.room.code === "token";
    this.#field.disabled = closed;
    byId<HTMLButtonElement>("send").disabled = closed;
    this.#field.placeholder = this.#words.say(closed ? "chat.closed" : "chat.hint");
  }
}
