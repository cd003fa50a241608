import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { sayer } from "../../i18n/studio";
import { Devices, type Kind, listDevices } from "../../studio/camera";

class Track extends EventTarget {
  readyState = "live";

  constructor(
    readonly kind: Kind,
    readonly id: string,
  ) {
    super();
  }

  getSettings(): MediaTrackSettings {
    return { deviceId: this.id };
  }

  stop(): void {
    this.readyState = "ended";
  }
}

class Stream {
  constructor(readonly tracks: readonly Track[]) {}

  getTracks(): readonly Track[] {
    return this.tracks;
  }
}

type Wish = { readonly deviceId?: { readonly exact: string } } | false;

/** A phone: it refuses a second device of a kind while the first is open. */
class Phone {
  readonly tracks: Track[] = [];
  readonly log: string[] = [];
  readonly broken = new Set<string>();

  async getUserMedia(wishes: Readonly<Record<Kind, Wish>>): Promise<Stream> {
    await new Promise((turn) => setTimeout(turn));
    const fresh = (["video", "audio"] as const).flatMap((kind) => {
      const wish = wishes[kind];
      return wish ? [new Track(kind, wish.deviceId?.exact ?? `any ${kind}`)] : [];
    });
    this.log.push(fresh.map(({ id }) => id).join(" + "));
    const isBusy = fresh.some(({ kind }) => this.open.some((track) => track.kind === kind));
    if (isBusy || fresh.some(({ id }) => this.broken.has(id))) throw new DOMException("no", "NotReadableError");
    this.tracks.push(...fresh);
    return new Stream(fresh);
  }

  get open(): Track[] {
    return this.tracks.filter((track) => track.readyState === "live");
  }

  get names(): string[] {
    return this.open.map(({ id }) => id).sort();
  }
}

describe("camera and microphone", () => {
  let phone: Phone;
  let devices: Devices;
  let ended: Kind[];

  beforeEach(async () => {
    phone = new Phone();
    ended = [];
    vi.stubGlobal("navigator", { mediaDevices: phone });
    vi.stubGlobal("MediaStream", Stream);
    devices = new Devices((kind) => ended.push(kind));
    await devices.open({ video: "", audio: "" });
  });
  afterEach(() => void vi.unstubAllGlobals());

  const choose = (video: string, audio = "any audio") => devices.open({ video, audio });

  it("are opened together, whichever there are", () => {
    expect(phone.names).toEqual(["any audio", "any video"]);
    expect(devices.isOpen).toBe(true);
  });

  it("change one at a time, the former first let go", async () => {
    const sound = devices.media?.getTracks().find(({ kind }) => kind === "audio");
    expect(await choose("back")).toBeNull();
    expect(phone.log).toEqual(["any video + any audio", "back"]);
    expect(devices.media?.getTracks()).toContain(sound);
    expect([devices.used("video"), devices.isOpen]).toEqual(["back", true]);
    expect(await choose("back", "headset")).toBeNull();
    expect(phone.names).toEqual(["back", "headset"]);
  });

  it("go back to the former where the chosen one does not open, and say why", async () => {
    await choose("front");
    phone.broken.add("back");
    expect(await choose("back")).toEqual({ name: "NotReadableError", kinds: ["video"] });
    expect([phone.names, devices.isOpen]).toEqual([["any audio", "front"], true]);
  });

  it("are not ready to be sent where neither opens, and can be tried again", async () => {
    await choose("front");
    phone.broken.add("back").add("front");
    expect((await choose("back"))?.kinds).toEqual(["video"]);
    expect([phone.names, devices.used("video"), devices.isOpen]).toEqual([["any audio"], "", false]);
    phone.broken.clear();
    expect(await choose("")).toBeNull();
    expect(devices.isOpen).toBe(true);
  });

  it("follow the last of quick changes, and leave no other open", async () => {
    const outcomes = await Promise.all([choose("front"), choose("back"), choose("usb")]);
    expect(outcomes).toEqual([undefined, undefined, null]);
    expect([phone.names, devices.used("video")]).toEqual([["any audio", "usb"], "usb"]);
    const first = choose("front");
    await new Promise((turn) => setTimeout(turn));
    expect(await Promise.all([first, choose("usb")])).toEqual([undefined, null]);
    expect([phone.names, devices.used("video")]).toEqual([["any audio", "usb"], "usb"]);
  });

  it("remember the former one over a change that was overtaken", async () => {
    await choose("front");
    phone.broken.add("back");
    const overtaken = choose("usb");
    await Promise.resolve();
    expect(await Promise.all([overtaken, choose("back")])).toEqual([
      undefined,
      { name: "NotReadableError", kinds: ["video"] },
    ]);
    expect(phone.names).toEqual(["any audio", "front"]);
  });

  it("tell when one is gone by itself, and open it again", async () => {
    const [picture] = phone.open;
    picture?.stop();
    picture?.dispatchEvent(new Event("ended"));
    expect([ended, devices.isOpen, devices.used("video")]).toEqual([["video"], false, ""]);
    expect(await choose("any video")).toBeNull();
    expect(devices.isOpen).toBe(true);
  });
});

describe("a list of devices", () => {
  const say = sayer("en");
  let known: { readonly kind: string; readonly deviceId: string; readonly label: string }[] = [];
  let shown: Choosable[] = [];
  const list = { replaceChildren: (...options: Choosable[]) => void (shown = options) } as unknown as HTMLSelectElement;

  class Choosable {
    constructor(
      readonly text: string,
      readonly value: string,
      _default: boolean,
      readonly selected: boolean,
    ) {}
  }

  beforeEach(() => {
    known = ["front", ""].map((label, at) => ({ kind: "videoinput", deviceId: `id ${at}`, label }));
    known.push({ kind: "audioinput", deviceId: "id 2", label: "headset" });
    shown = [];
    vi.stubGlobal("Option", Choosable);
    vi.stubGlobal("navigator", { mediaDevices: { enumerateDevices: async () => known } });
  });
  afterEach(() => void vi.unstubAllGlobals());

  it("names them, and shows which is open", async () => {
    await listDevices(list, "video", () => "id 1", say);
    expect(shown.map(({ text, selected }) => [text, selected])).toEqual([
      ["front", false],
      ["Camera 2", true],
    ]);
  });

  it("shows none as chosen where none is open, so that each can be chosen", async () => {
    await listDevices(list, "video", () => "", say);
    expect(shown.map(({ text, value, selected }) => [text, value, selected])).toEqual([
      ["Choose one", "", true],
      ["front", "id 0", false],
      ["Camera 2", "id 1", false],
    ]);
  });

  it("stays as it is while a choice opens, and where the browser does not tell", async () => {
    await listDevices(list, "video", () => null, say);
    vi.stubGlobal("navigator", { mediaDevices: { enumerateDevices: () => Promise.reject(new Error("hidden")) } });
    await listDevices(list, "video", () => "", say);
    expect(shown).toEqual([]);
  });
});
