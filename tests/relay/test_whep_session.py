"""One viewer over a bad link in fake time: repairs, lost pictures, reports, and the end."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from media.reasons import CODEC_CHANGED, ENDED, VANISHED
from media.rtp import rtp_origin
from media.ticks import TICKS_PER_SECOND
from relay.path_estimate import PathEstimate
from relay.rtp_target import History
from tests.support.link import Conditions, Link
from tests.support.units import picture
from tests.support.whep_link import GOP, IDS, WhepLink
from wire.dtls import DtlsConnection, DtlsContext, DtlsRole, SrtpProfile
from wire.rtp import rtcp
from wire.rtp.history import DEFAULT_CAPACITY
from wire.rtp.packet import header_size
from wire.webrtc import RtcpReceived


class LossyLater(Link):
    """Loses nothing until told to, then everything for a while."""

    dead_until = 0.0

    def send(self, datagram: bytes, now: float) -> None:
        if now >= self.dead_until:
            super().send(datagram, now)


def watching(conditions: Conditions | None = None, *, seconds: float = 2.0, **options: int) -> WhepLink:
    link = WhepLink(conditions, **options)  # type: ignore[arg-type]
    link.run(seconds)
    assert link.session.is_watching
    return link


def cut(link: WhepLink, seconds: float) -> None:
    """Nothing comes down for so long."""
    down = LossyLater(link.conditions, 99)
    down.dead_until = link.pair.now + seconds
    link.pair.down = down


def test_a_joiner_sees_the_group_that_is_there_and_then_every_picture() -> None:
    link = watching(Conditions(delay=0.02))
    shown = link.viewer.shown
    assert shown[0].keyframe
    assert shown[0].at - 100.0 < 0.4
    origin = rtp_origin("epoch1")
    wanted = [(origin + number * TICKS_PER_SECOND // 30) & 0xFFFFFFFF for number in range(len(shown))]
    assert [picture.rtp_time for picture in shown] == wanted
    assert link.frames - len(shown) <= 2
    assert (link.viewer.plis, link.viewer.nacks) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_three_per_cent_loss_is_repaired_without_a_freeze(seed: int) -> None:
    link = watching(Conditions(loss=0.03, delay=0.02, jitter=0.004), seed=seed)
    started, plis = link.pair.now, link.viewer.plis
    replays = link.session.counters.replays
    link.run(20)
    assert link.longest_freeze(started) < 0.3, "even where a repair is lost twice; no keyframe was needed"
    assert link.viewer.buffer.lost == 0
    assert link.viewer.plis == plis
    assert link.session.counters.repaired > 50
    assert link.session.counters.replays == replays


def test_a_repair_has_numbers_of_its_own_and_carries_the_same_payload() -> None:
    link = watching(Conditions(loss=0.05, delay=0.02), seed=7, seconds=8)
    used: dict[tuple[int, int], bytes] = {}
    for datagram in link.port.log:
        head = header_size(datagram)
        nonce = (int.from_bytes(datagram[8:12], "big"), int.from_bytes(datagram[2:4], "big"))
        assert used.setdefault(nonce, datagram) == datagram, "one nonce, two texts"
        assert head in (12, 20)
    assert len(used) < 60_000, "no wrap: a sequence number stands for its index here"
    assert {ssrc for ssrc, _ in used} == {IDS.video, IDS.retransmission}
    assert link.viewer.repeats > 20
    assert link.viewer.buffer.lost == 0


@pytest.mark.parametrize("has_rtx", [True, False])
def test_the_parameter_sets_that_a_viewer_begins_with_come_twice_where_there_is_rtx(has_rtx: bool) -> None:
    link = WhepLink(Conditions(delay=0.02))
    lane = link.session._lanes[0]
    if not has_rtx:
        lane.chosen = replace(lane.chosen, retransmission=None)
    link.run(5)
    sent = [(int.from_bytes(datagram[8:12], "big"), int.from_bytes(datagram[2:4], "big")) for datagram in link.port.log]
    repeats = [(IDS.retransmission, 1)] if has_rtx else []
    assert sent[: 1 + len(repeats)] == [(IDS.video, 0), *repeats], "behind the opener"
    pictures = [sequence for ssrc, sequence in sent if ssrc == IDS.video]
    assert pictures == list(range(len(pictures)))
    assert (link.viewer.repeats, link.session.counters.repaired) == (len(repeats), 0)


def test_a_burst_loss_is_repaired_from_the_history() -> None:
    link = watching(Conditions(delay=0.02), seconds=2.3)
    started = link.pair.now
    cut(link, 0.6)
    link.run(1.2)
    assert link.longest_freeze(started) < 0.8
    assert link.viewer.buffer.lost == 0
    assert link.viewer.plis == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_burst_loss_is_over_soon_where_nobody_can_make_a_keyframe(seed: int) -> None:
    link = watching(Conditions(delay=0.02), seed=seed, seconds=2.3, gop=GOP)
    started = link.pair.now
    link.viewer.asks = False
    cut(link, 0.6)
    link.run(1.4)
    assert link.viewer.plis > 0
    assert link.session.counters.replays == 1
    assert link.longest_freeze(started) < 1.0, "before the next keyframe, which is over a second away"
    after = [shown for shown in link.viewer.shown if shown.at > started + 0.6]
    assert after[0].keyframe


def test_a_publisher_that_makes_keyframes_is_asked_and_nothing_is_replayed() -> None:
    link = watching(Conditions(delay=0.02), seconds=2.3, keyframes_on_demand=True)
    started = link.pair.now
    link.viewer.asks = False
    cut(link, 0.6)
    link.run(1.5)
    assert link.wanted >= 1
    assert link.session.counters.replays == 0
    assert link.longest_freeze(started) < 1.0


def test_a_publisher_that_is_deaf_to_requests_is_not_waited_for() -> None:
    link = watching(Conditions(delay=0.02), seconds=2.2, gop=80)
    link.stream.on_keyframe_wanted = lambda: None  # OBS by WHIP
    link.viewer.asks = False
    cut(link, 0.6)
    link.run(2.4)
    assert link.session.counters.replays == 1


def test_a_keyframe_that_comes_soon_is_waited_for() -> None:
    link = watching(Conditions(delay=0.02), seconds=2.0)
    while link.frames % GOP != GOP - 8:
        link.step()
    link.pair.caller.send_rtcp([rtcp.ReceiverReport(7), rtcp.Pli(7, IDS.video)])
    link.run(0.15)
    assert link.session.counters.keyframe_requests == 1
    assert link.session.counters.replays == 0


def test_replays_to_one_viewer_are_two_seconds_apart() -> None:
    link = watching(seconds=2.2)
    for _ in range(20):
        link.pair.caller.send_rtcp([rtcp.Pli(7, IDS.video)])
        link.pair.flush()
        link.run(0.05)
    assert link.session.counters.keyframe_requests == 20
    assert link.session.counters.replays == 1


def test_a_lost_last_flight_costs_little() -> None:
    """The viewer's keys come late, so it has heard nothing of the group that was sent: it gets it again at once."""
    link = WhepLink(Conditions(delay=0.02))
    while not link.pair.server.connected:
        link.step()
    cut(link, 0.35)
    link.run(3.0)
    connected = 100.0
    assert link.viewer.shown, "a picture"
    assert link.viewer.shown[0].at - connected < 1.3
    assert link.viewer.shown[0].keyframe


def test_the_reports_map_rtp_time_to_media_time() -> None:
    link = watching(seconds=6.0)
    reports = [
        packet
        for event in link.pair.caller_events
        if isinstance(event, RtcpReceived)
        for packet in event.packets
        if isinstance(packet, rtcp.SenderReport)
    ]
    assert len(reports) >= 3
    origin = rtp_origin("epoch1")
    zero = link.stream.started_at + 2_208_988_800
    for report in reports:
        t = (report.rtp_time - origin) & 0xFFFFFFFF
        assert abs(report.ntp / (1 << 32) - zero - t / TICKS_PER_SECOND) < 1e-5
        assert report.packet_count > 0
    assert [report.packet_count for report in reports] == sorted(report.packet_count for report in reports)


def test_the_round_trip_is_measured() -> None:
    link = watching(Conditions(delay=0.05), seconds=3.0)
    report = next(
        packet
        for event in link.pair.caller_events
        if isinstance(event, RtcpReceived)
        for packet in event.packets
        if isinstance(packet, rtcp.SenderReport)
    )
    link.session.estimate.note_sent(report.ntp, link.pair.now)
    block = rtcp.ReportBlock(IDS.video, 5, 3, 100, 90, report.ntp >> 16 & 0xFFFFFFFF, 0)
    link.pair.caller.send_rtcp([rtcp.ReceiverReport(7, (block,))])
    link.run(0.3)
    assert link.session.estimate.rtt is not None
    assert 0.04 < link.session.estimate.rtt < 0.08


def test_a_reference_time_is_answered() -> None:
    link = watching()
    link.pair.caller.send_rtcp([rtcp.ReceiverReport(7), rtcp.ReferenceTime(7, 0x1122334455667788)])
    link.run(0.1)
    answers = [e.packets for e in link.pair.caller_events if isinstance(e, RtcpReceived)]
    assert (rtcp.Dlrr(IDS.video, ((7, 0x33445566, 0),)),) in answers


def test_the_estimate_follows_remb_and_without_it_the_loss() -> None:
    estimate = PathEstimate()
    start = estimate.bits_per_second(0.0)
    for second in range(10):
        estimate.note_report(rtcp.ReportBlock(1, 0, 0, 0, 0), 90_000, float(second))
    grown = estimate.bits_per_second(10.0)
    assert grown > start
    for second in range(10, 20):
        estimate.note_report(rtcp.ReportBlock(1, 77, 0, 0, 0), 90_000, float(second))
    assert estimate.bits_per_second(20.0) < grown / 3
    estimate.note_remb(3_210_000, 20.0)
    assert estimate.bits_per_second(25.0) == 3_210_000
    assert estimate.bits_per_second(31.0) != 3_210_000, "an old one counts no more"


def test_a_flood_of_nacks_gets_a_bounded_answer() -> None:
    link = watching(seconds=3.0)
    before = len(link.port.log)
    for _ in range(50):
        newest = link.viewer.highest
        lost = tuple((newest - at) & 0xFFFF for at in range(500))
        link.pair.caller.send_rtcp([rtcp.Nack(7, IDS.video, lost)])
        link.pair.flush()
        link.run(0.03)
    assert link.session.counters.unrepaired > 1000
    assert len(link.port.log) - before < 1000 + 1.5 * 500 + 1.6 * 30 * 11 + 600


def test_a_nack_for_what_was_never_sent_harms_nothing() -> None:
    link = watching()
    link.pair.caller.send_rtcp([rtcp.Nack(7, IDS.video, (60_000,)), rtcp.Nack(7, 4711, (1,)), rtcp.Pli(7, 4711)])
    link.run(0.2)
    assert link.session.counters.unrepaired == 1
    assert link.session.is_watching


def test_an_old_packet_is_repaired_without_rtx_as_long_as_the_history_has_it() -> None:
    link = WhepLink(Conditions(delay=0.02))
    profile = SrtpProfile.AES128_CM_SHA1_80
    context = DtlsContext(today=datetime(2026, 1, 1, tzinfo=UTC))
    context.openssl.set_tlsext_use_srtp(profile.encode())
    link.pair.server._dtls._fingerprints = (context.fingerprint,)
    trusted = link.pair.caller._dtls._fingerprints
    link.pair.caller._dtls = DtlsConnection(context, DtlsRole.CLIENT, fingerprints=trusted)
    lane = link.session._lanes[0]
    lane.chosen = replace(lane.chosen, retransmission=None)
    link.run(20)
    assert link.pair.server.keys is not None
    assert link.pair.server.keys.profile is profile
    target, asked = link.session.target, link.session.counters
    assert target is not None
    newest = target.next_own - 1
    assert newest > DEFAULT_CAPACITY
    for behind in (1024, 4000, DEFAULT_CAPACITY - 1):
        before = asked.repaired
        link.session.on_events([RtcpReceived((rtcp.Nack(7, IDS.video, (newest - behind,)),))], link.pair.now)
        assert asked.repaired == before + 1
    target.move(target.next, History())
    target.next += 2  # to a rung whose own history says nothing of what went before
    link.session.on_events([RtcpReceived((rtcp.Nack(7, IDS.video, (newest - DEFAULT_CAPACITY + 2,)),))], link.pair.now)
    assert (asked.repaired, asked.unrepaired) == (3, 1)


def test_a_vanished_viewer_is_gone_within_thirty_seconds() -> None:
    link = watching()
    link.pair.checking = False
    link.pair.up = LossyLater(link.conditions, 1)
    link.pair.up.dead_until = float("inf")
    link.run(30.1)
    assert link.closed == [VANISHED]
    assert link.packager.viewers == {}
    assert link.stream.demand == {}, "the last viewer's packager stops reading"


def test_the_viewer_is_told_when_the_stream_ends() -> None:
    link = watching()
    link.stream.end(ENDED)
    link.run(0.2)
    assert link.closed == [ENDED]
    assert link.port.closed
    byes = [
        packet
        for event in link.pair.caller_events
        if isinstance(event, RtcpReceived)
        for packet in event.packets
        if isinstance(packet, rtcp.Bye)
    ]
    assert byes == [rtcp.Bye((IDS.video,), str(ENDED))]
    assert link.pair.caller.state == "closed"


def test_a_stream_that_begins_to_reorder_its_pictures_ends_its_viewers() -> None:
    link = watching()
    link.stream.deliver(picture(link.frames * 3000, composition=6000))
    assert link.closed == [CODEC_CHANGED]


def test_a_pause_of_the_host_leaves_the_viewer_connected_and_rtp_time_without_a_gap() -> None:
    link = watching()
    link.publishing = False
    link.run(12.0)
    assert link.closed == []
    link.publishing = True
    link.run(1.0)
    times = [shown.rtp_time for shown in link.viewer.shown]
    steps = {(later - earlier) & 0xFFFFFFFF for earlier, later in itertools.pairwise(times)}
    assert steps == {3000}
