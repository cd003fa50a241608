// The ways to the room: a WebSocket, and plain requests where a WebSocket does not get through.

import type { Fields, Since } from "./room_wire";

/** A connection to the room, from `open` to its end. It never comes back by itself: that is `room.ts`'s part. */
export interface Channel {
  open(): void;
  /** Ask for something; the answer is a message of the server's. Rejects with `LinkLost`, never with a refusal. */
  ask(message: Fields): Promise<Fields>;
  close(): void;
}

export interface ChannelListener {
  /** The room was joined: the hello, and when it was asked for (`performance.now()`). */
  onHello(message: Fields, askedAt: number): void;
  /** Any other message that nobody here asked for. */
  onMessage(message: Fields): void;
  /** `code` is the WebSocket's close code, null where there is none; `opened` is whether the way is open at all. */
  onEnd(code: number | null, opened: boolean): void;
}

export interface Joining {
  readonly origin: string;
  readonly room: string;
  readonly token: string | null;
  readonly since: Since | null;
}

/** The connection ended before there was an answer: whether the server acted is not known. */
export class LinkLost extends Error {
  constructor() {
    super("the connection to the room was lost");
    this.name = "LinkLost";
  }
}
