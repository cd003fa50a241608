// Telling of each displayed picture.

/** What the browser tells of one picture; the times are `performance.now()`. */
export interface Shown {
  readonly mediaTime: number;
  readonly rtpTimestamp: number | undefined;
  readonly presentedAt: number;
  readonly expectedDisplayAt: number;
  readonly presentedFrames: number;
}

/**
 * Follows one <video> from `start` to `stop`. `onFrame` runs in `requestVideoFrameCallback`: that is in the rendering step
 * of the page's next frame, after the picture went to the compositor. What it changes in the page is on the screen with
 * the picture or one display refresh after it, and never before.
 */
export class FrameWatch {
  readonly #video: HTMLVideoElement;
  readonly #onFrame: (shown: Shown) => void;
  #request = 0;

  constructor(video: HTMLVideoElement, onFrame: (shown: Shown) => void) {
    this.#video = video;
    this.#onFrame = onFrame;
  }

  start(): void {
    this.stop();
    this.#ask();
  }

  stop(): void {
    if (this.#request) this.#video.cancelVideoFrameCallback(this.#request);
    this.#request = 0;
  }

  #ask(): void {
    if (!tellsFrames()) return;
    this.#request = this.#video.requestVideoFrameCallback((_now, metadata) => {
      // Ask first: a listener that throws must not be the last to hear of a picture.
      this.#ask();
      this.#onFrame({
        mediaTime: metadata.mediaTime,
        rtpTimestamp: metadata.rtpTimestamp,
        presentedAt: metadata.presentationTime,
        expectedDisplayAt: metadata.expectedDisplayTime,
        presentedFrames: metadata.presentedFrames,
      });
    });
  }
}

/** Whether this browser tells of each displayed picture. */
export function tellsFrames(): boolean {
  return "requestVideoFrameCallback" in HTMLVideoElement.prototype;
}
