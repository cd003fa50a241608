// A line of text is drawn once, outlined so that it can be read on any picture, and then only moved.

export interface Line {
  readonly id: string;
  readonly sender: string;
  readonly text: string;
  readonly color: number;
  readonly mode: "scroll" | "top" | "bottom";
  /** 12 to 64, 25 being the usual. */
  readonly size: number;
  readonly own: boolean;
}

export interface Sprite {
  /** A bitmap: drawn from a canvas, each frame would ask first whether that has changed. */
  readonly image: ImageBitmap;
  /** CSS pixels. */
  readonly width: number;
  readonly height: number;
}

const FAMILY = 'system-ui, "PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif';
const USUAL_SIZE = 25;
/** Larger and smaller ones stay in their lane. */
const SCALES: readonly [number, number] = [0.8, 1.2];
const PADDING = 10;
const OWN = "#ffd166";
const DARK = "rgb(0 0 0 / 85%)";
const LIGHT = "rgb(255 255 255 / 85%)";

let measuring: OffscreenCanvasRenderingContext2D | null = null;

/** `height` of a lane and the longest `width`, in CSS pixels; what is longer ends in an ellipsis. */
export function draw(line: Line, height: number, longest: number, ratio: number): Sprite {
  const scale = Math.min(SCALES[1], Math.max(SCALES[0], line.size / USUAL_SIZE));
  const font = `600 ${Math.round(height * 0.58 * scale)}px ${FAMILY}`;
  const text = fit(line.text, font, longest - 2 * PADDING);
  const width = Math.ceil(measure(text, font) + 2 * PADDING);
  const canvas = new OffscreenCanvas(Math.ceil(width * ratio), Math.ceil(height * ratio));
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser has no 2d canvas");
  context.scale(ratio, ratio);
  if (line.own) frame(context, width, height);
  context.font = font;
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = isDark(line.color) ? LIGHT : DARK;
  context.fillStyle = `#${line.color.toString(16).padStart(6, "0")}`;
  context.strokeText(text, PADDING, height / 2);
  context.fillText(text, PADDING, height / 2);
  return { image: canvas.transferToImageBitmap(), width, height };
}

function measure(text: string, font: string): number {
  measuring ??= new OffscreenCanvas(1, 1).getContext("2d");
  if (!measuring) return 0;
  measuring.font = font;
  return measuring.measureText(text).width;
}

/** Cut between characters as people see them: an emoji of five code points is one. */
function fit(text: string, font: string, longest: number): string {
  if (measure(text, font) <= longest) return text;
  const characters = Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
  let [low, high] = [0, characters.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(`${characters.slice(0, middle).join("")}…`, font) <= longest) low = middle;
    else high = middle - 1;
  }
  return `${characters.slice(0, low).join("")}…`;
}

function frame(context: OffscreenCanvasRenderingContext2D, width: number, height: number): void {
  context.beginPath();
  context.roundRect(1, 2, width - 2, height - 4, height / 2);
  context.fillStyle = "rgb(0 0 0 / 45%)";
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = OWN;
  context.stroke();
}

/** By relative luminance, roughly: whether a light outline reads better. */
export function isDark(color: number): boolean {
  const [red, green, blue] = [color >> 16, (color >> 8) & 255, color & 255];
  return 0.299 * red + 0.587 * green + 0.114 * blue < 70;
}
