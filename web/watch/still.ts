// The last picture stays while there is no connection: players leave the element empty when they go.

import type { Session } from "../sdk/types";

/** Puts `canvas`, which lies behind `video`, in the place of a picture that is gone. */
export function keepLastPicture(session: Session, video: HTMLVideoElement, canvas: HTMLCanvasElement): void {
  session.on("leave", () => {
    if (!video.videoWidth || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.hidden = false;
  });
  session.on("frame", () => {
    if (!canvas.hidden) canvas.hidden = true;
  });
}
