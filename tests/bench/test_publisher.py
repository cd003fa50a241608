"""The load publisher: its clip, and what arrives of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise

import pytest

from bench.clip import STAMP_EVERY, Clip, ClipOptions, make_clip
from bench.flv_probe import FlvProbe
from bench.publisher import LoadPublisher, PublishError
from bench.stamp import find_ns
from bench.whip_media import WhipMedia
from tests.support.flv_relay import Relay
from wire.codecs.nal import split_length_prefixed
from wire.errors import WireError
from wire.flv import AUDIO, VIDEO
from wire.flv_video import VideoFrame, parse_video

SMALL = ClipOptions(width=320, height=180, bitrate=300_000)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(SMALL)


def test_clip_goes_round_without_a_seam(clip: Clip) -> None:
    video = [tag.offset_ms for tag in clip.tags if tag.kind == VIDEO]
    audio = [tag.offset_ms for tag in clip.tags if tag.kind == AUDIO]
    assert (len(video), len(audio), clip.length_ms) == (240, 375, 8000)
    for offsets, interval in ((video, 34), (audio, 22)):
        steps = [b - a for a, b in zip(offsets, [*offsets[1:], offsets[0] + clip.length_ms], strict=True)]
        assert min(steps) >= interval - 1
        assert max(steps) <= interval
    first = parse_video(clip.tags[0].body) if clip.tags[0].kind == VIDEO else None
    assert isinstance(first, VideoFrame)
    assert first.keyframe


def test_clip_has_its_bit_rate(clip: Clip) -> None:
    assert clip.video_bitrate == pytest.approx(SMALL.bitrate, rel=0.1)


def test_some_pictures_have_room_for_a_stamp_and_the_others_are_one_nal_unit_as_of_hosts(clip: Clip) -> None:
    for number, tag in enumerate(tag for tag in clip.tags if tag.kind == VIDEO):
        is_stamped = number % STAMP_EVERY == 0
        assert (find_ns(tag.body), tag.stamp_at is not None) == (0 if is_stamped else None, is_stamped)
        frame = parse_video(tag.body)
        assert isinstance(frame, VideoFrame)
        if not frame.keyframe:
            assert len(split_length_prefixed(frame.data, 4)) == 1 + is_stamped


def run_for(seconds: float) -> Callable[[float], bool]:
    """Stops the publisher after some media time without waiting for it."""
    left = seconds

    def stopped(wait: float) -> bool:
        nonlocal left
        left -= wait
        return left <= 0

    return stopped


def test_a_probe_sees_stamps_of_now(relay: Relay, clip: Clip) -> None:
    publisher = LoadPublisher(f"rtmp://127.0.0.1:{relay.rtmp_port}/live/x", clip)
    stop = threading.Event()
    publisher.connect()
    thread = threading.Thread(target=publisher.run, args=(stop.wait,))
    thread.start()
    try:
        probe = watch(relay.http_port, lambda p: len(p.latencies_ns) >= 5)
    finally:
        stop.set()
        thread.join()
        publisher.close()
    assert probe.keyframe_seen
    # The head start of a joiner is as old as the stream; what comes after it is fresh.
    assert 0 < probe.latencies_ns[-1] < 1e9
    assert publisher.bytes_sent > 10_000


def watch(port: int, enough: Callable[[FlvProbe], bool]) -> FlvProbe:
    probe = FlvProbe(websocket=False)
    probe.measuring = True
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"GET /live/x.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        while not enough(probe):
            probe.receive_data(sock.recv(65536), time.monotonic_ns())
    return probe


def test_timestamps_go_on_across_the_loop(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    publisher = LoadPublisher("rtmp://127.0.0.1/live/x", clip)
    monkeypatch.setattr(publisher, "_receive", lambda _: None)
    monkeypatch.setattr(publisher, "_send", lambda tag, at_ms: sent.append((tag.kind, at_ms)))
    publisher.run(lambda _: len(sent) == 3 * len(clip.tags))
    video = [at for kind, at in sent if kind == VIDEO]
    assert video[:2] == [0, 33]
    assert {b - a for a, b in pairwise(video)} == {33, 34}
    assert [at for _, at in sent] == sorted(at for _, at in sent)


def accept_and_close(listener: socket.socket) -> None:
    listener.accept()[0].close()


def test_a_server_that_hangs_up_is_reported(clip: Clip) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        publisher = LoadPublisher(f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/x", clip)
        hang_up = threading.Thread(target=accept_and_close, args=(listener,))
        hang_up.start()
        with pytest.raises((PublishError, ConnectionError)):
            publisher.connect()
        hang_up.join()
        publisher.close()


def test_an_unusable_url_is_refused(clip: Clip) -> None:
    with pytest.raises(WireError):
        LoadPublisher("http://127.0.0.1/live/x", clip)


def test_without_audio_the_clip_and_what_is_sent_by_whip_are_pictures_alone() -> None:
    silent = make_clip(replace(SMALL, audio=False))
    assert not silent.has_audio
    assert {tag.kind for tag in silent.tags} == {VIDEO}
    assert all(shot.is_video for shot in islice(WhipMedia(silent).shots(), len(silent.tags) + 1))
