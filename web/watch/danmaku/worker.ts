// The painter in a thread of its own.

import { type Order, Painter } from "./painter";

const COUNT_MS = 200;

let painter: Painter | null = null;

addEventListener("message", ({ data }: MessageEvent<OffscreenCanvas | Order>) => {
  if (data instanceof OffscreenCanvas) {
    painter = new Painter(data);
    setInterval(() => postMessage(painter?.counts), COUNT_MS);
  } else painter?.obey(data);
});
