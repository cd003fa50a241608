// Building blocks. Text from outside reaches the page as text nodes only, never as markup.

import type { Key, Words } from "../i18n/words";

type Listeners = { readonly [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };

interface Parts {
  readonly class?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly on?: Listeners;
}

export type Child = Node | string | null;

/** An element with its class, attributes, listeners and children; null children are left out. */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  parts: Parts | string,
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  const { class: name, attributes = {}, on = {} } = typeof parts === "string" ? { class: parts } : parts;
  if (name) made.className = name;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  for (const [event, react] of Object.entries(on)) made.addEventListener(event, react as EventListener);
  made.append(...children.filter((child): child is Node | string => child !== null));
  return made;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** Only what differs is written: a live region speaks when its text is set, even to the same. */
export function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** A button whose face is a picture says what it does to those who cannot see it, and to those who point at it. */
export function label(node: HTMLElement, text: string): void {
  if (node.getAttribute("aria-label") !== text) node.setAttribute("aria-label", text);
  if (node instanceof HTMLButtonElement && node.title !== text) node.title = text;
}

/** Fills every element that names its sentence. */
export function fillWords(words: Words): void {
  for (const node of document.querySelectorAll<HTMLElement>("[data-word]")) {
    setText(node, words.say(node.dataset["word"] as Key));
  }
  for (const node of document.querySelectorAll<HTMLElement>("[data-label]")) {
    label(node, words.say(node.dataset["label"] as Key));
  }
}

const SHAPES = {
  play: "M8 5.500v13a.5.5 0 0 0 .8.4l10-6.500a.5.5 0 0 0 0-.8l-10-6.500a.5.5 0 0 0-.8.4z",
  pause: "M7 5h3.500v14H7zM13.500 5H17v14h-3.500z",
  sound: "M4 9v6h4l5 4V5L8 9zM16 8.500a5 5 0 0 1 0 7M18.500 6a8.500 8.500 0 0 1 0 12",
  silent: "M4 9v6h4l5 4V5L8 9zM16.500 9.500l5 5M21.500 9.500l-5 5",
  danmaku: "M4 5h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1h-8l-4 3.500V17H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM7 9.500h7M10 13h7",
  bare: "M4 5h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1h-8l-4 3.500V17H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM3 21L21 3",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  small: "M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5",
  bag: "M5 8h14l-1 12H6zM9 8V7a3 3 0 0 1 6 0v1",
  send: "M4 12l16-7-5 15-3.500-6.500z",
  heart: "M12 20C5.500 14.800 3 11.800 3 8.500 3 6 5 4 7.500 4 9.300 4 11 5 12 6.600 13 5 14.700 4 16.500 4 19 4 21 6 21 8.500c0 3.300-2.500 6.300-9 11.500z",
  close: "M6 6l12 12M18 6L6 18",
  tick: "M5 12.500l4.500 4.500L19 7.500",
  cross: "M7 7l10 10M17 7L7 17",
} as const;

export type Shape = keyof typeof SHAPES;

const SVG = "http://www.w3.org/2000/svg";
const SOLID: ReadonlySet<Shape> = new Set(["play", "pause", "heart"]);

export function icon(shape: Shape): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  if (SOLID.has(shape)) svg.classList.add("solid");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[shape]);
  svg.append(path);
  return svg;
}

/** Shows another picture on a button; `text` is what it does. */
export function face(button: HTMLButtonElement, shape: Shape, text: string): void {
  if (button.dataset["shape"] !== shape) {
    button.dataset["shape"] = shape;
    button.querySelector(".icon")?.remove();
    button.prepend(icon(shape));
  }
  label(button, text);
}
