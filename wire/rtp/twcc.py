"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

A browser raises its bit rate only when it is told when each of its packets arrived. `ArrivalRecorder` notes the
arrivals of one publisher and turns them into feedback; `parse_feedback` is the other direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct, pack

from wire.errors import LimitExceeded, Truncated
from wire.rtp.rtcp_block import build
from wire.rtp.sequence import Unwrapper

__all__ = ["FEEDBACK_FORMAT", "TICKS_PER_SECOND", "ArrivalRecorder", "TransportFeedback", "parse_feedback"]

FEEDBACK_FORMAT = 15
TICKS_PER_SECOND = 4000
"""Arrival times count 250 µs."""
MAX_STATUSES = 8192
"""Packets in one feedback: a second of 80 Mb/s. A run of nothing costs a peer two bytes, so it must be bounded."""
MAX_PER_FEEDBACK = 512
"""Packets in one feedback that we send: 1,024 bytes of deltas at most, within the MTU."""

_TRANSPORT_FEEDBACK = 205
_HEADER = Struct("!IIHHI")
_TICKS_PER_REFERENCE = 256  # 64 ms
_REFERENCE_WRAP = 1 << 24
_LOST, _SMALL, _LARGE = 0, 1, 2
_LONGEST_RUN = 0x1FFF
_LARGEST_DELTA = 0x7FFF


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """When packets arrived, from `base_sequence` on: ticks of 250 µs, None for what did not arrive.

    Times are relative to the zero of the receiver's clock modulo 2^24 * 64 ms; only differences mean anything.
    """

    sender_ssrc: int
    media_ssrc: int
    base_sequence: int
    number: int
    arrivals: tuple[int | None, ...]

    def to_bytes(self) -> bytes:
        reference, symbols, deltas = _encode(self.arrivals)
        body = _HEADER.pack(
            self.sender_ssrc,
            self.media_ssrc,
            self.base_sequence,
            len(self.arrivals),
            (reference % _REFERENCE_WRAP) << 8 | self.number,
        )
        return build(_TRANSPORT_FEEDBACK, FEEDBACK_FORMAT, body + b"".join(_chunks(symbols)) + deltas)


class ArrivalRecorder:
    """Arrivals of one publisher's packets, whatever SSRC they have."""

    def __init__(self, sender_ssrc: int) -> None:
        self._sender_ssrc = sender_ssrc
        self._unwrap = Unwrapper(16)
        self._arrivals: dict[int, int] = {}
        self._next: int | None = None
        self._number = 0

    def record(self, sequence: int, now: float) -> None:
        """Note one packet by its transport-wide sequence number. Repeats and what was already reported are ignored."""
        index = self._unwrap(sequence)
        if self._next is None:
            self._next = index
        if index >= self._next or not self._arrivals:
            self._next = min(self._next, index)
            self._arrivals.setdefault(index, round(now * TICKS_PER_SECOND))
        if len(self._arrivals) > MAX_STATUSES:
            self._arrivals.clear()  # nobody has asked for seconds: the old times are worth nothing
            self._next = index + 1

    def feedback(self, media_ssrc: int) -> list[TransportFeedback]:
        """What has arrived since the last call, as one or more packets; call it every 50 to 100 ms."""
        made = []
        while self._arrivals:
            made.append(self._make(media_ssrc))
        return made

    def _make(self, media_ssrc: int) -> TransportFeedback:
        newest = max(self._arrivals)
        oldest = min(self._arrivals)
        first = oldest if self._next is None or oldest - self._next >= MAX_PER_FEEDBACK else self._next
        arrivals: list[int | None] = []
        last: int | None = None
        for index in range(first, min(newest + 1, first + MAX_PER_FEEDBACK)):
            arrival = self._arrivals.get(index)
            if arrival is not None and last is not None and abs(arrival - last) > _LARGEST_DELTA:
                break  # too far apart for one packet: the rest has its own reference time
            self._arrivals.pop(index, None)
            last = arrival if arrival is not None else last
            arrivals.append(arrival)
        self._next = first + len(arrivals)
        number = self._number
        self._number = (number + 1) & 0xFF
        return TransportFeedback(self._sender_ssrc, media_ssrc, first & 0xFFFF, number, tuple(arrivals))


def parse_feedback(body: bytes) -> TransportFeedback:
    """Read the body of one feedback packet. Raises `WireError`."""
    if len(body) < _HEADER.size:
        raise Truncated(f"transport feedback has {len(body)} of {_HEADER.size} bytes")
    sender, media, base, count, word = _HEADER.unpack_from(body)
    if count > MAX_STATUSES:
        raise LimitExceeded(f"transport feedback of {count} packets exceeds {MAX_STATUSES}")
    symbols, at = _read_symbols(body, count)
    reference = word >> 8
    if reference >= _REFERENCE_WRAP >> 1:
        reference -= _REFERENCE_WRAP
    arrivals = tuple(_read_arrivals(body, at, symbols, reference * _TICKS_PER_REFERENCE))
    return TransportFeedback(sender, media, base, word & 0xFF, arrivals)


def _read_symbols(body: bytes, count: int) -> tuple[list[int], int]:
    symbols: list[int] = []
    at = _HEADER.size
    while len(symbols) < count:
        if at + 2 > len(body):
            raise Truncated(f"transport feedback has statuses for {len(symbols)} of {count} packets")
        chunk = body[at] << 8 | body[at + 1]
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13] * min(chunk & _LONGEST_RUN, count - len(symbols))
            if not chunk & _LONGEST_RUN:
                raise Truncated("transport feedback has an empty run")
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return symbols[:count], at


def _read_arrivals(body: bytes, at: int, symbols: Sequence[int], ticks: int) -> Iterator[int | None]:
    for symbol in symbols:
        size = symbol if symbol in (_SMALL, _LARGE) else 0
        if at + size > len(body):
            raise Truncated(f"transport feedback delta at {at} of {len(body)} bytes")
        if size:
            ticks += int.from_bytes(body[at : at + size], "big", signed=size == 2)
            at += size
        yield ticks if size else None


def _encode(arrivals: Sequence[int | None]) -> tuple[int, list[int], bytes]:
    """Reference time, a status for each packet, and the deltas."""
    first = next((arrival for arrival in arrivals if arrival is not None), 0)
    reference = first // _TICKS_PER_REFERENCE
    last = reference * _TICKS_PER_REFERENCE
    symbols = []
    deltas = bytearray()
    for arrival in arrivals:
        if arrival is None:
            symbols.append(_LOST)
            continue
        delta = arrival - last
        last = arrival
        symbols.append(_SMALL if 0 <= delta <= 0xFF else _LARGE)
        deltas += pack("!B" if 0 <= delta <= 0xFF else "!h", delta)
    return reference, symbols, bytes(deltas)


def _chunks(symbols: Sequence[int]) -> Iterator[bytes]:
    at = 0
    while at < len(symbols):
        run = _run(symbols, at)
        if run >= 14 or at + run == len(symbols):
            yield pack("!H", symbols[at] << 13 | run)
            at += run
        elif _LARGE not in symbols[at : at + 14]:
            yield pack("!H", 0x8000 | _vector(symbols[at : at + 14], 14, 1))
            at += 14
        else:
            yield pack("!H", 0xC000 | _vector(symbols[at : at + 7], 7, 2))
            at += 7


def _run(symbols: Sequence[int], at: int) -> int:
    end = at
    while end < len(symbols) and symbols[end] == symbols[at] and end - at < _LONGEST_RUN:
        end += 1
    return end - at


def _vector(symbols: Sequence[int], places: int, bits: int) -> int:
    word = 0
    for place in range(places):
        word = word << bits | (symbols[place] if place < len(symbols) else _LOST)
    return word
