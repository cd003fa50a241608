// Which language, and the sentences in it. The page changes its language while it plays, so nothing keeps a sentence.

import { en, type Key } from "./en";
import { chooseLanguage, fill, type Language, LOCALES, type Values } from "./language";
import { zh } from "./zh";

export type { Key };
export { chooseLanguage, type Language, LOCALES, type Values };

export const TABLES: Readonly<Record<Language, Readonly<Record<Key, string>>>> = { en, zh };

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
    return fill(TABLES[this.#language][key], values);
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
