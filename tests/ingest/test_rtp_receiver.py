"""Which packets count: layers, sources, repairs; and the reports about them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingest.decode_times import DecodeTimes
from ingest.loss_estimate import FIRST, HIGHEST, LOWEST, LossEstimate
from ingest.reception import ReceptionStatistics
from ingest.rtp_receiver import RtpReceiver
from ingest.whip_offer import Incoming, choose_incoming
from tests.support.offers import offer
from wire.rtp import extensions
from wire.rtp.packet import RtpPacket


def incoming(name: str = "obs-simulcast") -> Incoming:
    return choose_incoming(offer(name))[0]


def packet(ssrc: int, sequence: int, payload: bytes = b"x", payload_type: int = 96) -> RtpPacket:
    return RtpPacket(payload_type, sequence, 3000 * sequence, ssrc, payload)


def test_one_layer_is_used_and_remembered_once_its_name_is_left_out() -> None:
    receiver = RtpReceiver(incoming())
    number = receiver.incoming.extension_ids[extensions.STREAM_ID]
    assert receiver.receive(packet(1, 1), {}, 0.0) == [], "whose it is was not said yet"
    assert receiver.receive(packet(2, 1), {number: b"1"}, 0.0) == []
    assert len(receiver.receive(packet(1, 2), {number: b"0"}, 0.0)) == 1
    assert len(receiver.receive(packet(1, 3), {}, 0.0)) == 1
    assert receiver.receive(packet(2, 2), {}, 0.0) == []
    assert receiver.ssrc == 1
    assert receiver.discarded["other layer"] == 3


def test_a_new_source_needs_the_old_one_to_be_silent() -> None:
    receiver = RtpReceiver(incoming("obs-publisher"))
    assert receiver.receive(packet(1, 1), {}, 0.0)
    assert not receiver.receive(packet(2, 500), {}, 0.1)
    assert receiver.receive(packet(1, 2), {}, 0.2)
    assert receiver.receive(packet(2, 501), {}, 0.8)
    assert receiver.ssrc == 2


def test_without_an_agreement_nothing_is_asked_for_and_holes_end_soon() -> None:
    entry = incoming("obs-publisher")
    silent = replace(entry, payload=replace(entry.payload, feedback=()))
    receiver = RtpReceiver(silent)
    receiver.receive(packet(1, 1), {}, 0.0)
    assert receiver.receive(packet(1, 3), {}, 0.01) == []
    assert receiver.requests(0.02, 0.01) == ()
    released = receiver.handle_timeout(0.08)
    assert [item.after_gap for item in released] == [True]
    assert receiver.totals() == (1, 0)


def test_repairs_fill_holes_and_may_not_come_from_the_future() -> None:
    receiver = RtpReceiver(incoming("ffmpeg-publisher"))
    for sequence in (1, 3):
        receiver.receive(packet(1, sequence, payload_type=106), {}, 0.0)
    assert receiver.requests(0.0, 0.1) == (2,)
    future = packet(9, 70, (900).to_bytes(2, "big") + b"x", 105)
    assert receiver.receive(future, {}, 0.01) == []
    assert receiver.receive(packet(9, 71, b"", 105), {}, 0.01) == [], "browsers probe with empty ones"
    assert receiver.receive(packet(9, 72, b"x", 105), {}, 0.01) == []
    items = receiver.receive(packet(9, 73, (2).to_bytes(2, "big") + b"y", 105), {}, 0.02)
    assert [item.packet.sequence for item in items] == [2, 3]
    assert receiver.totals() == (0, 1)


def test_a_report_counts_losses_between_two_of_them() -> None:
    statistics = ReceptionStatistics(90_000)
    for sequence in [*range(65_530, 65_536), 0, 1, 4, 5]:
        statistics.receive(sequence, 0, 0.0)
    statistics.note_sender_report(0x0000_1234_5678_0000, 1.0)
    block = statistics.report(7, 2.0)
    assert (block.packets_lost, block.fraction_lost) == (2, 256 * 2 // 12)
    assert (block.last_sr, block.delay_since_sr) == (0x12345678, 65_536)
    assert block.highest_sequence & 0xFFFF == 5
    for sequence in range(6, 10):
        statistics.receive(sequence, 0, 0.0)
    block = statistics.report(7, 3.0)
    assert (block.packets_lost, block.fraction_lost) == (2, 0)


def test_jitter_is_of_the_clock_rate() -> None:
    statistics = ReceptionStatistics(90_000)
    for number in range(1000):
        late = 0.010 * (number % 2)
        statistics.receive(number, 3000 * number & 0xFFFFFFFF, number / 30 + late)
    assert statistics.report(1, 0.0).jitter == pytest.approx(900, rel=0.05)


def test_an_estimate_grows_without_loss_and_halves_the_loss_with_it() -> None:
    estimate = LossEstimate()
    assert estimate.update(0.0) == int(FIRST * 1.08)
    assert estimate.update(0.05) == int(FIRST * 1.08)
    assert estimate.update(0.5) == int(int(FIRST * 1.08) * 0.75)
    for _ in range(100):
        estimate.update(0.0)
    assert estimate.bits_per_second == HIGHEST
    for _ in range(100):
        estimate.update(0.9)
    assert estimate.bits_per_second == LOWEST


def test_decoding_times_of_reordered_pictures_rise_and_stay_behind() -> None:
    times = DecodeTimes()
    assert [times.dts(pts) for pts in (0, 3000, 6000)] == [0, 3000, 6000]
    times.begin(2, step=3000)
    shown = [0, 9000, 6000, 3000, 18_000, 15_000, 12_000]
    decoded = [times.dts(pts) for pts in shown]
    assert decoded == sorted(set(decoded))
    assert all(dts <= pts for dts, pts in zip(decoded, shown, strict=True))
