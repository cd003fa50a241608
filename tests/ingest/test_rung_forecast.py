"""What is said of a rung before it is made is what its encoder then says."""

from __future__ import annotations

import pytest

from ingest.rung_forecast import forecast
from media.rung import Rung
from media.track import Codec, Track
from tests.support.units import VIDEO, video_track
from wire.codecs.opaque import OpaqueConfig

H720 = Rung("720p", Codec.H264, 720, 2_500_000)


@pytest.mark.parametrize(
    ("rung", "expected"),
    [
        (H720, ("avc1.42c01f", 1280, 720, 30.0)),
        (Rung("360p", Codec.H264, 360, 700_000, profile="main", frame_rate=15), ("avc1.4d4016", 640, 360, 15)),
        (Rung("180p", Codec.H264, 180, 200_000, profile="high"), ("avc1.64000d", 320, 180, 30.0)),
        (Rung("h", Codec.H265, 480, 900_000, profile="main", encoder="libx265"), ("hvc1.1.6.L90.90", 854, 480, 30.0)),
    ],
)
def test_size_rate_and_codec_string(rung: Rung, expected: tuple[str, int, int, float]) -> None:
    rendition = forecast(rung, VIDEO, None, frame_rate=30.0, cost=None)
    assert rendition is not None
    assert (rendition.codec_string, rendition.width, rendition.height, rendition.frame_rate) == expected
    assert (rendition.is_made, rendition.cost, rendition.bitrate) == (False, None, rung.bitrate)


def test_a_rung_that_is_made_says_what_it_is() -> None:
    made = video_track(rendition="720p")
    rendition = forecast(H720, VIDEO, made, frame_rate=None, cost=0.4)
    assert rendition is not None
    assert (rendition.is_made, rendition.cost, rendition.frame_rate) == (True, 0.4, None)
    assert rendition.codec_string == made.config.codec_string


def test_nothing_is_said_of_a_source_of_unknown_size() -> None:
    assert forecast(H720, Track(Codec.AV1, OpaqueConfig(b"")), None, frame_rate=30, cost=None) is None
