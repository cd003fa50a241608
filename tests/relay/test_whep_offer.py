"""What is chosen from real offers for what a stream has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from media.track import Codec, Track
from relay.whep_offer import SourceIds, Unusable, choose
from tests.support.offers import offer
from tests.support.units import AUDIO, VIDEO
from wire import sdp
from wire.codecs.h264 import H264Config
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig
from wire.sdp import SessionDescription

IDS = SourceIds(1, 2, 3)
OPUS = Track(Codec.OPUS, OpusConfig(2))
PPS = bytes.fromhex("68ce0fc8")
BASELINE_SPS = bytes.fromhex("6742c01fda014016ec0440000003004000000f03c60ca8")


def h264_track(profile: int, constraints: int) -> Track:
    """A track whose SPS says so; the rest of it is read as baseline only where it has to be."""
    config = H264Config((BASELINE_SPS,), (PPS,))
    object.__setattr__(config, "_first", replace(config._first, profile_idc=profile, constraint_flags=constraints))
    return Track(Codec.H264, config)


def chosen_profile(name: str, profile: int, constraints: int) -> tuple[int, int]:
    chosen = choose(offer(name), h264_track(profile, constraints), None, IDS, room="r")
    return sdp.h264_profile(chosen[0].codec)


@pytest.mark.parametrize(("name", "high"), [("chromium-viewer", 0x4D), ("safari-viewer", 0x64)])
def test_the_profile_that_is_sent_is_the_one_that_is_answered(name: str, high: int) -> None:
    assert chosen_profile(name, 0x42, 0xE0) == (0x42, 0xE0)
    assert chosen_profile(name, high, 0x00)[0] == high


def test_a_profile_that_is_not_offered_goes_under_baseline(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    profile, _ = chosen_profile("chromium-viewer", 0x7A, 0x00)
    assert profile == 0x42
    assert "profile 122" in caplog.text


def test_retransmissions_have_the_payload_type_that_belongs_to_the_codec() -> None:
    chosen = choose(offer("chromium-viewer"), VIDEO, None, IDS, room="r")[0]
    assert chosen.retransmission is not None
    assert chosen.retransmission.parameter("apt") == str(chosen.codec.payload_type)
    assert chosen.send_time_id > 0


def test_without_rtx_packets_carry_no_time_so_that_they_can_be_repeated_as_they_are() -> None:
    description = _changed(offer("chromium-viewer"), "rtx", "nothing")
    chosen = choose(description, VIDEO, None, IDS, room="r")[0]
    assert chosen.retransmission is None
    assert chosen.send_time_id == 0
    assert chosen.acceptance.outgoing is not None
    assert chosen.acceptance.outgoing.rtx_ssrc is None


def test_opus_goes_along_and_aac_does_not() -> None:
    kinds = [entry.track.codec for entry in choose(offer("chromium-viewer"), VIDEO, OPUS, IDS, room="r")]
    assert kinds == [Codec.H264, Codec.OPUS]
    kinds = [entry.track.codec for entry in choose(offer("chromium-viewer"), VIDEO, AUDIO, IDS, room="r")]
    assert kinds == [Codec.H264]


def test_sound_alone_is_enough() -> None:
    assert [entry.ssrc for entry in choose(offer("firefox-viewer"), None, OPUS, IDS, room="r")] == [2]


@pytest.mark.parametrize(
    ("track", "words"),
    [
        (Track(Codec.H265, OpaqueConfig(b"")), "H.265"),
        (Track(Codec.AV1, OpaqueConfig(b"")), "AV1"),
    ],
)
def test_what_the_player_does_not_offer_is_named(track: Track, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        choose(offer("chromium-viewer"), track, OPUS, IDS, room="r")


def test_an_offer_without_h264_is_told_so() -> None:
    with pytest.raises(Unusable, match=r"does not offer H\.264"):
        choose(_changed(offer("chromium-viewer"), "H264", "VP9"), VIDEO, None, IDS, room="r")


def test_nothing_to_send_is_said_with_what_there_is() -> None:
    with pytest.raises(Unusable, match="AAC"):
        choose(offer("chromium-viewer"), None, AUDIO, IDS, room="r")
    with pytest.raises(Unusable, match="nothing fits"):
        choose(offer("obs-publisher"), VIDEO, OPUS, IDS, room="r")


def _changed(description: SessionDescription, old: str, new: str) -> SessionDescription:
    sections = tuple(
        replace(
            section,
            codecs=tuple(replace(codec, name=new) if codec.name == old else codec for codec in section.codecs),
        )
        for section in description.sections
    )
    return replace(description, sections=sections)
