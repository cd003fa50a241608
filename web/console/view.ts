// What is on the page for one stream. Cards stay while their stream does, so that a click or a focus is never lost to
// a refresh; texts come from peers and are only ever set as text.

import type { Finding, Stream, Track, Viewer, Viewers } from "./api";
import { bitrate, bytes, count, duration, since } from "./words";

export interface Actions {
  stop(room: string): void;
  close(viewer: Viewer): void;
  /** The list of viewers was opened or closed. */
  toggled(): void;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  className = "",
  text = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

export class Card {
  readonly root = make("article", "panel stream");
  readonly #state = make("span", "state");
  readonly #facts = make("p", "quiet");
  readonly #findings = make("ul", "findings");
  readonly #details = make("details");
  readonly #summary = make("summary");
  readonly #body = make("tbody");
  readonly #rows = new Map<string, Row>();
  readonly #more = make("p", "quiet");
  readonly #actions: Actions;
  readonly #asOperator: boolean;

  constructor(room: string, actions: Actions, asOperator: boolean) {
    this.#actions = actions;
    this.#asOperator = asOperator;
    const head = make("div", "head");
    const link = make("a", "", room);
    link.href = `/watch/${encodeURIComponent(room)}`;
    const title = make("h2");
    title.append(link);
    head.append(title, this.#state);
    this.root.append(head, this.#facts, this.#findings);
    if (asOperator) {
      const stop = make("button", "danger", "Stop");
      stop.type = "button";
      stop.setAttribute("aria-label", `Stop ${room}`);
      stop.addEventListener("click", () => actions.stop(room));
      head.append(stop);
      this.#makeViewers();
    }
  }

  get showsViewers(): boolean {
    return this.#details.open;
  }

  show(stream: Stream, nowMs: number): void {
    this.#state.textContent = stream.recording ? `${stream.state} · recording` : stream.state;
    this.#state.dataset["state"] = stream.state;
    this.root.dataset["severity"] = stream.severity ?? "ok";
    const publisher = stream.publisher ? `from ${stream.publisher.peer}` : "publisher gone";
    const media = stream.tracks?.map(describe) ?? [stream.codecs || "no media yet"];
    const facts = [...media, publisher, `on air ${since(stream.started, nowMs)}`];
    if (!this.#asOperator) facts.push(count(stream.viewers, "viewer"));
    this.#facts.textContent = facts.join(" · ");
    this.#summary.textContent = count(stream.viewers, "viewer");
    showFindings(this.#findings, stream.findings);
  }

  showViewers(list: Viewers, nowMs: number): void {
    const present = new Set(list.viewers.map((viewer) => viewer.id));
    for (const [id, row] of this.#rows) {
      if (present.has(id)) continue;
      row.root.remove();
      this.#rows.delete(id);
    }
    for (const viewer of list.viewers) (this.#rows.get(viewer.id) ?? this.#newRow(viewer)).show(viewer, nowMs);
    const hidden = list.total - list.viewers.length;
    this.#more.textContent = hidden ? `and ${hidden} more` : "";
  }

  #makeViewers(): void {
    const table = make("table");
    const head = make("tr");
    for (const title of ["From", "By", "For", "Sent", "Waiting", "Skips", ""]) head.append(make("th", "", title));
    const titles = make("thead");
    titles.append(head);
    table.append(titles, this.#body);
    const frame = make("div", "scroll");
    frame.append(table);
    this.#details.append(this.#summary, frame, this.#more);
    this.#details.addEventListener("toggle", () => this.#actions.toggled());
    this.root.append(this.#details);
  }

  #newRow(viewer: Viewer): Row {
    const row = new Row(viewer, this.#actions);
    this.#rows.set(viewer.id, row);
    this.#body.append(row.root);
    return row;
  }
}

/** A room whose publishers are refused. */
export class BlockedLine {
  readonly root = make("p", "panel line");
  readonly #room: string;
  readonly #text = make("span");

  constructor(room: string, onAllow: (room: string) => void) {
    this.#room = room;
    const allow = make("button", "small", "Allow again");
    allow.type = "button";
    allow.setAttribute("aria-label", `Allow again: ${room}`);
    allow.addEventListener("click", () => onAllow(room));
    this.root.append(this.#text, allow);
  }

  show(seconds: number): void {
    this.#text.textContent = `${this.#room} refuses publishers for ${duration(seconds)}.`;
  }
}

class Row {
  readonly root = make("tr");
  readonly #cells: HTMLElement[];

  constructor(viewer: Viewer, actions: Actions) {
    this.#cells = Array.from({ length: 6 }, () => make("td"));
    const close = make("button", "small", "Close");
    close.type = "button";
    close.setAttribute("aria-label", `Close viewer ${viewer.id}`);
    close.addEventListener("click", () => actions.close(viewer));
    const last = make("td");
    last.append(close);
    this.root.append(...this.#cells, last);
  }

  show(viewer: Viewer, nowMs: number): void {
    const texts = [viewer.peer, viewer.transport, since(viewer.joined, nowMs), bytes(viewer.bytes)];
    texts.push(bytes(viewer.queued_bytes), String(viewer.skips));
    texts.forEach((text, index) => ((this.#cells[index] as HTMLElement).textContent = text));
  }
}

function describe(track: Track): string {
  const parts = [track.codec_string ?? track.codec];
  if (track.width && track.height) parts.push(`${track.width}×${track.height}`);
  if (track.frame_rate) parts.push(`${Number(track.frame_rate.toFixed(2))} fps`);
  if (track.sample_rate) parts.push(`${track.sample_rate / 1000} kHz`);
  if (track.bitrate) parts.push(bitrate(track.bitrate));
  return parts.join(" ");
}

/** New items only where they say something new: a text that somebody selects stays. */
function showFindings(list: HTMLElement, findings: readonly Finding[]): void {
  const items = findings.map((found) => {
    const item = make("li", "", found.text);
    item.dataset["severity"] = found.severity;
    if (found.advice) item.append(" ", make("span", "advice", found.advice));
    return item;
  });
  if (items.map((item) => item.outerHTML).join("") !== list.innerHTML) list.replaceChildren(...items);
}
