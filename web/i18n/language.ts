// Which language a page speaks.

export type Language = "en" | "zh";

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

/** `{name}` in a sentence becomes the value of that name. */
export function fill(sentence: string, values: Values): string {
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
