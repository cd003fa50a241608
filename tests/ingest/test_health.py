from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import FrozenInstanceError
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.health import HealthMonitor
from ingest.health_values import Health, IngestCounters, Severity
from media.flv_demuxer import FlvDemuxer
from media.ticks import Ticks, from_ms
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.rtmp import RANDOM
from tests.support.units import AUDIO, VIDEO, picture, sound
from wire.codecs.opaque import OpaqueConfig
from wire.rtmp import PublishRequested, RtmpServer, TagReceived

SESSION = Path(__file__).parents[1] / "captures" / "obs29_rtmp.bin"
START = 5_000.0
SECONDS = 20.0

Sent = tuple[float, AccessUnit]  # when it arrived, and what


def pictures(
    fps: float = 30.0, *, group: int = 60, seconds: float = SECONDS, bitrate: float = 2.5e6, key_share: float = 4.0
) -> list[Sent]:
    """A perfect encoder behind a perfect network, with RTMP's whole milliseconds."""
    size = bitrate / 8 / fps
    sent = []
    for number in range(int(seconds * fps)):
        key = number % group == 0
        unit = picture(from_ms(round(1000 * number / fps)), key=key, size=int(size * (key_share if key else 1)))
        sent.append((START + number / fps, unit))
    return sent


def sounds(*, seconds: float = SECONDS, rate: int = 48_000, size: int = 340) -> list[Sent]:
    sent = []
    for number in range(int(seconds * rate / 1024)):
        at = number * 1024 / rate
        sent.append((START + at, sound(from_ms(round(1000 * at)), size=size)))
    return sent


def moved(sent: Iterable[Sent], *, ms: float = 0.0, after: float = 0.0) -> list[Sent]:
    """The same with timestamps moved by `ms` from `after` seconds on."""
    return [
        (at, AccessUnit(u.track, Ticks(u.dts + shift), Ticks(u.pts + shift), u.keyframe, u.parts))
        for at, u in sent
        for shift in [int(90 * ms) if at - START >= after else 0]
    ]


def late(sent: Iterable[Sent], delay: Callable[[float], float]) -> list[Sent]:
    """The same, arriving later but in order, as TCP does; `delay` gets seconds since the start."""
    delayed, latest = [], -math.inf
    for at, unit in sent:
        latest = max(latest, at + delay(at - START))
        delayed.append((latest, unit))
    return delayed


def both(first: Iterable[Sent], second: Iterable[Sent] | None = None) -> list[Sent]:
    merged = [*first, *(sounds() if second is None else second)]
    return sorted(merged, key=lambda entry: entry[0])


def watch(sent: Iterable[Sent], *, until: float | None = None, counters: IngestCounters | None = None) -> Health:
    monitor = HealthMonitor()
    last = START
    for last, unit in sent:
        monitor.observe(unit, last)
    return monitor.report(last if until is None else START + until, counters)


def codes(health: Health) -> set[str]:
    return {finding.code for finding in health.findings}


def text_of(health: Health, code: str) -> str:
    return next(finding.text for finding in health.findings if finding.code == code)


def variable(seed: int = 1) -> list[Sent]:
    """A phone: 20 to 30 a second, as the light goes."""
    chance = random.Random(seed)
    at, sent = 0.0, []
    while at < SECONDS:
        sent.append((START + at, picture(from_ms(round(at * 1000)), key=len(sent) % 50 == 0, size=10_000)))
        at += chance.uniform(1 / 30, 1 / 18)
    return sent


def reordered(fps: float = 30.0) -> list[Sent]:
    """I and P two frames ahead of the B-frames between them: I0 P3 B1 B2 P6 B4 B5 ..."""
    frame = 3000
    sent = []
    for number in range(int(SECONDS * fps)):
        composition = [3 * frame, 0, 0][(number - 1) % 3] if number else frame
        unit = picture(number * frame, key=number % 60 == 0, composition=composition, size=10_000)
        sent.append((START + number / fps, unit))
    return sent


def with_keyframes_at(numbers: set[int]) -> list[Sent]:
    return [(at, picture(u.dts, key=i in numbers, size=u.size)) for i, (at, u) in enumerate(pictures())]


def until(sent: list[Sent], seconds: float) -> list[Sent]:
    return [entry for entry in sent if entry[0] - START < seconds]


def in_bursts(sent: Iterable[Sent]) -> list[Sent]:
    return late(sent, lambda at: math.ceil(at + 1e-9) - at)


PAUSED = both(late(pictures(), lambda at: max(0.0, 13 - at) if at >= 12 else 0.0))

PUBLISHERS: list[tuple[str, list[Sent], set[str]]] = [
    ("perfect 30", both(pictures()), set()),
    ("25", both(pictures(25, group=50)), set()),
    ("29.97", both(pictures(30000 / 1001)), set()),
    ("59.94", both(pictures(60000 / 1001, group=120)), set()),
    ("24 at 44.1 kHz", both(pictures(24, group=48), sounds(rate=44_100)), set()),
    ("clock starts at 4 billion ms", both(moved(pictures(), ms=4e9), moved(sounds(), ms=4e9)), set()),
    ("clock below zero", both(moved(pictures(), ms=-4e9), moved(sounds(), ms=-4e9)), set()),
    ("drift of +500 ppm", both(late(pictures(), lambda s: 5e-4 * s), late(sounds(), lambda s: 5e-4 * s)), set()),
    ("drift of -500 ppm", both(late(pictures(), lambda s: -5e-4 * s), late(sounds(), lambda s: -5e-4 * s)), set()),
    ("network jitter of 80 ms", both(late(pictures(), lambda s: 0.08 * abs(math.sin(37 * s)))), set()),
    ("variable frame rate", both(variable()), {"frame-rate-variable"}),
    ("10 a second", both(pictures(10, group=20)), {"frame-rate-low"}),
    ("every 10th frame missing", both(e for i, e in enumerate(pictures()) if i % 10 != 5), {"frames-missing"}),
    ("keyframes each 10 s", both(pictures(group=300)), {"keyframe-interval"}),
    ("one keyframe ever", both(pictures(group=10_000)), {"keyframe-interval"}),
    ("automatic keyframes", both(pictures(group=250)), {"keyframes-automatic"}),
    ("keyframes at scene cuts", both(with_keyframes_at({0, 40, 290, 310, 560})), {"keyframes-automatic"}),
    ("irregular keyframes", both(with_keyframes_at({0, 40, 200, 310, 500})), {"keyframe-interval"}),
    ("B-frames", both(reordered()), {"b-frames"}),
    ("sound 500 ms ahead", both(pictures(), moved(sounds(), ms=500)), {"av-skew"}),
    ("sound 500 ms late", both(pictures(), late(sounds(), lambda s: 0.5)), {"av-skew"}),
    ("clocks minutes apart", both(pictures(), moved(sounds(), ms=180_000)), {"av-clocks-apart"}),
    ("upload at 80 %", both(late(pictures(), lambda s: s / 4), late(sounds(), lambda s: s / 4)), {"upload-too-slow"}),
    ("bursts each second", both(in_bursts(pictures()), in_bursts(sounds())), {"irregular-arrival"}),
    ("a pause of a second", PAUSED, {"irregular-arrival"}),
    ("clock jumps ahead", both(moved(pictures(), ms=9e3, after=15), moved(sounds(), ms=9e3, after=15)),
     {"timestamp-jumps"}),
    ("clock jumps back", both(moved(pictures(), ms=-9e3, after=15), moved(sounds(), ms=-9e3, after=15)),
     {"timestamp-jumps"}),
    ("small steps back", both(moved(pictures(), ms=-100, after=15)), {"timestamps-backward"}),
    ("no sound", pictures(), {"no-audio"}),
    ("no picture", sounds(), {"no-video"}),
    ("picture stalls", both(until(pictures(), 15)), {"video-stalled"}),
    ("sound stalls", both(pictures(), until(sounds(), 15)), {"audio-stalled"}),
    ("4 times faster", both(late(pictures(seconds=60), lambda s: -0.75 * s), []), {"too-fast", "no-audio"}),
    ("20 Mbit/s", both(pictures(bitrate=20e6)), {"bitrate-high"}),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "expected"), [p[1:] for p in PUBLISHERS], ids=[p[0] for p in PUBLISHERS])
def test_each_publisher_is_told_what_is_wrong_and_nothing_else(sent: list[Sent], expected: set[str]) -> None:
    health = watch(sent)
    assert codes(health) - {"bitrate-low", "healthy"} == expected, health.findings
    assert ("healthy" in codes(health)) == (health.severity in (Severity.OK, Severity.INFO))
    json.dumps(health.to_json(), allow_nan=False)


@pytest.mark.parametrize("fps", [24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0, 120.0])
def test_frame_rates_are_measured_to_a_thousandth_in_spite_of_whole_milliseconds(fps: float) -> None:
    video = watch(pictures(fps, group=int(2 * fps))).video
    assert video is not None
    assert video.frame_rate == pytest.approx(fps, rel=1e-3)
    assert video.regularity == 1
    assert video.keyframe_interval == pytest.approx(int(2 * fps) / fps, abs=2e-3)


def test_a_good_stream_is_described() -> None:
    health = watch(both(pictures(bitrate=2.5e6, key_share=1)))
    video, audio = health.video, health.audio
    assert video is not None
    assert audio is not None
    assert (video.codec, video.width, video.height) == ("h264", 1280, 720)
    assert (video.codec_string, video.profile) == ("avc1.42c01f", "Constrained Baseline, level 3.1")
    assert video.bitrate == pytest.approx(2.5e6, rel=0.01)
    assert (audio.codec_string, audio.sample_rate, audio.channels) == ("mp4a.40.2", 48_000, 2)
    assert audio.bitrate == pytest.approx(127_500, rel=0.02)
    assert health.arrival.bitrate == pytest.approx(2.63e6, rel=0.02)
    assert health.clock.arrival_skew_ms == pytest.approx(0, abs=2)
    assert health.severity is Severity.OK
    assert health.findings[0].text.startswith("The stream is fine: 30 frames a second, picture at 2.5 Mbit/s")
    with pytest.raises(FrozenInstanceError):
        health.observed_s = 0  # type: ignore[misc]


def test_sentences_carry_the_numbers() -> None:
    slow = watch(both(late(pictures(), lambda s: s / 4), late(sounds(), lambda s: s / 4)))
    text = text_of(slow, "upload-too-slow")
    assert "250 ms more each second" not in text  # per second on the wall it is 0.25 / 1.25
    assert "200 ms more each second; the connection carries 2.2 Mbit/s and the encoder makes 2.8 Mbit/s" in text
    assert "Lower the bitrate to 1.8 Mbit/s" in slow.findings[0].advice
    assert text_of(watch(both(pictures(group=250))), "keyframes-automatic").endswith("every 8.3 s at the latest.")
    assert "every 10.0 s." in text_of(watch(both(pictures(group=300))), "keyframe-interval")
    assert "for 20.0 s" in text_of(watch(both(pictures(group=9999))), "keyframe-interval")
    assert "(1 deep), which add 33 ms" in text_of(watch(both(reordered())), "b-frames")
    assert "+9.0 s" in text_of(watch(moved(pictures(), ms=9e3, after=15)), "timestamp-jumps")
    assert "500 ms before" in text_of(watch(both(pictures(), moved(sounds(), ms=500))), "av-skew")


def test_a_slow_upload_is_seen_after_minutes_and_a_drifting_clock_never() -> None:
    drifting = late(pictures(seconds=180), lambda s: 5e-4 * s)
    assert "upload-too-slow" not in codes(watch(drifting))
    falling = late(pictures(seconds=90), lambda s: s / 99)
    assert "upload-too-slow" in codes(watch(falling))


def test_a_jump_of_the_clock_is_not_a_slow_upload_and_is_forgotten_after_a_minute() -> None:
    sent = moved(pictures(seconds=90), ms=-4000, after=15)
    health = watch(sent)
    assert (health.clock.jumps, health.clock.recent_jumps) == (1, 0)
    assert codes(health) == {"no-audio"}


def test_frames_that_an_encoder_dropped_behind_a_pause_are_missing_but_the_clock_did_not_jump() -> None:
    sent = [(at + max(0.0, 14 - at + START), u) if 12 <= at - START < 14.0 else (at, u) for at, u in pictures()]
    dropped = [e for i, e in enumerate(sent) if not 12.5 <= i / 30 < 13.9]
    health = watch(both(dropped))
    assert health.clock.jumps == 0
    assert "frames-missing" in codes(health)


def test_the_start_skew_of_a_camera_that_opens_late_is_no_fault() -> None:
    health = watch(both([e for e in pictures() if e[0] >= START + 1.5]))
    assert health.clock.start_skew_ms == -1500
    assert "av-skew" not in codes(health)


def test_silence_is_told_from_a_stall_of_one_kind() -> None:
    health = watch(both(pictures()), until=SECONDS + 4)
    assert codes(health) == {"nothing-arrives"}
    assert health.severity is Severity.PROBLEM


def test_the_first_seconds_and_nothing_at_all_are_not_judged() -> None:
    assert codes(HealthMonitor().report(1.0)) == {"measuring"}
    assert codes(watch(both(pictures(seconds=1), sounds(seconds=1)))) == {"measuring"}


def test_counters_of_the_timeline_are_told() -> None:
    health = watch(both(pictures()), counters=IngestCounters({"overlap": 3, "x": 0}, rebases=1, oversized_gops=2))
    assert codes(health) - {"bitrate-low"} == {"units-dropped", "group-too-large"}
    assert "3 units were left out since the broadcast began (overlap 3)." in text_of(health, "units-dropped")
    assert health.to_json()["counters"] == {"drops": {"overlap": 3, "x": 0}, "rebases": 1, "oversized_gops": 2}


def test_an_encoder_that_makes_less_than_it_declares_is_told() -> None:
    monitor = HealthMonitor(declared_frame_rate=30)
    for at, unit in pictures(20):
        monitor.observe(unit, at)
    assert "frame-rate-short" in codes(monitor.report(START + SECONDS))


def test_codecs_without_a_configuration_we_read_are_reported_too() -> None:
    av1 = Track(Codec.AV1, OpaqueConfig(b"\x81"))
    mp3 = Track(Codec.MP3, OpaqueConfig(b"", 44_100, 2))
    sent = [(at, AccessUnit(av1, u.dts, u.pts, u.keyframe, u.parts)) for at, u in pictures()]
    health = watch(both(sent, [(at, sound(u.dts, track=mp3)) for at, u in sounds()]))
    assert {"video-codec", "audio-codec"} <= codes(health)
    assert health.video is not None
    assert health.video.width is None


def test_memory_is_bounded_whatever_a_publisher_sends() -> None:
    monitor = HealthMonitor()
    for number in range(30_000):
        monitor.observe(picture(number * 90, key=True), START + number / 1000)
        monitor.observe(sound(number * 90 if number % 3 else -number * 9_000_000), START + number / 1000)
    health = monitor.report(START + 30)
    windows = (monitor._video, monitor._audio)
    assert sum(sys.getsizeof(w.arrivals) + 200 * len(w.arrivals) for w in windows) < 1_100_000
    assert max(len(w.recent_jumps) for w in windows) <= 100
    assert health.arrival.bitrate == pytest.approx(120 * 8 * 1000, rel=0.05)


UNITS = st.builds(
    AccessUnit,
    st.sampled_from([VIDEO, AUDIO]),
    st.integers(-(2**62), 2**62).map(Ticks) | st.integers(0, 900_000).map(Ticks),
    st.integers(-(2**62), 2**62).map(Ticks) | st.integers(0, 900_000).map(Ticks),
    st.booleans(),
    st.just((b"x" * 50,)),
)
TIMES = st.floats(0, 100) | st.floats(-1e9, 1e9)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(UNITS, TIMES), max_size=60), st.lists(TIMES, min_size=1, max_size=3))
def test_no_unit_and_no_order_of_arrivals_breaks_it(sent: list[tuple[AccessUnit, float]], reports: list[float]) -> None:
    monitor = HealthMonitor()
    for unit, arrived in sent:
        monitor.observe(unit, arrived)
    for now in reports:
        health = monitor.report(now)
        json.dumps(health.to_json(), allow_nan=False)
        assert health.findings
        ranks = [list(Severity).index(finding.severity) for finding in health.findings]
        assert ranks == sorted(ranks, reverse=True)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_shuffled_good_streams_never_raise(chance: random.Random) -> None:
    sent = both(pictures(seconds=5), sounds(seconds=5))
    chance.shuffle(sent)
    watch(sent)


def obs_units() -> Iterator[AccessUnit]:
    server, demuxer = RtmpServer(random_bytes=RANDOM), FlvDemuxer()
    session = SESSION.read_bytes()
    for at in range(0, len(session), 4096):
        server.receive_data(session[at : at + 4096])
        while (event := server.next_event()) is not None:
            if isinstance(event, PublishRequested):
                server.accept()
            elif isinstance(event, TagReceived) and (unit := demuxer.read(event.tag)) is not None:
                yield unit


def test_a_session_of_real_obs_is_described_as_it_was_set_up() -> None:
    units = list(obs_units())
    first = min(unit.dts for unit in units)
    health = watch([(START + (unit.dts - first) / 90_000, unit) for unit in units])
    video, audio = health.video, health.audio
    assert video is not None
    assert audio is not None
    assert (video.width, video.height, video.frame_rate) == (640, 360, pytest.approx(30, abs=0.1))
    assert video.profile is not None
    assert video.profile.startswith("Main")
    assert video.keyframe_interval == pytest.approx(2.0, abs=0.01)
    assert not video.keyframes_automatic
    assert video.b_frames
    assert (video.reorder_depth, video.decode_delay_ms) == (1, 66)
    assert (audio.codec_string, audio.sample_rate, audio.channels) == ("mp4a.40.2", 48_000, 2)
    assert codes(health) == {"b-frames"}


def test_timestamps_of_the_synthetic_publishers_are_what_the_table_says() -> None:
    """The table is only as good as its streams: dts grow, and B-frames keep pts at or after dts."""
    for name, sent, _ in PUBLISHERS:
        video = [u for _, u in sent if u.is_video]
        assert all(u.pts >= u.dts for u in video), name
        if "back" not in name:
            assert all(a.dts < b.dts for a, b in pairwise(video)), name
