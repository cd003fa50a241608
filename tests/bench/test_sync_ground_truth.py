"""The ground truth: captures that survive a kill, codes read behind a stream, and a live host's RTP."""

from __future__ import annotations

import io
import struct
import time
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest

from bench import barcode
from bench.demo_host import DemoOptions
from bench.demo_picture import DemoPicture
from bench.sync_host import Capture, Captures, read_captures
from bench.sync_live import LiveMedia
from bench.sync_probe import CodeReader, Fits, Shown
from media.flv_muxer import prelude
from wire.codecs.nal import join_annexb
from wire.codecs.opus import packet_samples
from wire.flv import FlvHeader, FlvParser, encode_tag
from wire.rtp import h264

OPTIONS = DemoOptions(width=320, height=180, bitrate=300_000, keyint=0.5, number=9)


def test_a_record_that_a_kill_cut_short_is_left_out() -> None:
    records = struct.pack("<Id", 1033, 100.5) + struct.pack("<Id", 1066, 100.54)
    whole = [Capture(3, 1033, 100.5), Capture(3, 1066, 100.54)]
    assert read_captures(records, 3) == whole
    assert read_captures(records[:-1], 3) == whole[:1]
    assert read_captures(b"", 3) == []


def test_the_newest_frame_that_had_begun_is_what_was_captured() -> None:
    captures = Captures([Capture(2, 1000, 105.0), Capture(1, 1033, 100.04), Capture(1, 1000, 100.0)])
    assert captures.at(99.99) is None
    assert captures.at(100.0) == Capture(1, 1000, 100.0)
    assert captures.at(100.05) == Capture(1, 1033, 100.04)
    assert captures.at(200.0) == captures.of(2, 1000)
    assert captures.of(1, 999) is None
    assert captures.punctual(99.99) is None
    assert captures.punctual(100.05) == Capture(1, 1000, 100.0), "the other one was 7 ms late"
    assert captures.punctual(200.0) is None
    assert captures.punctual(106.0) == Capture(2, 1000, 105.0)
    assert captures.steps() == [pytest.approx(0.04)]  # a blip is no step


def show(first_ms: int, count: int) -> bytes:
    """FLV of the demo picture; FFmpeg keeps the milliseconds."""
    stored = io.BytesIO()
    with av.open(stored, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"preset": "ultrafast", "bf": "2", "g": "10"}
        picture = DemoPicture(320, 180, 9)
        for n in range(count):
            frame = picture.paint(first_ms + 33 * n, "00:00:00.000", lit=False)
            frame.pts, frame.time_base = first_ms + 33 * n, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return stored.getvalue()


@pytest.mark.parametrize("piece", [1 << 20, 1000, 1])
def test_codes_are_read_behind_b_frames_in_any_pieces(piece: int) -> None:
    flv, reader, fits = show(1000, 20), CodeReader(), Fits()
    for at in range(0, len(flv), piece):
        for shown in reader.receive_data(flv[at : at + piece]):
            fits.add(shown)
    fit = fits.by_number[9]
    assert fit.spread_ms == 0
    assert fit.pictures >= 16  # the decoder still holds the last ones
    assert reader.unreadable == 0
    assert fits.t_ms(9, 2000) == 2000 + fit.low_ms
    assert fits.t_ms(8, 2000) is None


def test_the_place_on_the_timeline_is_the_players_rule() -> None:
    """`base_ms` is where the first media tag is, whatever the low 31 bits of its own time say (docs/timeline.md)."""
    base = 3_000_000_000
    parser, reader = FlvParser(), CodeReader()
    parser.receive_data(show(1000, 20))
    tags = []
    while (event := parser.next_event()) is not None:
        if not isinstance(event, FlvHeader) and event.kind == 9:
            tags.append(event)
    head = prelude(None, None, epoch="e1", base_ms=base, frame_rate=None)
    shown = list(reader.receive_data(head + b"".join(map(encode_tag, tags))))
    assert reader.epoch == "e1"
    first = tags[0].timestamp
    assert [one.t_ms - base for one in shown] == [one.code_ms - first for one in shown]


def test_a_moved_picture_is_seen_in_the_fit() -> None:
    fits = Fits()
    for moved in (0, 0, 3, -1):
        fits.add(Shown(5000 + moved, 1, 4000))
    assert fits.by_number[1].spread_ms == 4
    assert fits.edge_ms == 5003


def test_a_live_host_that_is_late_leaves_frames_out(monkeypatch: pytest.MonkeyPatch) -> None:
    media = LiveMedia(OPTIONS, lambda pts, wall: None)
    pictures = (shot for shot in media.shots() if shot.is_video)
    first, second = next(pictures), next(pictures)
    assert second.number == first.number + 1
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 3)
    behind_ms = 3000 - next(pictures).at_ms
    assert behind_ms == pytest.approx(500, abs=100)


def test_a_live_host_burns_what_it_says_it_captured() -> None:
    captured: list[int] = []
    media = LiveMedia(OPTIONS, lambda pts, _: captured.append(pts))
    shots = list(islice(media.shots(), 60))
    assert [shot.at_ms for shot in shots] == sorted(shot.at_ms for shot in shots)
    decoder, offsets = av.CodecContext.create("h264", "r"), set()
    depacketiser = h264.H264Depacketiser()
    for shot in shots:
        payloads = media.payloads(shot, 0)
        if not shot.is_video:
            assert [packet_samples(payload) for payload in payloads] == [960]
            continue
        nals = [nal for payload in payloads for nal in depacketiser.receive(payload)]
        for frame in decoder.decode(av.Packet(join_annexb(nals))):
            luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
            code = barcode.read(luma)
            assert code is not None
            assert code[0] == 9
            assert code[1] in captured[-2:]
        offsets.add(captured[-1] - shot.rtp_time / 90)
    assert len(offsets) == 1
    sounds = [shot.rtp_time for shot in shots if not shot.is_video]
    assert sounds == [960 * n for n in range(len(sounds))]
