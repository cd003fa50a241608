import { describe, expect, it } from "vitest";

import { type Language, Words } from "../../i18n/words";
import { refusal } from "../../sdk/refusal";
import { explain } from "../../watch/refusals";

describe.each(["en", "zh"] as const)("a refusal in %s", (language: Language) => {
  const words = new Words(language);
  const unknown = words.say("refused");

  it.each([10, 11, 12, 13, 14])("of the SDK's own, %d, is not the server's", (code) => {
    expect(explain(refusal(code, language), words)).not.toBe(unknown);
  });

  it("has words of its own for likes, where there are some", () => {
    expect(explain(refusal(1105, language), words, "like")).toBe(words.say("refused.1105.like"));
    expect(explain(refusal(1105, language), words)).toBe(words.say("refused.1105"));
    expect(explain(refusal(1109, language), words, "like")).toBe(words.say("refused.1109"));
  });

  it("is a plain no where the number is not known", () => {
    expect(explain(refusal(9999, language), words)).toBe(unknown);
  });
});
