"""The viewer that reads everything, fed packet by packet in fake time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.stamp import sei_nal
from bench.whep_offer import WhepAnswer
from bench.whep_probe import WhepProbe
from wire.dtls import DtlsRole
from wire.ice import IceCredentials
from wire.rtp import h264, rtx
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import GIVE_UP_AFTER
from wire.rtp.rtcp import Nack, Pli
from wire.sdp import RtpCodec

VIDEO, RTX, AUDIO = 108, 109, 111
SSRC = 1000
SPS, PPS, IDR, SLICE = b"\x67set", b"\x68set", b"\x65" + bytes(2500), b"\x41" + bytes(1500)
H264 = RtpCodec(VIDEO, "H264", 90_000, 1, "packetization-mode=1", ("nack", "nack pli"))
ANSWER = WhepAnswer(
    ice=IceCredentials("a", "b"),
    fingerprints=(),
    role=DtlsRole.CLIENT,
    candidates=(),
    video=H264,
    audio=None,
    rtx={RTX: VIDEO},
    clock_rates={},
    transport_sequence=None,
)


def packets(count: int, *, gop: int = 5, first: int = 0) -> Iterator[tuple[float, RtpPacket]]:
    """Pictures of three or two packets each, with the time they are sent."""
    sequence = 65_530  # wraps soon
    for n in range(first, first + count):
        nals = [SPS, PPS, sei_nal(n), IDR] if n % gop == 0 else [sei_nal(n), SLICE]
        payloads = h264.packetise(nals, 1100)
        for k, payload in enumerate(payloads):
            marker = k == len(payloads) - 1
            yield n / 30, RtpPacket(VIDEO, sequence & 0xFFFF, 3000 * n, SSRC, payload, marker=marker)
            sequence += 1


def feed(probe: WhepProbe, at: float, packet: RtpPacket) -> None:
    data = packet.to_bytes()
    probe.receive(data, len(data) + 16, at)


def measuring(answer: WhepAnswer = ANSWER) -> WhepProbe:
    probe = WhepProbe(answer)
    probe.measure()
    return probe


def test_pictures_are_put_together_and_their_stamps_found() -> None:
    probe = measuring()
    for at, packet in packets(10):
        feed(probe, at, packet)
    assert [picture.sent_ns for picture in probe.pictures] == list(range(10))
    assert [picture.keyframe for picture in probe.pictures] == [True, *[False] * 4] * 2
    assert all(picture.shown for picture in probe.pictures)
    assert (probe.keyframe_at, probe.first_rtp_time) == (0.0, 0)
    assert not probe.feedback(1, 1.0, 0.0)


def test_a_lost_packet_is_asked_for_and_the_repetition_completes_the_picture() -> None:
    probe = measuring()
    sent = list(packets(4))
    lost = sent[4][1]
    for at, packet in sent:
        if packet is not lost:
            feed(probe, at, packet)
    assert len(probe.pictures) == 1
    assert probe.feedback(7, 0.1, 0.03) == [Nack(7, SSRC, (lost.sequence,))]
    assert probe.feedback(7, 0.11, 0.03) == []
    assert probe.feedback(7, 0.14, 0.03) == [Nack(7, SSRC, (lost.sequence,))]
    again = replace(lost, payload_type=RTX, ssrc=2000, payload=rtx.wrap_payload(lost.sequence, lost.payload))
    feed(probe, 0.15, replace(again, sequence=1))
    assert [picture.shown for picture in probe.pictures] == [True] * 4
    assert (probe.lost, probe.repaired, probe.retransmissions) == (0, 1, 1)


def test_a_packet_that_never_comes_costs_the_rest_of_its_gop_and_a_keyframe_is_asked_for() -> None:
    probe = measuring()
    sent = list(packets(7))
    for at, packet in sent:
        if packet is not sent[4][1]:
            feed(probe, at, packet)
    late = 1.0 + GIVE_UP_AFTER
    probe.handle_timeout(late)
    assert [picture.shown for picture in probe.pictures] == [True, False, False, False, True, True]
    assert (probe.lost, probe.repaired, probe.damaged) == (1, 0, 1)
    assert probe.feedback(7, late, 0.03) == []  # the next keyframe is there already


def test_a_viewer_in_the_middle_of_a_gop_asks_for_a_keyframe_now_and_then() -> None:
    probe = measuring()
    for at, packet in packets(3, first=1):
        feed(probe, at, packet)
    assert probe.keyframe_at is None
    assert probe.feedback(7, 10.0, 0.0) == [Pli(7, SSRC)]
    assert probe.feedback(7, 10.2, 0.0) == []
    assert probe.feedback(7, 10.6, 0.0) == [Pli(7, SSRC)]


def test_a_server_without_nack_is_not_asked() -> None:
    probe = measuring(replace(ANSWER, video=replace(H264, feedback=())))
    for k, (at, packet) in enumerate(packets(3)):
        if k != 4:
            feed(probe, at, packet)
    assert not probe.feedback(7, 0.1, 0.0)


@pytest.mark.parametrize("from_answer", [True, False])
def test_a_keyframe_without_parameter_sets_decodes_only_when_the_answer_brought_them(from_answer: bool) -> None:
    codec = replace(H264, parameters="sprop-parameter-sets=Z0LAHw==") if from_answer else H264
    probe = measuring(replace(ANSWER, video=codec))
    feed(probe, 0.0, RtpPacket(VIDEO, 1, 0, SSRC, b"\x65small", marker=True))
    assert (probe.keyframe_at is not None) is from_answer


def test_the_schedule_of_a_picture_holds_the_sound_before_it() -> None:
    probe = measuring()
    for at, packet in packets(3):
        if packet.sequence == 65_533:
            feed(probe, at, RtpPacket(AUDIO, 1, 960, 3000, bytes(72)))
        feed(probe, at, packet)
    assert [(timestamp & 0xFFFFFFFF, len(sizes)) for timestamp, sizes in probe.sent] == [(0, 5), (3000, 3)]
    assert probe.sent[0][1][-1] == 100


def test_garbage_is_counted_and_passed_over() -> None:
    probe = measuring()
    probe.receive(b"\x80\x6c", 2, 0.0)
    feed(probe, 0.0, RtpPacket(RTX, 1, 0, 2000, b"\0"))
    feed(probe, 0.0, RtpPacket(VIDEO, 1, 0, SSRC, b"\x1f", marker=True))
    feed(probe, 0.0, RtpPacket(RTX, 2, 0, 2000, b"\0"))
    assert (probe.malformed, probe.damaged, probe.pictures) == (2, 1, [])
