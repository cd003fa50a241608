// Which language, and the sentences in it. The page changes its language while it plays, so nothing keeps a sentence.

import { en, type Key } from "./en";
import { zh } from "./zh";

export type { Key };
export type Language = "en" | "zh";

export const TABLES: Readonly<Record<Language, Readonly<Record<Key, string>>>> = { en, zh };
/** For `lang` attributes and Intl. */
export const LOCALES: Readonly<Record<Language, string>> = { en: "en", zh: "zh-CN" };

/** The language to begin with: the address, what was chosen before, what the browser asks for, English. */
export function chooseLanguage(query: string, remembered: string | null, wanted: readonly string[]): Language {
  for (const tag of [new URLSearchParams(query).get("lang"), remembered, ...wanted]) {
    const language = tag?.toLowerCase().split(/[-_]/)[0];
    if (language === "en" || language === "zh") return language;
  }
  return "en";
}

export type Values = Readonly<Record<string, string | number>>;

export class Words {
  #language: Language;
  readonly #changed: (() => void)[] = [];

  constructor(language: Language) {
    this.#language = language;
  }

  get language(): Language {
    return this.#language;
  }

  get locale(): string {
    return LOCALES[this.#language];
  }

  set language(language: Language) {
    this.#language = language;
    for (const tell of this.#changed) tell();
  }

  /** Calls `render` now, and again when the language changes. */
  render(render: () => void): void {
    this.#changed.push(render);
    render();
  }

  say(key: Key, values: Values = {}): string {
    return TABLES[this.#language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  }

  /** The sentence for a number: `key` has `.one` and `.other`; `shown` is how the number is written. */
  count(key: Plural, n: number, shown: string = String(n)): string {
    const one = new Intl.PluralRules(this.locale).select(n) === "one";
    return this.say(`${key}.${one ? "one" : "other"}`, { n: shown });
  }

  has(key: string): key is Key {
    return key in TABLES[this.#language];
  }
}

type Plural = Key extends infer Each ? (Each extends `${infer Stem}.one` ? Stem : never) : never;
