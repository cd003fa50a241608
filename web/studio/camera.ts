// The host's camera and microphone: which there are, and the ones in use.

const PICTURE: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
};
const SOUND: MediaTrackConstraints = { channelCount: { ideal: 2 } };

export interface Choice {
  readonly camera: string;
  readonly microphone: string;
}

/** Opens the chosen devices, or any where the choice is empty. Rejects with the browser's DOMException. */
export function openDevices(choice: Choice): Promise<MediaStream> {
  return navigator.mediaDevices.getUserMedia({
    video: choice.camera ? { ...PICTURE, deviceId: { exact: choice.camera } } : PICTURE,
    audio: choice.microphone ? { ...SOUND, deviceId: { exact: choice.microphone } } : SOUND,
  });
}

/** Fills a list with the devices of one kind; `used` is the one that is open. */
export async function listDevices(list: HTMLSelectElement, kind: MediaDeviceKind, used: string): Promise<void> {
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === kind);
  const options = devices.map((device, number) => {
    const name = device.label || `${kind === "videoinput" ? "Camera" : "Microphone"} ${number + 1}`;
    return new Option(name, device.deviceId, false, device.deviceId === used);
  });
  list.replaceChildren(...options);
}

export function close(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
