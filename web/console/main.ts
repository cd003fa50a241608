// For operators: every stream, what is wrong with it, who watches, and a way to stop it. For a host: the same of their
// own room, to look at. The key is kept for this tab only.

import { Api, Refused, type Stream, type Viewer } from "./api";
import { ofAction, ofRefresh } from "./trouble";
import { BlockedLine, Card } from "./view";
import { count } from "./words";

const REFRESH_MS = 2_000;
const BLOCK_S = 300;
const STORED = "streamer-console";

interface Entry {
  readonly key: string;
  /** Null for an operator. */
  readonly room: string | null;
}

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

const form = element<HTMLFormElement>("enter");
const keyField = element<HTMLInputElement>("key");
const roomField = element<HTMLInputElement>("room");
const leaveButton = element<HTMLButtonElement>("leave");
const dialog = element<HTMLDialogElement>("confirm");
const blockBox = element<HTMLInputElement>("block");
const list = element("streams");
const blockedList = element("blocked");

const cards = new Map<string, Card>();
const blockedLines = new Map<string, BlockedLine>();
let entry: Entry | null = null;
let api: Api | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
let newest = 0;
/** Why the last action failed: said until the next one. */
let failure = "";

function tell(text: string): void {
  const notice = element("notice");
  if (notice.textContent !== text) notice.textContent = text;
}

function stored(): Entry | null {
  try {
    const found: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    return found && typeof found === "object" && "key" in found ? (found as Entry) : null;
  } catch {
    return null; // storage is off, or holds something else
  }
}

function store(given: Entry | null): void {
  try {
    if (given) sessionStorage.setItem(STORED, JSON.stringify(given));
    else sessionStorage.removeItem(STORED);
  } catch {
    // storage is off: the key is asked for again after a reload
  }
}

function enter(given: Entry): void {
  if (!Api.canSend(given.key)) return leave("The key is not valid.");
  store(given);
  entry = given;
  api = new Api(given.key);
  form.hidden = true;
  leaveButton.hidden = false;
  keyField.value = "";
  tell("");
  refresh();
}

function leave(why = ""): void {
  clearTimeout(timer);
  store(null);
  entry = api = null;
  failure = "";
  cards.clear();
  blockedLines.clear();
  list.replaceChildren();
  blockedList.replaceChildren();
  element("facts").textContent = "";
  form.hidden = false;
  leaveButton.hidden = true;
  tell(why);
  keyField.focus();
}

function refresh(): void {
  clearTimeout(timer);
  const turn = ++newest;
  const asked = api;
  const isNewest = (): boolean => api === asked && turn === newest;
  void load(isNewest)
    .catch((error: unknown) => {
      if (isNewest()) explain(error);
    })
    .finally(() => {
      if (isNewest() && api) timer = setTimeout(refresh, REFRESH_MS);
    });
}

/** An answer that a later question has overtaken is from before what was done meanwhile. */
async function load(isNewest: () => boolean): Promise<void> {
  const asked = api;
  if (!asked || !entry) return;
  const { room } = entry;
  const { streams, blocked } = room
    ? { streams: [await asked.stream(room)], blocked: {} }
    : await asked.streams();
  if (!isNewest()) return;
  tell(failure || (streams.length ? "" : "Nobody is live."));
  showStreams(streams);
  showBlocked(blocked);
  await Promise.all([...cards].map(([name, card]) => showViewers(asked, name, card, isNewest)));
}

function showStreams(streams: readonly Stream[]): void {
  const nowMs = Date.now();
  const viewers = streams.reduce((sum, stream) => sum + stream.viewers, 0);
  element("facts").textContent = `${count(streams.length, "stream")} · ${count(viewers, "viewer")}`;
  const present = new Set(streams.map((stream) => stream.room));
  for (const [name, card] of cards) {
    if (present.has(name)) continue;
    card.root.remove();
    cards.delete(name);
  }
  streams.forEach((stream, index) => {
    const card = cards.get(stream.room) ?? newCard(stream.room);
    card.show(stream, nowMs);
    if (list.children[index] !== card.root) list.insertBefore(card.root, list.children[index] ?? null);
  });
}

function newCard(room: string): Card {
  const asOperator = entry?.room === null;
  const card = new Card(room, { stop: askToStop, close: askToClose, toggled: refresh }, asOperator);
  cards.set(room, card);
  return card;
}

async function showViewers(asked: Api, room: string, card: Card, isNewest: () => boolean): Promise<void> {
  if (!card.showsViewers) return;
  const viewers = await asked.viewers(room).catch((error: unknown) => {
    if (error instanceof Refused && error.status === 404) return null; // it ended between the two questions
    throw error;
  });
  if (viewers && isNewest()) card.showViewers(viewers, Date.now());
}

function showBlocked(blocked: Readonly<Record<string, number>>): void {
  for (const [room, line] of blockedLines) {
    if (room in blocked) continue;
    line.root.remove();
    blockedLines.delete(room);
  }
  for (const [room, seconds] of Object.entries(blocked)) {
    const line = blockedLines.get(room) ?? new BlockedLine(room, (name) => act((now) => now.end(name, 0)));
    line.show(seconds);
    if (blockedLines.has(room)) continue;
    blockedLines.set(room, line);
    blockedList.append(line.root);
  }
}

async function confirmed(question: string, yes: string, canBlock: boolean): Promise<boolean> {
  element("question").textContent = question;
  element("yes").textContent = yes;
  element("block-line").hidden = !canBlock;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return dialog.returnValue === "yes";
}

function askToStop(room: string): void {
  void confirmed(`Stop the broadcast of ${room} for everybody?`, "Stop", true).then((yes) => {
    if (yes) act((now) => now.end(room, blockBox.checked ? BLOCK_S : null));
  });
}

function askToClose(viewer: Viewer): void {
  void confirmed(`Close the viewer at ${viewer.peer}?`, "Close", false).then((yes) => {
    if (yes) act((now) => now.close(viewer.id));
  });
}

function act(action: (now: Api) => Promise<void>): void {
  const asked = api;
  if (!asked) return;
  failure = "";
  void action(asked)
    .catch((error: unknown) => {
      if (api === asked) failure = ofAction(error);
    })
    .finally(() => {
      if (api === asked) refresh();
    });
}

function explain(error: unknown): void {
  const { message, asksForKey } = ofRefresh(error);
  if (asksForKey) return leave(message);
  if (error instanceof Refused && error.status === 404 && entry?.room) showStreams([]);
  tell(message);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  enter({ key: keyField.value.trim(), room: roomField.value.trim() || null });
});
leaveButton.addEventListener("click", () => leave());
const known = stored();
if (known) enter(known);
else keyField.focus();
