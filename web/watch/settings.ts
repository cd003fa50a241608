// One sheet for what a viewer can choose, and for how the connection is doing.

import type { Key, Language, Words } from "../i18n/words";
import type { Rendition, Session, TransportChoice } from "../sdk/types";
import type { Density } from "./danmaku/layer";
import { el, setText } from "./dom";
import { type Chosen, LONGEST_NAME, OPACITY, type Preferences } from "./preferences";
import { Sheet } from "./sheet";

const SOURCE = "source";
const AUTO = "";
const KEYS = ["key.play", "key.sound", "key.full", "key.danmaku", "key.chat", "key.like", "key.shelf", "key.buy"] as const;

interface Choice {
  readonly value: string;
  readonly text: string;
}

export class Settings {
  readonly #session: Session;
  readonly #words: Words;
  readonly #chosen: Chosen;
  readonly #sheet: Sheet;
  readonly #quality: Chips;
  readonly #transport: Chips;
  readonly #danmaku: Chips;
  readonly #opacity = slider();
  readonly #density: Chips;
  readonly #language: Chips;
  readonly #shortcuts: Chips;
  readonly #name = el("input", { attributes: { type: "text", maxlength: String(LONGEST_NAME), autocomplete: "nickname" } });
  readonly #facts = el("dl", "facts");
  readonly #labels: { readonly node: HTMLElement; readonly key: Key }[] = [];
  #rungs: readonly Rendition[] = [];

  constructor(session: Session, words: Words, chosen: Chosen, changed: (now: Preferences) => void) {
    this.#session = session;
    this.#words = words;
    this.#chosen = chosen;
    this.#sheet = new Sheet("settings", words);
    const change = (some: Partial<Preferences>): void => {
      chosen.change(some);
      changed(chosen.now);
    };
    this.#quality = new Chips("quality", (name) => session.setRendition(name === AUTO ? null : name));
    this.#transport = new Chips("transport", (value) => {
      const transport = value as TransportChoice;
      change({ transport });
      session.setTransport(transport);
    });
    this.#danmaku = new Chips("danmaku", (value) => change({ danmaku: value === "on" }));
    this.#density = new Chips("density", (density) => change({ density: density as Density }));
    this.#language = new Chips("language", (language) => {
      change({ language });
      words.language = language as Language;
    });
    this.#shortcuts = new Chips("shortcuts", (value) => change({ shortcuts: value === "on" }));
    this.#opacity.addEventListener("input", () => change({ opacity: Number(this.#opacity.value) }));
    this.#name.addEventListener("change", () => change({ name: this.#name.value.trim() }));
    this.#build();
    session.on("transport", () => this.render());
    session.on("state", () => this.render());
    words.render(() => this.render());
  }

  open(): void {
    this.#opacity.value = String(this.#chosen.now.opacity);
    this.#name.value = this.#chosen.now.name;
    this.render();
    this.#sheet.open();
    void this.#askRungs();
  }

  tick(): void {
    if (this.#sheet.isOpen) this.#renderFacts();
  }

  #build(): void {
    const keys = el("ul", "keys", ...KEYS.map((key) => this.#labelled(el("li", ""), key)));
    const opacity = el("label", "line", this.#labelled(el("span", ""), "opacity"), this.#opacity);
    const name = el("label", "line", this.#labelled(el("span", ""), "name"), this.#name);
    this.#sheet.body.append(
      this.#part("quality", this.#quality.node),
      this.#part("transport", this.#transport.node),
      this.#part("danmaku", this.#danmaku.node),
      opacity,
      this.#part("density", this.#density.node),
      name,
      this.#part("language", this.#language.node),
      this.#part("shortcuts", this.#shortcuts.node),
      this.#labelled(el("h3", "part"), "facts"),
      this.#facts,
      el("div", "keys-part", this.#labelled(el("h3", "part"), "keys"), keys),
    );
  }

  #labelled<T extends HTMLElement>(node: T, key: Key): T {
    this.#labels.push({ node, key });
    return node;
  }

  #part(key: Key, chips: HTMLElement): HTMLElement {
    return el("fieldset", "part-of", this.#labelled(el("legend", ""), key), chips);
  }

  async #askRungs(): Promise<void> {
    try {
      this.#rungs = await this.#session.renditions();
    } catch {
      this.#rungs = []; // the server cannot tell just now: what is pinned can still be unpinned
    }
    this.render();
  }

  render(): void {
    const words = this.#words;
    setText(this.#sheet.title, words.say("settings"));
    for (const { node, key } of this.#labels) setText(node, words.say(key));
    this.#renderQuality();
    this.#renderTransport();
    const { danmaku, density, shortcuts } = this.#chosen.now;
    const onOff = [
      { value: "on", text: words.say("danmaku.on") },
      { value: "off", text: words.say("danmaku.off") },
    ];
    this.#danmaku.show(onOff, danmaku ? "on" : "off");
    const densities = (["few", "some", "all"] as const).map((value) => ({ value, text: words.say(`density.${value}`) }));
    this.#density.show(densities, density);
    const languages = [
      { value: "en", text: "English" },
      { value: "zh", text: "中文" },
    ];
    this.#language.show(languages, words.language);
    const switched = (["on", "off"] as const).map((value) => ({ value, text: words.say(`shortcuts.${value}`) }));
    this.#shortcuts.show(switched, shortcuts ? "on" : "off");
    this.#renderFacts();
  }

  #renderQuality(): void {
    const words = this.#words;
    const pinned = this.#session.rendition;
    const text = (name: string): string => (name === SOURCE ? words.say("quality.source") : name);
    const names = this.#rungs.map(({ name }) => name);
    if (pinned !== null && !names.includes(pinned)) names.unshift(pinned);
    const choices = names.map((value) => ({ value, text: text(value) }));
    this.#quality.show([{ value: AUTO, text: words.say("quality.auto") }, ...choices], pinned ?? AUTO);
  }

  #renderTransport(): void {
    const words = this.#words;
    const name = words.say(`name.${this.#session.transport}`);
    const auto = this.#session.transportChoice === "auto" ? words.say("transport.auto.now", { name }) : words.say("transport.auto");
    const choices = (["webrtc", "ws", "http"] as const).map((value) => ({ value, text: words.say(`transport.${value}`) }));
    this.#transport.show([{ value: "auto", text: auto }, ...choices], this.#session.transportChoice);
  }

  #renderFacts(): void {
    const words = this.#words;
    const { width, height, bufferS, dropped, connections } = this.#session.stats;
    const rows: readonly (readonly [Key, string])[] = [
      ["fact.transport", words.say(`name.${this.#session.transport}`)],
      ["fact.picture", width ? `${width}×${height}` : words.say("fact.none")],
      ["fact.delay", words.say("ms", { n: Math.round(bufferS * 1000) })],
      ["fact.dropped", String(dropped)],
      ["fact.reconnects", String(Math.max(0, connections - 1))],
    ];
    if (this.#facts.children.length !== rows.length) {
      this.#facts.replaceChildren(...rows.map(() => el("div", "fact", el("dt", ""), el("dd", ""))));
    }
    rows.forEach(([key, value], index) => {
      const [name, number] = [...(this.#facts.children[index]?.children ?? [])] as HTMLElement[];
      if (name) setText(name, words.say(key));
      if (number) setText(number, value);
    });
  }
}

/** A few choices of which one holds: radio buttons that look like chips, with the arrow keys that those have. */
class Chips {
  readonly node = el("div", "chips");
  readonly #group: string;
  readonly #pick: (value: string) => void;

  constructor(group: string, pick: (value: string) => void) {
    this.#group = group;
    this.#pick = pick;
  }

  show(choices: readonly Choice[], chosen: string): void {
    while (this.node.children.length > choices.length) this.node.lastElementChild?.remove();
    while (this.node.children.length < choices.length) this.node.append(this.#chip());
    choices.forEach(({ value, text }, index) => {
      const [input, face] = [...(this.node.children[index]?.children ?? [])];
      if (input instanceof HTMLInputElement) {
        input.value = value;
        input.checked = value === chosen;
      }
      if (face instanceof HTMLElement) setText(face, text);
    });
  }

  #chip(): HTMLElement {
    const input = el("input", { attributes: { type: "radio", name: this.#group } });
    input.addEventListener("change", () => this.#pick(input.value));
    return el("label", "chip", input, el("span", ""));
  }
}

function slider(): HTMLInputElement {
  const [min, max] = OPACITY;
  return el("input", { attributes: { type: "range", min: String(min), max: String(max), step: "0.05" } });
}
