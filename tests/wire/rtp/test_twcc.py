"""Transport-wide feedback: every pattern of arrivals comes back, and a recorder reports each packet once."""

from hypothesis import given
from hypothesis import strategies as st

from wire.rtp import rtcp
from wire.rtp.twcc import ArrivalRecorder, TransportFeedback


@st.composite
def arrival_patterns(draw: st.DrawFn) -> tuple[int | None, ...]:
    steps = draw(
        st.lists(st.one_of(st.none(), st.integers(0, 300), st.integers(-3000, 30_000)), min_size=1, max_size=120)
    )
    ticks = draw(st.integers(20_000, 1 << 30))
    arrivals: list[int | None] = []
    for step in steps:
        ticks = max(ticks + (step or 0), 0)
        arrivals.append(None if step is None else ticks)
    return tuple(arrivals)


@given(arrival_patterns(), st.integers(0, 0xFFFF), st.integers(0, 255))
def test_every_pattern_comes_back(arrivals: tuple[int | None, ...], base: int, number: int) -> None:
    feedback = TransportFeedback(1, 2, base, number, arrivals)
    assert rtcp.parse(feedback.to_bytes()) == [feedback]


def test_runs_and_vectors_of_the_draft_are_read() -> None:
    # a run of 3 lost, a vector of 14 one-bit symbols, a vector of 7 two-bit symbols
    chunks = bytes.fromhex("0003 a000 d800")
    deltas = bytes.fromhex("04 08 fffc")
    body = bytes(8) + bytes.fromhex("000a 0015 000002 07") + chunks + deltas + bytes(2)
    packet = b"\x8f\xcd" + (len(body) // 4).to_bytes(2, "big") + body
    (feedback,) = rtcp.parse(packet)
    assert isinstance(feedback, TransportFeedback)
    arrivals = [None] * 3 + [516] + [None] * 13 + [524, 520, None, None]
    assert (feedback.base_sequence, feedback.number) == (10, 7)
    assert list(feedback.arrivals) == arrivals


def report(recorder: ArrivalRecorder) -> dict[int, float | None]:
    """Sequence number to arrival in seconds, as a browser reads it."""
    got: dict[int, float | None] = {}
    for feedback in recorder.feedback(2):
        (again,) = rtcp.parse(feedback.to_bytes())
        assert again == feedback
        for offset, arrival in enumerate(feedback.arrivals):
            got[(feedback.base_sequence + offset) & 0xFFFF] = None if arrival is None else arrival / 4000
    return got


def test_each_arrival_is_reported_once_with_what_is_missing() -> None:
    recorder = ArrivalRecorder(1)
    for sequence, now in ((65_534, 10.0), (65_535, 10.001), (1, 10.01), (1, 10.02)):
        recorder.record(sequence, now)
    assert report(recorder) == {65_534: 10.0, 65_535: 10.001, 0: None, 1: 10.01}
    assert report(recorder) == {}
    recorder.record(3, 10.5)
    assert report(recorder) == {2: None, 3: 10.5}


def test_feedback_numbers_count_and_wrap() -> None:
    recorder = ArrivalRecorder(1)
    numbers = []
    for sequence in range(300):
        recorder.record(sequence, sequence / 10)
        numbers += [feedback.number for feedback in recorder.feedback(2)]
    assert numbers == [number & 0xFF for number in range(300)]


def test_a_long_pause_begins_a_new_feedback() -> None:
    recorder = ArrivalRecorder(1)
    recorder.record(1, 10.0)
    recorder.record(2, 30.0)
    assert report(recorder) == {1: 10.0, 2: 30.0}


def test_a_burst_is_split_to_fit_the_mtu() -> None:
    recorder = ArrivalRecorder(1)
    for sequence in range(2000):
        recorder.record(sequence, 10.0 + (sequence * 7 % 1000) / 1000)
    made = recorder.feedback(2)
    assert max(len(feedback.to_bytes()) for feedback in made) <= 1200
    assert sum(len(feedback.arrivals) for feedback in made) == 2000


def test_a_jump_in_the_numbers_is_not_reported_packet_by_packet() -> None:
    recorder = ArrivalRecorder(1)
    recorder.record(1, 10.0)
    report(recorder)
    recorder.record(20_000, 10.1)
    assert report(recorder) == {20_000: 10.1}


def test_a_recorder_that_nobody_asks_stays_bounded() -> None:
    recorder = ArrivalRecorder(1)
    for sequence in range(60_000):
        recorder.record(sequence & 0xFFFF, sequence / 1000)
    assert len(recorder._arrivals) <= 8192
