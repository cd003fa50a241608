import { describe, expect, it } from "vitest";

import { read } from "../../watch/preferences";
import { isShortcut } from "../../watch/shortcuts";

const plain = { ctrlKey: false, altKey: false, metaKey: false, shiftKey: false, isComposing: false };
const page = { isOn: true, isInField: false, isInSheet: false };

describe("a key", () => {
  it("acts on the page", () => expect(isShortcut(plain, page)).toBe(true));

  it.each([{ ctrlKey: true }, { altKey: true }, { metaKey: true }, { shiftKey: true }, { isComposing: true }])(
    "does not with %o",
    (held) => expect(isShortcut({ ...plain, ...held }, page)).toBe(false),
  );

  it.each([{ isOn: false }, { isInField: true }, { isInSheet: true }])("does not where %o", (around) => {
    expect(isShortcut(plain, { ...page, ...around })).toBe(false);
  });
});

describe("the choice of keys", () => {
  it.each([
    [null, true],
    ["{}", true],
    ['{"shortcuts": 0}', true],
    ['{"shortcuts": false}', false],
    ['{"shortcuts": true}', true],
  ])("kept as %s is %s", (text, expected) => expect(read(text).shortcuts).toBe(expected));

  it("leaves the others as they were", () => {
    expect(read('{"shortcuts": false, "name": "Ann"}')).toMatchObject({ name: "Ann", danmaku: true });
  });
});
