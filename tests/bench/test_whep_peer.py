"""The viewer's transport against the server's, over a bad link in fake time."""

from __future__ import annotations

import pytest

from bench.whep_offer import WhepAnswer
from bench.whep_peer import PeerLost, WhepPeer
from tests.support.link import Conditions, Link
from tests.support.webrtc_pair import CALLER, CALLER_ADDRESS, SERVER, SERVER_ADDRESS, STEP, contexts
from wire.dtls import DtlsRole, Fingerprint
from wire.rtp.packet import RtpPacket
from wire.rtp.rtcp import Pli, SenderReport
from wire.sdp import RtpCodec
from wire.srtp import SrtpSender
from wire.webrtc import PeerEvent, RtcpReceived, WebRtcPeer

OTHER = {DtlsRole.SERVER: DtlsRole.CLIENT, DtlsRole.CLIENT: DtlsRole.SERVER}


class Meeting:
    """A server and a viewer on two links; `run` steps the time."""

    def __init__(
        self, conditions: Conditions, *, role: DtlsRole = DtlsRole.CLIENT, fingerprint: Fingerprint | None = None
    ) -> None:
        server_context, viewer_context = contexts()
        self.now = 100.0
        self.server = WebRtcPeer(
            server_context,
            local=SERVER,
            remote_ufrag=CALLER.ufrag,
            role=OTHER[role],
            fingerprints=(viewer_context.fingerprint,),
            now=self.now,
        )
        answer = WhepAnswer(
            ice=SERVER,
            fingerprints=(fingerprint or server_context.fingerprint,),
            role=role,
            candidates=(SERVER_ADDRESS,),
            video=RtpCodec(108, "H264", 90_000),
            audio=None,
            rtx={},
            clock_rates={},
            transport_sequence=None,
        )
        self.viewer = WhepPeer(viewer_context, CALLER, answer, now=self.now)
        self.up, self.down = Link(conditions, 1), Link(conditions, 2)
        self.events: list[PeerEvent] = []

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()
            self.now += STEP

    def step(self) -> None:
        if self.now >= self.viewer.next_timeout(self.now):
            self.viewer.handle_timeout(self.now)
        for datagram, _ in self.viewer.datagrams_to_send():
            self.up.send(datagram, self.now)
        for datagram in self.up.arrived(self.now):
            self.events += self.server.receive_datagram(datagram, CALLER_ADDRESS, self.now)
        self.server.handle_timeout(self.now)
        for datagram, _ in self.server.datagrams_to_send():
            self.down.send(datagram, self.now)
        for datagram in self.down.arrived(self.now):
            self.viewer.receive_datagram(datagram, SERVER_ADDRESS, self.now)

    @property
    def sender(self) -> SrtpSender:
        assert self.server.sender is not None
        return self.server.sender


@pytest.mark.parametrize("role", list(DtlsRole))
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_viewer_joins_in_either_role_even_over_a_bad_link(role: DtlsRole, loss: float) -> None:
    meeting = Meeting(Conditions(loss=loss), role=role)
    meeting.run(5.0)
    assert meeting.viewer.connected_at is not None
    assert meeting.server.connected
    assert meeting.viewer.profile == "SRTP_AEAD_AES_128_GCM"
    packet = RtpPacket(108, 1, 0, 1, b"payload").to_bytes()
    assert meeting.viewer.open_rtp(meeting.sender.protect(packet, 1)) == packet


def test_reports_pass_in_both_directions() -> None:
    meeting = Meeting(Conditions())
    meeting.run(1.0)
    meeting.viewer.send_rtcp([Pli(1, 2)])
    meeting.run(0.1)
    assert RtcpReceived((Pli(1, 2),)) in meeting.events
    report = SenderReport(2, 1, 2, 3, 4)
    assert meeting.viewer.open_rtcp(meeting.sender.protect_rtcp(report.to_bytes())) == [report]


def test_what_is_not_the_servers_is_counted_and_nothing_else() -> None:
    meeting = Meeting(Conditions())
    assert meeting.viewer.open_rtp(bytes([128, 108]) + bytes(40)) is None  # no keys yet
    meeting.run(1.0)
    before = meeting.viewer.discarded
    assert meeting.viewer.open_rtp(bytes([128, 108]) + bytes(40)) is None
    assert meeting.viewer.open_rtcp(bytes([128, 200]) + bytes(60)) == []
    for datagram in (b"", b"\xff" * 20, bytes(20), b"\x16\xfe\xfd" + bytes(10), b"\x00\x01\x00\x00" + bytes(16)):
        meeting.viewer.receive_datagram(datagram, CALLER_ADDRESS, meeting.now)
    assert meeting.viewer.discarded == before + 7


def test_another_certificate_than_the_announced_one_loses_the_viewer() -> None:
    meeting = Meeting(Conditions(), fingerprint=Fingerprint("sha-256", ":".join(["AB"] * 32)))
    with pytest.raises(PeerLost, match="not the announced one"):
        meeting.run(2.0)


def test_a_goodbye_loses_the_viewer() -> None:
    meeting = Meeting(Conditions())
    meeting.run(1.0)
    meeting.server.close()
    with pytest.raises(PeerLost, match="goodbye"):
        meeting.run(1.0)


def test_a_server_that_falls_silent_loses_its_consent() -> None:
    meeting = Meeting(Conditions())
    meeting.run(1.0)
    meeting.down = Link(Conditions(loss=1.0), 3)
    with pytest.raises(PeerLost, match="consent"):
        meeting.run(60.0)
    assert 128 < meeting.now < 140


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_has_not_happened_is_named(way: str) -> None:
    meeting = Meeting(Conditions())
    setattr(meeting, way, Link(Conditions(loss=1.0), 3))
    meeting.run(1.0)
    assert meeting.viewer.waiting_for == "answer to the connectivity checks"
