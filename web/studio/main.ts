import { chooseLanguage, LOCALES } from "../i18n/language";
import { sayer, type StudioKey } from "../i18n/studio";
import { Awake } from "./awake";
import { Devices, type Kind, listDevices } from "./camera";
import { Publisher, type State, type Stats } from "./publisher";
import { bitrate, explainCamera, explainEnded, explainNoCameras, type Sentence } from "./words";

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

const language = chooseLanguage(location.search, null, navigator.languages);
const say = sayer(language);
const preview = element<HTMLVideoElement>("preview");
const message = element("message");
const goButton = element<HTMLButtonElement>("go");
const keyField = element<HTMLInputElement>("key");
const camera = element<HTMLSelectElement>("camera");
const microphone = element<HTMLSelectElement>("microphone");
const awake = new Awake();

const devices = new Devices((kind) => {
  tell(explainEnded(say, kind));
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
  // While something opens, the lists hold a choice that nothing else remembers.
  const used = (kind: Kind) => (): string | null => (opening > 0 ? null : devices.used(kind));
  void listDevices(camera, "video", used("video"), say);
  void listDevices(microphone, "audio", used("audio"), say);
}

/** Opens what is chosen and shows it. */
async function open(publisher: Publisher): Promise<void> {
  if (!navigator.mediaDevices) return tell(explainNoCameras(say, location.hostname, isSecureContext));
  opening++;
  showButton(publisher.state);
  const trouble = await devices.open({ video: camera.value, audio: microphone.value });
  opening--;
  showButton(publisher.state);
  if (trouble === undefined) return; // a later choice comes
  preview.srcObject = devices.media;
  if (devices.media && devices.isOpen) publisher.replace(devices.media);
  if (trouble) tell(explainCamera(say, trouble));
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
  goButton.textContent = say(state === "off" ? "go" : "stop");
  goButton.disabled = state === "off" && opening > 0;
}

function show(state: State, says: Sentence | null): void {
  tell(says ? say(...says) : "");
  element("live").textContent = state === "live" ? say("state.live") : "";
  showButton(state);
  keyField.disabled = state !== "off";
  awake.want(state !== "off");
}

function showFacts(publisher: Publisher): void {
  const { fps, width, height, rttMs, bitrate: sent } = publisher.stats;
  const facts = [say(`state.${publisher.state}`)];
  if (width) facts.push(`${width}×${height}`, say("fact.fps", { n: Math.round(fps) }));
  if (publisher.state === "live") facts.push(bitrate(sent), say("fact.rtt", { ms: rttMs }));
  element("facts").textContent = facts.join(" · ");
}

/** Fills every element that names its sentence. */
function fillWords(): void {
  document.documentElement.lang = LOCALES[language];
  for (const node of document.querySelectorAll<HTMLElement>("[data-word]")) {
    node.textContent = say(node.dataset["word"] as StudioKey);
  }
  preview.setAttribute("aria-label", say("picture"));
  keyField.placeholder = say("key.hint");
}

function start(room: string): void {
  document.title = say("title", { room });
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

fillWords();
const room = roomOf(location.pathname);
if (room) start(room);
else tell(say("no-room"));
