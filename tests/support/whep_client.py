"""A small WHEP viewer: one of our own peers as the caller, over UDP or ICE-TCP."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.offers import text
from tests.support.webrtc_pair import CALLER, contexts
from tests.support.whep_node import ask, post
from wire import sdp, stun
from wire.dtls import DtlsRole
from wire.ice import IceCredentials
from wire.ice_tcp import FrameReader, frame
from wire.rtp import rtcp
from wire.rtp.packet import RtpPacket
from wire.stun import Address
from wire.webrtc import PeerClosed, RtcpReceived, RtpReceived, WebRtcPeer

CHECK_INTERVAL = 0.05
PATIENCE = 10.0


def own_offer() -> str:
    """Chromium's, with our credentials and fingerprint in it."""
    own = {"ice-ufrag": CALLER.ufrag, "ice-pwd": CALLER.password, "fingerprint": contexts()[1].fingerprint}
    offer = text("chromium-viewer")
    for name, value in own.items():
        offer = re.sub(rf"a={name}:[^\r\n]*", f"a={name}:{value}", offer)
    return offer


class WhepClient(asyncio.DatagramProtocol, asyncio.Protocol):
    """`packets` are the RTP packets so far, `reports` the RTCP."""

    def __init__(self, server: IceCredentials, port: int, *, tcp: bool) -> None:
        self.server = server
        self.own = CALLER
        self.address = Address("127.0.0.1", port)
        self.packets: list[RtpPacket] = []
        self.reports: list[rtcp.RtcpPacket] = []
        self.closed: PeerClosed | None = None
        self.checks = 0
        self.answers = 0
        self.checking = True
        self.arrived = asyncio.Event()
        self.peer = WebRtcPeer(
            contexts()[1],
            local=CALLER,
            remote_ufrag=server.ufrag,
            role=DtlsRole.CLIENT,
            fingerprints=(),
            now=self.now(),
        )
        self._tcp = tcp
        self._reader = FrameReader()
        self.transport: Any = None
        self.location = ""
        self._ids = itertools.count(1)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def trust(self, answer: sdp.SessionDescription) -> None:
        self.peer._dtls._fingerprints = answer.sections[0].fingerprints or answer.sections[1].fingerprints

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.arrived.set()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._receive(data)

    def data_received(self, data: bytes) -> None:
        for datagram in self._reader.receive_data(data):
            self._receive(datagram)

    def check(self) -> None:
        """One connectivity check, as the controlling side sends it."""
        self.checks += 1
        self.send(self._check(self.server, self.own))

    def send(self, datagram: bytes) -> None:
        if self._tcp:
            self.transport.write(frame(datagram))
        else:
            self.transport.sendto(datagram)

    def send_rtcp(self, *packets: rtcp.RtcpPacket) -> None:
        self.peer.send_rtcp(packets)
        self.flush()

    def flush(self) -> None:
        for datagram, _ in self.peer.datagrams_to_send():
            if not stun.is_stun(datagram):
                self.send(datagram)

    async def run(self) -> None:
        while True:
            if self.checking:
                self.check()
            self.peer.handle_timeout(self.now())
            self.flush()
            await asyncio.sleep(CHECK_INTERVAL)

    async def until(self, packets: int) -> None:
        """Wait for so many RTP packets."""
        async with asyncio.timeout(PATIENCE):
            while len(self.packets) < packets:
                self.arrived.clear()
                await self.arrived.wait()

    async def until_closed(self) -> PeerClosed:
        async with asyncio.timeout(PATIENCE):
            while self.closed is None:
                self.arrived.clear()
                await self.arrived.wait()
        return self.closed

    def _receive(self, datagram: bytes) -> None:
        now = self.now()
        if stun.is_stun(datagram):
            self.answers += stun.parse(datagram).kind == stun.BINDING_SUCCESS
            # the lite side sends no checks: its answer stands for one
            events = self.peer.receive_datagram(self._check(self.own, self.server), self.address, now)
        else:
            events = self.peer.receive_datagram(datagram, self.address, now)
        for event in events:
            if isinstance(event, RtpReceived):
                self.packets.append(event.packet)
            elif isinstance(event, RtcpReceived):
                self.reports += event.packets
            elif isinstance(event, PeerClosed):
                self.closed = event
        self.flush()
        self.arrived.set()

    def _check(self, to: IceCredentials, sender: IceCredentials) -> bytes:
        return stun.binding_request(
            os.urandom(8) + next(self._ids).to_bytes(4, "big"),
            username=f"{to.ufrag}:{sender.ufrag}",
            password=to.password.encode(),
            priority=1,
            tie_breaker=1,
            controlling=True,
            use_candidate=True,
        )


@asynccontextmanager
async def viewer(
    url: str, *, tcp: bool = False, leave: bool = True, offer: str | None = None
) -> AsyncIterator[WhepClient]:
    """A viewer that has got its answer and checks from now on. With `leave` it says goodbye at the end."""
    status, headers, body = await post(url, offer or own_offer())
    assert status == 201, body
    answer = sdp.parse(body)
    video = next(section for section in answer.sections if section.kind == "video")
    assert video.ice is not None
    port = int(video.candidates[0].split()[5])
    loop = asyncio.get_running_loop()
    client = WhepClient(video.ice, port, tcp=tcp)
    client.location = headers["location"]
    client.trust(answer)
    if tcp:
        await loop.create_connection(lambda: client, "127.0.0.1", port)
    else:
        await loop.create_datagram_endpoint(lambda: client, remote_addr=("127.0.0.1", port))
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        client.transport.close()
        if leave:
            await ask("DELETE", headers["location"])
