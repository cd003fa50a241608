"""A small WHEP server to load: it loops a clip to its viewers from one UDP socket. Keeps no policy and drops nobody.

Run as a program it prints its process id and its port, and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bench.clip import Clip, ClipOptions, make_clip
from bench.opus_clip import PACKET_MS, make_opus
from bench.stamp import STAMP_SIZE, UUID, stamp
from tests.support.offers import view
from tests.support.webrtc_pair import contexts
from wire import sdp, stun
from wire.codecs.h264 import H264Config
from wire.codecs.nal import split_length_prefixed
from wire.errors import WireError
from wire.flv import VIDEO
from wire.flv_video import VideoConfigRecord, VideoFrame, parse_video
from wire.ice import CREDENTIAL_RANDOM_SIZE, host_candidate, local_ufrag_of, make_credentials
from wire.rtp import extensions, h264, rtx
from wire.rtp.history import PacketHistory
from wire.rtp.packet import RtpPacket
from wire.rtp.rtcp import Nack, SenderReport
from wire.sdp import LocalTransport
from wire.stun import Address
from wire.webrtc import Connected, PeerClosed, RtcpReceived, WebRtcPeer

SMALL = ClipOptions(width=320, height=180, bitrate=400_000)
MTU = 1100
EPOCH = "clip"


@dataclass
class Viewer:
    """One peer, its numbering and what it said. `sound` is its payload type and SSRC."""

    peer: WebRtcPeer
    payload_type: int
    rtx_payload_type: int
    ssrc: int
    rtx_ssrc: int
    extension: int
    sound: tuple[int, int] | None
    index: int = 1
    sound_index: int = 1
    rtx_index: int = 1
    octets: int = 0
    history: PacketHistory[RtpPacket] = field(default_factory=PacketHistory)
    said: list[Any] = field(default_factory=list)


@dataclass
class ClipServer:
    """`url` is where to post. What a test sets before a viewer comes: `refuse` with a status, `edit` the answer's
    text, `advertise` another UDP port (a relay's), `absolute` Locations, `redirect` once, `timeline` header, whether
    the `sound` that is promised is sent and, if so, how many milliseconds late, and another `opus` packet for all.

    What it saw: `offers`, `tokens`, `deleted` (session names), `viewers`; `leaving` is called with each that is
    deleted, `reported` with the number of viewers that have sent a report.
    """

    clip: Clip
    refuse: int = 0
    edit: Callable[[str], str] = str
    advertise: int = 0
    absolute: bool = True
    redirect: bool = False
    timeline: bool = True
    sound: bool = True
    sound_late_ms: int = 0
    opus: bytes | None = None
    leaving: Callable[[str, Viewer], None] = lambda _name, _viewer: None
    reported: Callable[[int], None] = lambda _count: None
    http_port: int = 0
    udp_port: int = 0
    offers: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    viewers: dict[str, Viewer] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/whep/clip"

    async def serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._datagrams = _Datagrams(self)
        self._transport, _ = await self.loop.create_datagram_endpoint(
            lambda: self._datagrams, local_addr=("127.0.0.1", 0)
        )
        self.udp_port = self._transport.get_extra_info("sockname")[1]
        app = web.Application()
        app.router.add_post("/whep/clip", self.answer)
        app.router.add_post("/moved", self.answer)
        app.router.add_delete("/session/{name}", self.delete)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.http_port = self._runner.addresses[0][1]
        self._by_address: dict[Address, Viewer] = {}
        self._gop: list[tuple[int, list[bytes]]] = []
        self._origin = int.from_bytes(hashlib.sha256(EPOCH.encode()).digest()[:4], "big")
        self._t = 0
        self._sounds = make_opus(self.clip.length_ms)
        self._sound_number = 0
        self._playing = asyncio.create_task(self._play())
        self._timing = asyncio.create_task(self._keep_time())

    async def close(self) -> None:
        for task in (self._playing, self._timing):
            task.cancel()
        await asyncio.gather(self._playing, self._timing, return_exceptions=True)
        await self._runner.cleanup()
        self._transport.close()

    def die(self) -> None:
        """From any thread: the UDP socket and the HTTP listener vanish without a word."""
        asyncio.run_coroutine_threadsafe(self._die(), self.loop).result()

    def say_goodbye(self) -> None:
        """From any thread: every peer is closed in order."""
        asyncio.run_coroutine_threadsafe(self._say_goodbye(), self.loop).result()

    async def _die(self) -> None:
        self._playing.cancel()
        self._timing.cancel()
        self._transport.abort()
        await self._runner.cleanup()

    async def _say_goodbye(self) -> None:
        for viewer in list(self.viewers.values()):
            viewer.peer.close()
            self._flush(viewer)

    async def answer(self, request: web.Request) -> web.Response:
        self.tokens.add(request.headers.get("Authorization"))
        if self.redirect and request.path != "/moved":
            return web.Response(status=307, headers={"Location": "/moved"})
        if self.refuse:
            return web.Response(status=self.refuse, text="not today")
        offer = await request.text()
        self.offers.append(offer)
        ufrag, text = self._accept(offer)
        base = f"http://127.0.0.1:{self.http_port}" if self.absolute else ""
        headers = {"Location": f"{base}/session/{ufrag.encode().hex()}"}
        if self.timeline:
            headers["Streamer-Timeline"] = f"epoch={EPOCH};rtp={(self._origin + self._t) % (1 << 32)};t={self._t}"
        return web.Response(status=201, text=self.edit(text), content_type="application/sdp", headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        name = bytes.fromhex(request.match_info["name"]).decode()
        self.deleted.append(name)
        if (viewer := self.viewers.pop(name, None)) is not None:
            self.leaving(name, viewer)
            viewer.peer.close()
            self._by_address = {at: other for at, other in self._by_address.items() if other is not viewer}
        return web.Response(status=200)

    def _accept(self, offer: str) -> tuple[str, str]:
        description = sdp.parse(offer)
        accepted = view(description)
        remote = sdp.remote_transport(description, accepted)
        ice = make_credentials(os.urandom(CREDENTIAL_RANDOM_SIZE))
        candidates = (
            host_candidate(Address("127.0.0.1", self.advertise or self.udp_port)),
            host_candidate(Address("127.0.0.1", 9), tcp=True),
        )
        local = LocalTransport(ice=ice, fingerprint=contexts()[0].fingerprint, candidates=candidates)
        answer = sdp.answer(description, accepted, local, session_id="1")
        video = next(section for section in answer.sections if section.kind == "video")
        audio = next((section for section in answer.sections if section.kind == "audio" and section.codecs), None)
        peer = WebRtcPeer(
            contexts()[0],
            local=ice,
            remote_ufrag=remote.ice.ufrag,
            role=remote.role,
            fingerprints=remote.fingerprints,
            now=self.loop.time(),
        )
        self.viewers[ice.ufrag] = Viewer(
            peer,
            video.codecs[0].payload_type,
            video.codecs[1].payload_type,
            video.sources[0][0],
            video.sources[1][0],
            next(e.number for e in video.extensions if e.uri == extensions.ABS_SEND_TIME),
            None if audio is None else (audio.codecs[0].payload_type, audio.sources[0][0]),
        )
        return ice.ufrag, sdp.write(answer)

    def received(self, datagram: bytes, address: Address) -> None:
        viewer = self._by_address.get(address)
        if stun.is_stun(datagram):
            with suppress(WireError):
                viewer = self.viewers.get(local_ufrag_of(stun.parse(datagram)) or "", viewer)
        if viewer is None:
            return
        self._by_address[address] = viewer
        events = viewer.peer.receive_datagram(datagram, address, self.loop.time())
        self._flush(viewer)  # the last flight of the handshake before the first packet, which is nothing without it
        for event in events:
            if isinstance(event, Connected):
                for time_, payloads in self._gop:
                    self._send(viewer, time_, payloads)
            elif isinstance(event, RtcpReceived):
                viewer.said += event.packets
                self.reported(sum(bool(other.said) for other in self.viewers.values()))
                self._repair(viewer, [packet for packet in event.packets if isinstance(packet, Nack)])
            elif isinstance(event, PeerClosed):
                viewer.said.append(event)
        self._flush(viewer)

    def _repair(self, viewer: Viewer, nacks: list[Nack]) -> None:
        for sequence in (sequence for nack in nacks for sequence in nack.lost):
            index = viewer.index - ((viewer.index - sequence) & 0xFFFF)
            packet = viewer.history.get(index)
            if packet is not None:
                number, viewer.rtx_index = viewer.rtx_index, viewer.rtx_index + 1
                again = RtpPacket(
                    viewer.rtx_payload_type,
                    number & 0xFFFF,
                    packet.timestamp,
                    viewer.rtx_ssrc,
                    rtx.wrap_payload(packet.sequence, packet.payload),
                    marker=packet.marker,
                )
                self._send_packet(viewer, again, number)

    async def _play(self) -> None:
        pictures, begun, number = list(_pictures(self.clip)), self.loop.time(), 0
        while True:
            lap, at = divmod(number, len(pictures))
            offset_ms, keyframe, nals = pictures[at]
            at_ms = lap * self.clip.length_ms + offset_ms
            await asyncio.sleep(max(0.0, begun + at_ms / 1000 - self.loop.time()))
            payloads = h264.packetise(_stamped(nals), MTU)
            if keyframe:
                self._gop.clear()
            self._t = at_ms * 90
            rtp_time = (self._origin + self._t) % (1 << 32)
            self._gop.append((rtp_time, payloads))
            for viewer in list(self.viewers.values()):
                self._send(viewer, rtp_time, payloads)
            self._send_sound(at_ms)
            number += 1

    def _send_sound(self, until_ms: int) -> None:
        """What is due with the picture of this time."""
        while self.sound and self._sound_number * PACKET_MS <= until_ms:
            number = self._sound_number
            self._sound_number += 1
            rtp_time = self._origin + 48 * (number * PACKET_MS + self.sound_late_ms) & 0xFFFFFFFF
            for viewer in list(self.viewers.values()):
                if viewer.sound is not None and viewer.peer.connected:
                    payload_type, ssrc = viewer.sound
                    index, viewer.sound_index = viewer.sound_index, viewer.sound_index + 1
                    data = self.opus or self._sounds[number % len(self._sounds)]
                    self._send_packet(viewer, RtpPacket(payload_type, index & 0xFFFF, rtp_time, ssrc, data), index)

    def _send(self, viewer: Viewer, rtp_time: int, payloads: list[bytes]) -> None:
        if not viewer.peer.connected:
            return
        profile, block = extensions.build({viewer.extension: extensions.abs_send_time(self.loop.time())})
        for position, payload in enumerate(payloads):
            packet = RtpPacket(
                viewer.payload_type,
                viewer.index & 0xFFFF,
                rtp_time,
                viewer.ssrc,
                payload,
                marker=position == len(payloads) - 1,
                extension_profile=profile,
                extension=block,
            )
            viewer.history.put(viewer.index, packet)
            self._send_packet(viewer, packet, viewer.index)
            viewer.index += 1
            viewer.octets += len(payload)

    def _send_packet(self, viewer: Viewer, packet: RtpPacket, index: int) -> None:
        if viewer.peer.sender and viewer.peer.remote:
            self._transport.sendto(viewer.peer.sender.protect(packet.to_bytes(), index), viewer.peer.remote[:2])

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            now = self.loop.time()
            for viewer in list(self.viewers.values()):
                if int(now * 50) % 50 == 0 and viewer.octets:
                    viewer.peer.send_rtcp(self._reports(viewer))
                viewer.peer.handle_timeout(now)
                self._flush(viewer)

    def _reports(self, viewer: Viewer) -> list[SenderReport]:
        ntp = int((self._t / 90_000 + 3_900_000_000) * (1 << 32))
        reports = [SenderReport(viewer.ssrc, ntp, self._origin + self._t & 0xFFFFFFFF, viewer.index, 0)]
        if viewer.sound is not None and self.sound:
            sound_time = self._origin + self._t * 48 // 90 & 0xFFFFFFFF
            reports.append(SenderReport(viewer.sound[1], ntp, sound_time, viewer.sound_index, 0))
        return reports

    def _flush(self, viewer: Viewer) -> None:
        for datagram, address in viewer.peer.datagrams_to_send():
            self._transport.sendto(datagram, address[:2])


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: ClipServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._server.received(data, Address(addr[0], addr[1]))


def _pictures(clip: Clip) -> Iterator[tuple[int, bool, list[bytes]]]:
    """(milliseconds, keyframe, NAL units), parameter sets in front of each keyframe."""
    records = [parse_video(tag.body) for tag in clip.head if tag.kind == VIDEO]
    config = H264Config.from_avcc(next(r.record for r in records if isinstance(r, VideoConfigRecord)))[0]
    for tag in clip.tags:
        video = parse_video(tag.body) if tag.kind == VIDEO else None
        if isinstance(video, VideoFrame):
            sets = [*config.sps, *config.pps] if video.keyframe else []
            yield tag.offset_ms, video.keyframe, sets + split_length_prefixed(video.data, 4)


def _stamped(nals: list[bytes]) -> list[bytes]:
    """The picture with the time of sending in its stamp, which ends the payload of the SEI of `bench.stamp`."""
    at = next((k for k, nal in enumerate(nals) if UUID in nal), None)
    if at is None:
        return nals
    sei = nals[at][:19] + stamp(time.monotonic_ns()) + nals[at][19 + STAMP_SIZE :]
    return [*nals[:at], sei, *nals[at + 1 :]]


@contextmanager
def running_clip_server(server: ClipServer) -> Iterator[ClipServer]:
    """The server in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.serve())
    thread = threading.Thread(target=loop.run_forever, name="clip server")
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(server.close())
        loop.close()


async def main() -> None:
    server = ClipServer(make_clip(SMALL))
    await server.serve()
    sys.stdout.write(f"{os.getpid()} {server.http_port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
