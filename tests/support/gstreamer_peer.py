"""GStreamer's webrtcbin as a WHEP viewer or a WHIP host. A program of its own for Debian's Python, which has `gi`.

    gstreamer_peer.py view URL FOLDER             # every tenth picture goes into FOLDER as grey bytes
    gstreamer_peer.py host URL VIDEO WIDTH HEIGHT FPS SOUND   # raw I420 pictures, and a WAV file

It says what happens in lines of JSON on its output, and ends when its input does, with a DELETE.
"""

import json
import os
import sys
import threading
import urllib.error
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

KEEP_EVERY = 10
"""One picture of so many is kept."""
VIEWED = {
    "video": (
        "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,packetization-mode=(string)1,"
        "profile-level-id=(string)42e01f,rtcp-fb-nack=(boolean)true,rtcp-fb-nack-pli=(boolean)true"
    ),
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
}
SINKS = {
    "video": "rtph264depay ! h264parse ! openh264dec ! videoconvert ! video/x-raw,format=GRAY8",
    "audio": "rtpopusdepay ! opusdec ! audioconvert ! audio/x-raw,format=S16LE,channels=1",
}
HOSTED = """
webrtcbin name=peer bundle-policy=max-bundle
filesrc location={video} ! rawvideoparse format=i420 width={width} height={height} framerate={fps}/1
  ! identity sync=true ! queue ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate=400
  ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency mtu=1200
  ! application/x-rtp,media=video,encoding-name=H264,payload=96 ! peer.
filesrc location={sound} ! wavparse ! identity sync=true ! queue ! audioconvert ! audioresample
  ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay
  ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.
"""


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


class Peer:
    """One webrtcbin and its session. `run` blocks until the input ends or something fails."""

    def __init__(self, url, pipeline, webrtc):
        self.url = url
        self.session = None
        self.pipeline = pipeline
        self.webrtc = webrtc
        self.loop = GLib.MainLoop()
        self.failed = False
        # libnice leaves loopback out unless it is told to use it. The agent is kept: without this it would be gone.
        self.agent = self.webrtc.get_property("ice-agent")
        self.agent.emit("add-local-ip-address", "127.0.0.1")
        for state in ("connection-state", "ice-connection-state"):
            self.webrtc.connect(f"notify::{state}", self.on_state)
        self.webrtc.connect("notify::ice-gathering-state", self.on_gathering)
        self.webrtc.connect("on-negotiation-needed", self.on_negotiation_needed)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)
        bus.connect("message::eos", lambda _bus, _message: say(event="end of stream"))

    def run(self):
        threading.Thread(target=self.wait_for_end, daemon=True).start()
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        if self.session is not None:
            request = urllib.request.Request(self.session, method="DELETE")
            with urllib.request.urlopen(request, timeout=10) as response:
                say(event="deleted", status=response.status)
        return 1 if self.failed else 0

    def wait_for_end(self):
        sys.stdin.read()
        GLib.idle_add(self.loop.quit)

    def fail(self, sentence):
        self.failed = True
        say(event="failed", reason=sentence)
        GLib.idle_add(self.loop.quit)

    def on_error(self, _bus, message):
        error, details = message.parse_error()
        self.fail(f"{error.message}: {details}")

    def on_state(self, webrtc, spec):
        say(event=spec.name, state=webrtc.get_property(spec.name).value_nick)

    def on_negotiation_needed(self, webrtc):
        webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer, None))

    def on_offer(self, promise, _):
        self.reply = promise.get_reply()  # it owns the offer
        self.webrtc.emit("set-local-description", self.reply.get_value("offer"), Gst.Promise.new())

    def on_gathering(self, webrtc, spec):
        """No trickling: the offer goes out when all candidates are in it."""
        if webrtc.get_property(spec.name) == GstWebRTC.WebRTCICEGatheringState.COMPLETE and self.session is None:
            threading.Thread(target=self.post, daemon=True).start()

    def post(self):
        offer = self.webrtc.get_property("local-description").sdp.as_text()
        say(event="offer", sdp=offer)
        request = urllib.request.Request(self.url, offer.encode(), {"Content-Type": "application/sdp"})
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                self.session = urljoin(self.url, response.headers["Location"])
                answer = response.read().decode()
        except urllib.error.HTTPError as error:
            self.fail(f"{error.code} {error.read().decode()}")
            return
        say(event="answer", sdp=answer)
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.webrtc.emit("set-remote-description", description, Gst.Promise.new())


class Viewer(Peer):
    """Receives both kinds, decodes them and says what comes."""

    def __init__(self, url, folder):
        pipeline = Gst.Pipeline.new()
        webrtc = Gst.ElementFactory.make("webrtcbin", "peer")
        webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        pipeline.add(webrtc)
        super().__init__(url, pipeline, webrtc)
        self.folder = folder
        self.pictures = 0
        webrtc.connect("pad-added", self.on_pad)
        receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        for caps in VIEWED.values():
            webrtc.emit("add-transceiver", receive, Gst.Caps.from_string(caps))

    def on_pad(self, _webrtc, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        # sync=false: what has arrived is wanted, not a show in real time
        sink = Gst.parse_bin_from_description(f"{SINKS[kind]} ! appsink name={kind} emit-signals=true sync=false", True)
        sink.get_by_name(kind).connect("new-sample", getattr(self, f"on_{kind}"))
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def on_video(self, sink):
        sample = sink.emit("pull-sample")
        shape = sample.get_caps().get_structure(0)
        width, height = shape.get_value("width"), shape.get_value("height")
        if self.pictures % KEEP_EVERY == 0:
            path = os.path.join(self.folder, f"{self.pictures}.grey")
            data = self.bytes_of(sample)
            stride = len(data) // height
            with open(path, "wb") as file:
                file.write(b"".join(data[y * stride : y * stride + width] for y in range(height)))
            say(event="picture", number=self.pictures, width=width, height=height, path=path)
        self.pictures += 1
        return Gst.FlowReturn.OK

    def on_audio(self, sink):
        samples = memoryview(self.bytes_of(sink.emit("pull-sample"))).cast("h")
        say(event="sound", samples=len(samples), peak=max(map(abs, samples), default=0))
        return Gst.FlowReturn.OK

    @staticmethod
    def bytes_of(sample):
        buffer = sample.get_buffer()
        return buffer.extract_dup(0, buffer.get_size())


def host(url, *show):
    names = ("video", "width", "height", "fps", "sound")
    pipeline = Gst.parse_launch(HOSTED.format(**dict(zip(names, show, strict=True))))
    return Peer(url, pipeline, pipeline.get_by_name("peer"))


def main():
    Gst.init(None)
    kind, *arguments = sys.argv[1:]
    return (Viewer if kind == "view" else host)(*arguments).run()


if __name__ == "__main__":
    sys.exit(main())
