// When a key acts on the whole page.

type Pressed = Pick<KeyboardEvent, "ctrlKey" | "altKey" | "metaKey" | "shiftKey" | "isComposing">;

export interface Around {
  /** The viewer's choice. WCAG 2.2, 2.1.4: who speaks to the computer, or hits keys by accident, turns them off. */
  readonly isOn: boolean;
  /** Something is being typed or chosen. */
  readonly isInField: boolean;
  /** An order, the shelf or the settings lie over the page. */
  readonly isInSheet: boolean;
}

export function isShortcut(pressed: Pressed, { isOn, isInField, isInSheet }: Around): boolean {
  const { ctrlKey, altKey, metaKey, shiftKey, isComposing } = pressed;
  const isPlain = !ctrlKey && !altKey && !metaKey && !shiftKey && !isComposing;
  return isOn && isPlain && !isInField && !isInSheet;
}
