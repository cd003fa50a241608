import { Awake } from "./awake";
import { Devices, listDevices } from "./camera";
import { Publisher, type State, type Stats } from "./publisher";
import { bitrate, explainCamera, explainEnded, explainNoCameras } from "./words";

declare global {
  interface Window {
    /** For tests and for the console: how the publication is doing. */
    studio: { readonly state: State; readonly stats: Stats };
  }
}

const FACTS_INTERVAL_MS = 500;

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

const preview = element<HTMLVideoElement>("preview");
const message = element("message");
const goButton = element<HTMLButtonElement>("go");
const keyField = element<HTMLInputElement>("key");
const camera = element<HTMLSelectElement>("camera");
const microphone = element<HTMLSelectElement>("microphone");
const awake = new Awake();

const devices = new Devices((kind) => {
  tell(explainEnded(kind));
  list();
});
/** How many choices of devices wait to be opened. */
let opening = 0;

function tell(text: string): void {
  if (message.textContent !== text) message.textContent = text;
}

/** The room of a page address /studio/ROOM; null when it names none. */
function roomOf(path: string): string | null {
  const match = /^\/studio\/([^/]+)\/?$/.exec(path);
  try {
    return match?.[1] ? decodeURIComponent(match[1]) : null;
  } catch {
    return null; // not valid percent-encoding
  }
}

function list(): void {
  if (opening > 0) return; // the lists hold a choice that is still to be opened
  void listDevices(camera, "video", () => devices.used("video"));
  void listDevices(microphone, "audio", () => devices.used("audio"));
}

/** Opens what is chosen and shows it. */
async function open(publisher: Publisher): Promise<void> {
  if (!navigator.mediaDevices) return tell(explainNoCameras(location.hostname, isSecureContext));
  opening++;
  showButton(publisher.state);
  const trouble = await devices.open({ video: camera.value, audio: microphone.value });
  opening--;
  showButton(publisher.state);
  if (trouble === undefined) return; // a later choice comes
  preview.srcObject = devices.media;
  if (devices.media && devices.isOpen) publisher.replace(devices.media);
  if (trouble) tell(explainCamera(trouble));
  else if (publisher.state !== "connecting") tell("");
  list();
}

function recall(name: string): string {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return ""; // storage is off
  }
}

function remember(name: string, value: string): void {
  try {
    sessionStorage.setItem(name, value);
  } catch {
    // storage is off: the key is asked for again
  }
}

function showButton(state: State): void {
  goButton.textContent = state === "off" ? "Go live" : "Stop";
  goButton.disabled = state === "off" && opening > 0;
}

function show(state: State, text: string): void {
  tell(text);
  element("live").textContent = state === "live" ? "Live" : "";
  showButton(state);
  keyField.disabled = state !== "off";
  awake.want(state !== "off");
}

function showFacts(publisher: Publisher): void {
  const { fps, width, height, rttMs, bitrate: sent } = publisher.stats;
  const states: Readonly<Record<State, string>> = { off: "Not live", connecting: "Connecting", live: "Live" };
  const picture = width ? ` · ${width}×${height} · ${Math.round(fps)} fps` : "";
  const path = publisher.state === "live" ? ` · ${bitrate(sent)} · ${rttMs} ms round trip` : "";
  element("facts").textContent = `${states[publisher.state]}${picture}${path}`;
}

function start(room: string): void {
  document.title = `${room} · Studio · Streamer`;
  element("room").textContent = room;
  element<HTMLAnchorElement>("watch").href = `/watch/${encodeURIComponent(room)}`;
  const remembered = `streamer-key:${room}`;
  keyField.value = recall(remembered);
  const publisher = new Publisher(room, show);
  window.studio = {
    get state() {
      return publisher.state;
    },
    get stats() {
      return publisher.stats;
    },
  };
  const toggle = (): void => {
    remember(remembered, keyField.value);
    if (publisher.state !== "off") publisher.stop();
    else if (devices.media && devices.isOpen) publisher.start(devices.media, keyField.value.trim());
    else void open(publisher);
  };
  goButton.addEventListener("click", toggle);
  element("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    if (publisher.state === "off" && !goButton.disabled) toggle();
  });
  for (const choice of [camera, microphone]) choice.addEventListener("change", () => void open(publisher));
  navigator.mediaDevices?.addEventListener("devicechange", list);
  setInterval(() => showFacts(publisher), FACTS_INTERVAL_MS);
  void open(publisher);
}

const room = roomOf(location.pathname);
if (room) start(room);
else tell("This address names no room.");
