"""Inputs that are nearly right: what a parser meets when a peer is broken or hostile."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wire.errors import WireError


def mutations(data: bytes) -> Iterator[bytes]:
    """Every prefix, and every byte replaced by its edges, its neighbours and its complement."""
    for at in range(len(data)):
        yield data[:at]
        for value in (0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 0xFF, data[at] ^ 1, data[at] ^ 0x80):
            yield data[:at] + bytes([value]) + data[at + 1 :]


def parses_or_raises_wire_error(parse: Callable[[bytes], object], data: bytes) -> None:
    """Anything else that escapes fails the test by itself."""
    try:
        parse(data)
    except WireError:
        return
