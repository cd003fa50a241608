// The room by WebSocket, in JSON: a browser reads it faster than anything that would have to be loaded first.

import { roomUrl } from "./addresses";
import { type Channel, type ChannelListener, type Joining, LinkLost } from "./channel";
import { type Fields, readMessage } from "./room_wire";

/** To open, and to be greeted: the store may have to be asked. */
const JOIN_MS = 10_000;
/** An answer that takes longer will not come on this connection. */
const ANSWER_MS = 10_000;
/** How long from one question for the clock to the next: at first, when its best answer is looked for, and later. */
const FIRST_PINGS_MS = [0, 500, 1_000, 1_500];
const PING_MS = 20_000;
/** The server's own pings are not seen here, so silence is told by an answer to ours that does not come. */
const SILENT_MS = 10_000;

interface Asked {
  readonly resolve: (answer: Fields) => void;
  readonly reject: (reason: LinkLost) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class RoomSocket implements Channel {
  readonly #joining: Joining;
  readonly #listener: ChannelListener;
  readonly #asked = new Map<number, Asked>();
  #socket: WebSocket | null = null;
  #opened = false;
  #joined = false;
  #joinedAt = 0;
  #refs = 0;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #nextPing: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(joining: Joining, listener: ChannelListener) {
    this.#joining = joining;
    this.#listener = listener;
  }

  open(): void {
    const { origin, room, token, since } = this.#joining;
    const socket = new WebSocket(roomUrl(origin, room, "/ws"), "json");
    this.#socket = socket;
    this.#deadline = setTimeout(() => this.#end(null), JOIN_MS);
    socket.onopen = () => {
      this.#opened = true;
      this.#joinedAt = performance.now();
      socket.send(JSON.stringify({ type: "join", ...(token ? { token } : {}), ...(since ? { since } : {}) }));
    };
    socket.onmessage = ({ data }) => this.#hear(readMessage(data));
    socket.onclose = ({ code }) => this.#end(code);
  }

  ask(message: Fields): Promise<Fields> {
    const socket = this.#socket;
    if (!this.#joined || socket?.readyState !== WebSocket.OPEN) return Promise.reject(new LinkLost());
    const ref = ++this.#refs;
    socket.send(JSON.stringify({ ...message, ref }));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(ref);
        reject(new LinkLost());
      }, ANSWER_MS);
      this.#asked.set(ref, { resolve, reject, timer });
    });
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    clearTimeout(this.#nextPing);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const { reject, timer } of this.#asked.values()) {
      clearTimeout(timer);
      reject(new LinkLost());
    }
    this.#asked.clear();
  }

  #hear(message: Fields | null): void {
    if (message === null) return;
    const { type, ref } = message;
    if (type === "hello") return this.#greeted(message);
    const asked = typeof ref === "number" ? this.#asked.get(ref) : undefined;
    if (asked) {
      this.#asked.delete(ref as number);
      clearTimeout(asked.timer);
      asked.resolve(message);
      return;
    }
    this.#listener.onMessage(message);
  }

  #greeted(message: Fields): void {
    clearTimeout(this.#deadline);
    this.#joined = true;
    this.#listener.onHello(message, this.#joinedAt);
    this.#pingLater(0);
  }

  /** One chain from the hello on; `pings` are behind it. */
  #pingLater(pings: number): void {
    clearTimeout(this.#nextPing);
    if (this.#socket === null) return; // a listener has closed it
    this.#nextPing = setTimeout(() => {
      this.#ping();
      this.#pingLater(pings + 1);
    }, FIRST_PINGS_MS[pings] ?? PING_MS);
  }

  #ping(): void {
    const askedAt = performance.now();
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#end(null), SILENT_MS);
    this.ask({ type: "ping" }).then(
      (answer) => {
        clearTimeout(this.#silence);
        this.#listener.onMessage({ ...answer, asked_at: askedAt });
      },
      () => undefined, // the end of the connection tells it
    );
  }

  #end(code: number | null): void {
    if (this.#socket === null) return;
    this.close();
    this.#listener.onEnd(code, this.#opened);
  }
}

/** Whether a WebSocket to the room opens at all. */
export function opensSocket(origin: string, room: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new WebSocket(roomUrl(origin, room, "/ws"), "json");
    const done = (opens: boolean): void => {
      clearTimeout(timer);
      socket.onopen = socket.onclose = null;
      socket.close();
      resolve(opens);
    };
    const timer = setTimeout(() => done(false), JOIN_MS);
    socket.onopen = () => done(true);
    socket.onclose = () => done(false);
  });
}
