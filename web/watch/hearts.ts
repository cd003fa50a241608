// Likes float up from the button: a bounded number of them, on one canvas.

const MAX = 40;
const LIFE_MS = 2_200;
const COLOURS = ["#ff5c7a", "#ff8a5c", "#ffd166", "#c78bff", "#6cc5ff"] as const;
const SIZE = 28;
const MAX_RATIO = 2;

interface Heart {
  readonly born: number;
  readonly x: number;
  readonly sway: number;
  readonly rise: number;
  readonly scale: number;
  readonly image: HTMLCanvasElement;
}

export class Hearts {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #ratio = Math.min(MAX_RATIO, window.devicePixelRatio || 1);
  readonly #images: readonly HTMLCanvasElement[];
  #hearts: Heart[] = [];
  #request = 0;
  /** Off for those who asked for less motion. */
  enabled = true;

  constructor(canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no 2d canvas");
    this.#canvas = canvas;
    this.#context = context;
    this.#images = COLOURS.map((colour) => heart(colour, SIZE * this.#ratio));
    new ResizeObserver(() => this.#measure()).observe(canvas);
    this.#measure();
  }

  get onScreen(): number {
    return this.#hearts.length;
  }

  /** So many likes; more than can float at once are not drawn. */
  add(count: number): void {
    if (!this.enabled || document.hidden) return;
    const now = performance.now();
    for (let n = Math.min(count, MAX - this.#hearts.length); n > 0; n--) this.#hearts.push(this.#make(now));
    if (this.#hearts.length && !this.#request) this.#ask();
  }

  #make(now: number): Heart {
    const random = Math.random;
    return {
      born: now + random() * 300,
      x: 0.5 + (random() - 0.5) * 0.3,
      sway: (random() - 0.5) * 0.5,
      rise: 0.7 + random() * 0.25,
      scale: 0.7 + random() * 0.5,
      image: this.#images[Math.floor(random() * this.#images.length)] as HTMLCanvasElement,
    };
  }

  #measure(): void {
    this.#canvas.width = Math.round(this.#canvas.clientWidth * this.#ratio);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * this.#ratio);
  }

  #ask(): void {
    this.#request = requestAnimationFrame((now) => this.#paint(now));
  }

  #paint(now: number): void {
    this.#request = 0;
    const { width, height } = this.#canvas;
    const context = this.#context;
    context.clearRect(0, 0, width, height);
    this.#hearts = this.#hearts.filter(({ born }) => now - born < LIFE_MS);
    for (const { born, x, sway, rise, scale, image } of this.#hearts) {
      const age = Math.max(0, (now - born) / LIFE_MS);
      const size = image.width * scale * Math.min(1, 0.3 + age * 6);
      context.globalAlpha = now < born ? 0 : Math.min(1, (1 - age) * 2);
      const left = (x + Math.sin(age * 5) * sway * age) * width - size / 2;
      context.drawImage(image, left, height - size - age * rise * (height - size), size, size);
    }
    context.globalAlpha = 1;
    if (this.#hearts.length) this.#ask();
  }
}

function heart(colour: string, size: number): HTMLCanvasElement {
  const image = document.createElement("canvas");
  image.width = image.height = Math.ceil(size);
  const context = image.getContext("2d");
  if (!context) return image;
  context.scale(size / 24, size / 24);
  context.fillStyle = colour;
  context.fill(new Path2D("M12 21C5 15.4 2 12 2 8.2 2 5.3 4.2 3 7 3c2 0 3.900 1.100 5 2.900C13.100 4.100 15 3 17 3c2.800 0 5 2.300 5 5.200 0 3.800-3 7.200-10 12.800z"));
  return image;
}
