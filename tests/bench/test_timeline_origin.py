"""The Streamer-Timeline header as the bench reads it."""

from __future__ import annotations

import pytest

from bench.timeline_origin import TimelineOrigin


def test_header_tells_where_zero_is() -> None:
    origin = TimelineOrigin.parse("epoch=Ab3; rtp=4294967290;t=900")
    assert origin == TimelineOrigin("Ab3", 4_294_967_290, 900)
    assert origin.label == "Ab3:4294966390"


def test_viewers_of_one_broadcast_have_one_origin_across_the_wrap() -> None:
    first, later = TimelineOrigin("e", 4_294_967_290, 900), TimelineOrigin("e", 84, 990)
    assert first.label == later.label


def test_distance_is_signed_and_wraps() -> None:
    origin = TimelineOrigin("e", 4_294_967_290, 0)
    assert (origin.distance(89_994), origin.distance(4_294_922_290)) == (1.0, -0.5)


@pytest.mark.parametrize("header", ["", "epoch=a", "epoch=a;rtp=x;t=1", "rtp=1;t=2", ";;;", "epoch;rtp;t"])
def test_what_is_no_such_header_is_none(header: str) -> None:
    assert TimelineOrigin.parse(header) is None
