import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.buffer import ByteQueue


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 300))))
def test_bytes_come_out_in_the_order_they_went_in(steps):
    queue, expected = ByteQueue(), b""
    for data, size in steps:
        queue.append(data)
        expected += data
        taken = min(size, len(queue))
        assert queue.peek(taken) == expected[:taken]
        assert queue.take(taken) == expected[:taken]
        expected = expected[taken:]
        assert len(queue) == len(expected)


def test_the_consumed_front_is_given_back():
    queue = ByteQueue()
    queue.append(bytes(200_000))
    queue.skip(150_000)
    queue.append(b"end")
    assert len(queue._bytes) == 50_003
    queue.skip(50_000)
    assert queue.take(3) == b"end"


def test_taking_more_than_is_there_is_the_callers_mistake():
    queue = ByteQueue()
    queue.append(b"abc")
    with pytest.raises(ValueError, match="skip of 4 bytes, 3 are there"):
        queue.take(4)
    assert repr(queue) == "ByteQueue(3 bytes)"
    queue.clear()
    assert len(queue) == 0
