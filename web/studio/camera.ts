// The host's camera and microphone: which there are, and the ones in use.

import type { Say } from "../i18n/studio";

const PICTURE: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
};
const SOUND: MediaTrackConstraints = { channelCount: { ideal: 2 } };

export type Kind = "video" | "audio";
const KINDS: readonly Kind[] = ["video", "audio"];

/** The ids of the devices; any where one is empty. */
export type Choice = Readonly<Record<Kind, string>>;

/** Why something did not open: the name of the browser's error, and what was asked for. */
export interface Trouble {
  readonly name: string;
  readonly kinds: readonly Kind[];
}

/** One camera and one microphone at most: many phones cannot open a second one beside the first. */
export class Devices {
  readonly #onEnded: (kind: Kind) => void;
  #media: MediaStream | null = null;
  /** What was opened last, to go back to. */
  #former: Choice | null = null;
  #newest = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** `onEnded` is called when a device is gone by itself, for instance unplugged. */
  constructor(onEnded: (kind: Kind) => void) {
    this.#onEnded = onEnded;
  }

  get media(): MediaStream | null {
    return this.#media;
  }

  /** Whether there is a picture and a sound to send. */
  get isOpen(): boolean {
    return KINDS.every((kind) => this.#track(kind));
  }

  /** The id of the device that is open; empty for none. */
  used(kind: Kind): string {
    return this.#track(kind)?.getSettings().deviceId ?? "";
  }

  /** Opens what is chosen, after what it takes the place of was let go, or goes back to that and says why. Undefined
   * where a later choice has overtaken this one. */
  open(choice: Choice): Promise<Trouble | null | undefined> {
    const turn = ++this.#newest;
    const isNewest = (): boolean => turn === this.#newest;
    const opened = this.#last.then(() => (isNewest() ? this.#change(choice, isNewest) : undefined));
    this.#last = opened;
    return opened;
  }

  async #change(choice: Choice, isNewest: () => boolean): Promise<Trouble | null | undefined> {
    const kinds = KINDS.filter((kind) => !this.#track(kind) || (choice[kind] && choice[kind] !== this.used(kind)));
    if (kinds.length === 0) return null;
    for (const kind of kinds) this.#track(kind)?.stop();
    let trouble: Trouble | null = null;
    let fresh = await openDevices(choice, kinds).catch((error: unknown) => {
      trouble = { name: nameOf(error), kinds };
      return null;
    });
    if (!fresh && this.#former && isNewest()) fresh = await openDevices(this.#former, kinds).catch(() => null);
    if (!isNewest()) {
      for (const track of fresh?.getTracks() ?? []) track.stop();
      return undefined;
    }
    this.#keep(fresh?.getTracks() ?? []);
    return trouble;
  }

  #keep(fresh: readonly MediaStreamTrack[]): void {
    for (const track of fresh) track.addEventListener("ended", () => this.#onEnded(track.kind as Kind));
    const kept = this.#media?.getTracks().filter(isLive) ?? [];
    this.#media = new MediaStream([...kept, ...fresh]);
    if (this.isOpen) this.#former = { video: this.used("video"), audio: this.used("audio") };
  }

  #track(kind: Kind): MediaStreamTrack | undefined {
    return this.#media?.getTracks().find((track) => track.kind === kind && isLive(track));
  }
}

function isLive(track: MediaStreamTrack): boolean {
  return track.readyState === "live";
}

/** Rejects with the browser's error. */
function openDevices(choice: Choice, kinds: readonly Kind[]): Promise<MediaStream> {
  const constraints = (kind: Kind, wishes: MediaTrackConstraints): MediaTrackConstraints | false =>
    kinds.includes(kind) && (choice[kind] ? { ...wishes, deviceId: { exact: choice[kind] } } : wishes);
  return navigator.mediaDevices.getUserMedia({
    video: constraints("video", PICTURE),
    audio: constraints("audio", SOUND),
  });
}

/** OverconstrainedError is a DOMException in some browsers only. */
function nameOf(error: unknown): string {
  return typeof error === "object" && error !== null && "name" in error ? String(error.name) : String(error);
}

/** What a list shows as open: a device's id, empty for none, null where the list has to stay as it is. */
type Used = () => string | null;

/** Fills a list with the devices of one kind. */
export async function listDevices(list: HTMLSelectElement, kind: Kind, used: Used, say: Say): Promise<void> {
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => null);
  const open = used();
  if (!devices || open === null) return; // browsers do not tell, for instance, while the page is hidden
  const options = devices
    .filter((device) => device.kind === `${kind}input`)
    .map((device, number) => {
      const name = device.label || say(`device.${kind}.number`, { n: number + 1 });
      return new Option(name, device.deviceId, false, device.deviceId === open);
    });
  // Nothing is heard when somebody chooses what is shown as chosen already.
  if (!options.some((option) => option.selected)) options.unshift(new Option(say("device.choose"), "", true, true));
  list.replaceChildren(...options);
}
