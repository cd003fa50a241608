// The last picture stays while there is no connection: players leave the element empty when they go.

import type { Session } from "../sdk/types";

/** A player that begins may stop once more for more data; behind a picture nobody sees the canvas. */
const KEEP_FRAMES = 15;

/** Puts `canvas`, which lies behind `video`, in the place of a picture that is gone. */
export function keepLastPicture(session: Session, video: HTMLVideoElement, canvas: HTMLCanvasElement): void {
  let frames = 0;
  session.on("leave", () => {
    if (!video.videoWidth || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.hidden = false;
    frames = 0;
  });
  session.on("frame", () => {
    if (!canvas.hidden && ++frames > KEEP_FRAMES) canvas.hidden = true;
  });
}
