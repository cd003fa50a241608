"""What runs in the page of a sync run: the SDK with one video, and a recorder that reads what is displayed."""

from __future__ import annotations

__all__ = ["RECORDER", "START", "WATCH_ARRIVALS"]

RECORDER = """
function recordSync(session, video, { prefix, every }) {
  const COLUMNS = 32, ROWS = 2, BAND = 3, SAMPLES = 5, MIN_CONTRAST = 64, GREY = 0.1;
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true, alpha: false });

  // bench/barcode.py has the layout.
  function readCode() {
    const { videoWidth: width, videoHeight: height } = video;
    if (width < 2 * COLUMNS) return null;
    const cell = width / COLUMNS, band = Math.ceil(BAND * cell);
    if (canvas.width !== width || canvas.height !== band) [canvas.width, canvas.height] = [width, band];
    pen.drawImage(video, 0, height - band, width, band, 0, 0, width, band);
    const { data } = pen.getImageData(0, 0, width, band);
    const means = [];
    for (let row = 0; row < ROWS; row++) {
      for (let column = 0; column < COLUMNS; column++) {
        let sum = 0;
        for (let j = 0; j < SAMPLES; j++) {
          const y = Math.floor(height - (2.5 - row) * cell + (0.25 + 0.125 * j) * cell) - (height - band);
          for (let k = 0; k < SAMPLES; k++) {
            sum += data[4 * (y * width + Math.floor((column + 0.25 + 0.125 * k) * cell)) + 1];
          }
        }
        means.push(sum / SAMPLES ** 2);
      }
    }
    const low = Math.min(...means), high = Math.max(...means), middle = (low + high) / 2;
    if (high - low < MIN_CONTRAST) return null;
    if (means.some((mean) => Math.abs(mean - middle) < GREY * (high - low))) return null;
    const bits = means.map((mean) => (mean > middle ? 1 : 0));
    for (let row = 0; row < ROWS; row++) {
      if (bits[row * COLUMNS] || bits[row * COLUMNS + COLUMNS - 1]) return null;
    }
    return unpack(bits.filter((_, index) => index % COLUMNS !== 0 && index % COLUMNS !== COLUMNS - 1));
  }

  function number(bits, from, count) {
    return bits.slice(from, from + count).reduce((value, bit) => value * 2 + bit, 0);
  }

  function unpack(bits) {
    const host = number(bits, 0, 12), pts = number(bits, 12, 32), crc = number(bits, 44, 16);
    const bytes = [host >> 8, host & 255, pts >>> 24, (pts >>> 16) & 255, (pts >>> 8) & 255, pts & 255];
    return crc16(bytes) === crc ? [host, pts] : null;
  }

  function crc16(bytes) {
    let crc = 0xffff;
    for (const byte of bytes) {
      crc ^= byte << 8;
      for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
    }
    return crc;
  }

  // `performance.now()` and the publisher's clock meet in Unix time; `Date.now()` is cut to whole ms, so that what
  // belongs together is carried over together, to stay as far apart as it is.
  const unixClock = () => {
    const ahead = Date.now() + 0.5 - performance.now();
    return (at) => (at === null ? null : at + ahead);
  };
  const frames = [], events = [], reads = [], refreshes = [];
  let seen = 0, last = null, visibleSince = null;
  document.addEventListener("visibilitychange", () => (visibleSince = performance.now()));

  session.on("frame", (frame) => {
    const code = seen++ % every === 0 ? timed(readCode) : null;
    const unixMs = unixClock();
    const shown = [unixMs(frame.presentedAt), unixMs(frame.expectedDisplayAt), frame.presentedFrames];
    frames.push([frame.t, ...(code ?? [null, null]), ...shown]);
  });

  session.onEvent("*", (event, fired) => {
    if (!event.id.startsWith(prefix)) return;
    const at = performance.now(), unixMs = unixClock();
    const code = timed(readCode);
    events.push({
      id: event.id, kind: event.kind, epoch: event.epoch, t: event.t, code,
      firedMs: unixMs(at), arrivedMs: unixMs(window.syncArrivals?.get(event.id) ?? null),
      frameT: fired.frameT, lateMs: fired.lateMs, by: fired.by, snapshot: fired.snapshot,
      presentedMs: unixMs(fired.presentedAt), displayMs: unixMs(fired.expectedDisplayAt),
      hidden: document.hidden, visibleForMs: visibleSince === null ? null : at - visibleSince,
    });
  });

  /** What WebRTC itself counts, by kind of media; null where there is none. */
  async function received() {
    const peer = (window.syncPeers ?? []).findLast((one) => one.connectionState === "connected");
    if (!peer) return null;
    const found = {};
    for (const report of (await peer.getStats()).values()) {
      if (report.type === "inbound-rtp") found[report.kind] = report;
      if (report.type === "media-playout") found.playout = report;
    }
    return found;
  }

  function timed(read) {
    const begun = performance.now(), result = read();
    reads.push(performance.now() - begun);
    return result;
  }

  function refreshed(at) {
    if (last !== null && refreshes.length < 600) refreshes.push(at - last);
    last = at;
    if (refreshes.length < 600) requestAnimationFrame(refreshed);
  }
  requestAnimationFrame(refreshed);

  return {
    take: () => ({ frames: frames.splice(0), events: events.splice(0), reads: reads.splice(0) }),
    async state() {
      const quality = video.getVideoPlaybackQuality();
      return {
        received: await received(),
        frames: session.stats.frames, stats: { ...session.stats }, state: session.state, transport: session.transport,
        rendition: session.rendition, epoch: session.epoch, nowT: session.nowT, sync: session.sync,
        wallBoundMs: session.wallBoundMs, refreshes: refreshes.slice(), hidden: document.hidden,
        presented: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
      };
    },
  };
}
"""

# Independent of the SDK: when the bytes of an event were in the page for the first time, by whichever socket; and the
# peer connections, for what they count.
WATCH_ARRIVALS = """
(() => {
  const ids = /PREFIX[0-9]+/g, decoder = new TextDecoder("latin1"), arrivals = new Map();
  window.syncArrivals = arrivals;
  window.syncPeers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...rest) {
      super(...rest);
      window.syncPeers.push(this);
    }
  };
  window.WebSocket = class extends WebSocket {
    constructor(...rest) {
      super(...rest);
      this.addEventListener("message", ({ data }) => {
        const at = performance.now();
        const text = typeof data === "string" ? data : data instanceof ArrayBuffer ? decoder.decode(data) : "";
        for (const [id] of text.matchAll(ids)) if (!arrivals.has(id)) arrivals.set(id, at);
      });
    }
  };
})();
"""


START = (
    "async ({ room, options, recording }) => {"
    + RECORDER
    + """
    const { connect } = await import("/web/sdk.js");
    const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true, playsInline: true });
    video.style.width = "100%";
    document.body.replaceChildren(video);
    window.session = connect(room, { video, ...options });
    window.recorder = recordSync(window.session, video, recording);
}"""
)
