// mpegts.js' own WebSocket loader throws the close code away, and the code says whether and when to come back.

import mpegts from "mpegts.js";

// The package's types call the whole table of names one such name.
const EXCEPTION = mpegts.LoaderErrors.EXCEPTION as unknown as mpegts.LoaderErrors;

export interface LoaderListener {
  onOpen(): void;
  /** A close that nobody here asked for; `opened` is whether the handshake ever succeeded. */
  onClose(code: number, opened: boolean): void;
}

/** A loader class for `config.customLoader`. */
export function webSocketLoader(listener: LoaderListener): mpegts.CustomLoaderConstructor {
  return class WebSocketLoader extends mpegts.BaseLoader {
    // BaseLoader decides by this field whether its bytes go through the stash, which splits them at tag borders.
    override _needStash = true;
    #socket: WebSocket | null = null;
    #received = 0;
    #opened = false;

    constructor() {
      super("websocket-with-close-code");
    }

    override destroy(): void {
      this.abort();
      super.destroy();
    }

    override open(source: { url: string }): void {
      const socket = new WebSocket(source.url);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => this.#begun();
      socket.onmessage = (message) => this.#take(message.data as ArrayBuffer);
      socket.onclose = (event) => this.#ended(event.code);
      this._status = mpegts.LoaderStatus.kConnecting;
      this.#socket = socket;
    }

    override abort(): void {
      const socket = this.#socket;
      this.#socket = null;
      this._status = mpegts.LoaderStatus.kComplete;
      if (!socket) return;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }

    #begun(): void {
      this.#opened = true;
      this._status = mpegts.LoaderStatus.kBuffering;
      listener.onOpen();
    }

    #take(chunk: ArrayBuffer): void {
      const start = this.#received;
      this.#received += chunk.byteLength;
      this.onDataArrival(chunk, start, this.#received);
    }

    #ended(code: number): void {
      this.#socket = null;
      this._status = mpegts.LoaderStatus.kComplete;
      listener.onClose(code, this.#opened);
      if (this.#received > 0) this.onComplete(0, this.#received - 1);
      else this.onError(EXCEPTION, { code, msg: "closed before the first byte" });
    }
  };
}
