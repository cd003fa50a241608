"""How large a rung is, and which rungs a source has."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.picture_size import rung_size, rungs_for
from media.rung import Rung
from media.track import Codec

RUNGS = tuple(Rung(f"{height}p", Codec.H264, height, height * 1000) for height in (1080, 720, 480, 360))


@pytest.mark.parametrize(("source", "height", "aspect", "expected"), [
    ((1920, 1080), 720, 1, (1280, 720)),
    ((1920, 1080), 480, 1, (854, 480)),
    ((1080, 1920), 720, 1, (720, 1280)),
    ((1080, 1080), 720, 1, (720, 720)),
    ((640, 360), 720, 1, (640, 360)),
    ((641, 361), 720, 1, (640, 360)),
    ((720, 576), 576, Fraction(64, 45), (1024, 576)),
    ((720, 576), 288, Fraction(16, 15), (384, 288)),
    ((2560, 1080), 480, 1, (1138, 480)),
    ((1920, 1080), 480, 0, (854, 480)),
    ((4000, 16), 360, 1, (4000, 16)),
])  # fmt: skip
def test_the_shorter_side_is_the_rungs_height(
    source: tuple[int, int], height: int, aspect: int | Fraction, expected: tuple[int, int]
) -> None:
    assert rung_size(*source, height, Fraction(aspect)) == expected


@given(st.integers(16, 8000), st.integers(16, 8000), st.integers(48, 2160).map(lambda n: n * 2))
def test_sizes_are_even_and_never_larger_than_the_source(width: int, height: int, wanted: int) -> None:
    made = rung_size(width, height, wanted)
    assert made[0] % 2 == made[1] % 2 == 0
    assert made[0] <= width
    assert made[1] <= height
    assert min(made) <= wanted


@pytest.mark.parametrize(("source", "expected"), [
    ((1920, 1080), ["1080p", "720p", "480p", "360p"]),
    ((1080, 1920), ["1080p", "720p", "480p", "360p"]),
    ((1280, 720), ["720p", "480p", "360p"]),
    ((960, 540), ["480p", "360p"]),
    ((3840, 2160), ["1080p", "720p", "480p", "360p"]),
    ((320, 180), ["360p"]),  # who cannot take the source gets this one, at 180 rows
])  # fmt: skip
def test_rungs_above_the_source_are_left_out_but_one_remains(source: tuple[int, int], expected: list[str]) -> None:
    assert [rung.name for rung in rungs_for(RUNGS, *source)] == expected
    assert rungs_for((), *source) == ()
