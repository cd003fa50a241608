import { connect } from "../sdk";
import type { Session, Stats, Transport } from "../sdk";
import { roomOf, transportOf } from "./room";
import { explain } from "./words";

declare global {
  interface Window {
    /** For tests and for the console: where the player is, and how it is doing. */
    streamer: {
      readonly nowMs: number | null;
      readonly epoch: string | null;
      readonly transport: Transport;
      readonly stats: Stats;
    };
  }
}

const FACTS_INTERVAL_MS = 500;

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

const video = element<HTMLVideoElement>("video");
const message = element("message");
const unmute = element<HTMLButtonElement>("unmute");
const playButton = element<HTMLButtonElement>("play");
const soundButton = element<HTMLButtonElement>("sound");
const stage = element("stage");

function tell(text: string): void {
  if (message.textContent !== text) message.textContent = text;
}

function setSound(on: boolean): void {
  video.muted = !on;
  if (on && video.volume === 0) video.volume = 1;
}

function togglePlay(): void {
  if (video.paused) void video.play();
  else video.pause();
}

function toggleFull(): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else if (stage.requestFullscreen) void stage.requestFullscreen();
}

function showControls(): void {
  unmute.hidden = !video.muted || video.paused;
  soundButton.textContent = video.muted ? "Sound on" : "Sound off";
  soundButton.setAttribute("aria-pressed", String(!video.muted));
  playButton.textContent = video.paused ? "Play" : "Pause";
}

const NAMES: Readonly<Record<Transport, string>> = { ws: "WebSocket", http: "HTTP", webrtc: "WebRTC" };

function showFacts(session: Session): void {
  const { bufferS, width, height, dropped } = session.stats;
  const via = NAMES[session.transport];
  const picture = width ? `${width}×${height}` : "no picture";
  const lost = dropped ? ` · ${dropped} frames dropped` : "";
  element("facts").textContent = `${via} · ${picture} · ${Math.round(bufferS * 1000)} ms buffered${lost}`;
}

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const onButton = event.target instanceof HTMLButtonElement;
  const act: Record<string, () => void> = { m: () => setSound(video.muted), f: toggleFull };
  // A focused button takes the space bar for itself.
  if (!onButton) act[" "] = togglePlay;
  const chosen = act[event.key.toLowerCase()];
  if (!chosen) return;
  event.preventDefault();
  chosen();
}

function wire(): void {
  unmute.addEventListener("click", () => setSound(true));
  soundButton.addEventListener("click", () => setSound(video.muted));
  playButton.addEventListener("click", togglePlay);
  element("full").addEventListener("click", toggleFull);
  document.addEventListener("keydown", onKey);
  for (const name of ["volumechange", "play", "pause"]) video.addEventListener(name, showControls);
  showControls();
}

function start(room: string): void {
  document.title = `${room} · Streamer`;
  element("room").textContent = room;
  wire();
  // It shows nothing of the room yet, so it does not join it.
  const session = connect(room, { video, transport: transportOf(location.search), room: false });
  session.on("state", ({ media }) => tell(explain(media)));
  window.streamer = session;
  tell("Connecting.");
  setInterval(() => showFacts(session), FACTS_INTERVAL_MS);
}

const room = roomOf(location.pathname);
if (room) start(room);
else tell("This address names no room.");
