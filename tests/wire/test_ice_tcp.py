"""RFC 4571 framing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import LimitExceeded
from wire.ice_tcp import MAX_FRAME_SIZE, FrameReader, frame


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.integers(1, 17))
def test_datagrams_come_back_however_the_stream_is_cut(datagrams: list[bytes], step: int) -> None:
    stream = b"".join(map(frame, datagrams))
    reader = FrameReader()
    assert [
        got for at in range(0, len(stream), step) for got in reader.receive_data(stream[at : at + step])
    ] == datagrams


def test_empty_frames_are_skipped() -> None:
    assert FrameReader().receive_data(frame(b"") + frame(b"x")) == [b"x"]


def test_a_frame_over_the_limit_closes_the_connection() -> None:
    with pytest.raises(LimitExceeded, match="4097"):
        FrameReader().receive_data((MAX_FRAME_SIZE + 1).to_bytes(2, "big"))
