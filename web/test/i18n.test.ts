import { describe, expect, it } from "vitest";

import { clock, count, price } from "../i18n/format";
import { chooseLanguage, TABLES, Words } from "../i18n/words";

const holes = (sentence: string): string[] => [...sentence.matchAll(/\{\w+\}/g)].map(String).sort();

describe("the tables", () => {
  it("have the same keys in every language", () => {
    expect(Object.keys(TABLES.zh)).toEqual(Object.keys(TABLES.en));
  });

  it("have the same holes, and nothing empty", () => {
    for (const [key, english] of Object.entries(TABLES.en)) {
      const chinese = TABLES.zh[key as keyof typeof TABLES.zh];
      expect(holes(chinese), key).toEqual(holes(english));
      expect(english.trim() && chinese.trim(), key).not.toBe("");
    }
  });

  it("has both numbers of each plural", () => {
    const keys = Object.keys(TABLES.en);
    const stems = keys.filter((key) => key.endsWith(".one")).map((key) => key.slice(0, -4));
    for (const stem of stems) expect(keys).toContain(`${stem}.other`);
  });
});

describe("the language", () => {
  it.each([
    ["?lang=zh", "en", ["en-GB"], "zh"],
    ["", "zh", ["en-GB"], "zh"],
    ["", null, ["zh-TW", "en"], "zh"],
    ["", null, ["fr-FR", "zh-CN"], "zh"],
    ["?lang=fr", null, ["de"], "en"],
    ["", null, [], "en"],
  ])("of %s, remembered %s, browser %s is %s", (query, remembered, wanted, expected) => {
    expect(chooseLanguage(query, remembered, wanted)).toBe(expected);
  });

  it("changes everything that was rendered", () => {
    const words = new Words("en");
    const shown: string[] = [];
    words.render(() => shown.push(words.say("left", { n: 3 })));
    words.language = "zh";
    expect(shown).toEqual(["3 left", "仅剩 3 件"]);
  });

  it("goes by the number", () => {
    const words = new Words("en");
    expect([words.count("likes", 1), words.count("likes", 1200, "1.2K")]).toEqual(["1 like", "1.2K likes"]);
  });
});

describe("numbers", () => {
  it.each([
    [999, "CNY", "zh-CN", "¥9.99"],
    [999, "CNY", "en", "CN¥9.99"],
    [123_456, "USD", "en", "$1,234.56"],
    [980, "JPY", "en", "¥980"],
    [1_500, "KWD", "en", "KWD 1.500"],
    [250, "coins", "en", "2.5 coins"],
  ])("%d %s in %s is %s", (amount, currency, locale, expected) => {
    expect(price(amount, currency, locale).replace(/\u00a0/g, " ")).toBe(expected);
  });

  it("shortens counts", () => {
    expect([count(999, "en"), count(12_345, "en"), count(12_345, "zh-CN")]).toEqual(["999", "12.3K", "1.2万"]);
  });

  it.each([
    [0, "0:00"],
    [-5, "0:00"],
    [1, "0:01"],
    [59_001, "1:00"],
    [299_000, "4:59"],
    [3_723_000, "1:02:03"],
  ])("%d ms left are %s", (ms, expected) => expect(clock(ms)).toBe(expected));
});
