"""How NAL units share packets, the same for H.264 and H.265: small neighbours together, large ones in fragments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

__all__ = ["MAX_AGGREGATED", "equal_share", "group_nals"]

MAX_AGGREGATED = 64
"""NAL units in one aggregation packet: some cameras send 48 slices per picture."""

_LENGTH_SIZE = 2


def equal_share(size: int, most: int) -> int:
    """Bytes to a fragment, `most` at most, so that the fragments of `size` bytes differ by no more than their number.

    Fragments of one size leave with one segmented send, and something smaller after them.
    """
    return -(-size // -(-size // most))


def group_nals(
    nals: Sequence[bytes],
    max_payload: int,
    *,
    header_size: int,
    aggregate: Callable[[Sequence[bytes]], bytes],
    fragment: Callable[[bytes, int], Iterable[bytes]],
) -> list[bytes]:
    """Payloads of at most `max_payload` bytes, in the order of the units.

    An aggregation packet has `header_size` bytes and then each unit with its length in front; one unit alone is its
    own payload.
    """
    payloads: list[bytes] = []
    group: list[bytes] = []
    group_size = header_size
    for nal in nals:
        size = _LENGTH_SIZE + len(nal)
        if group and (group_size + size > max_payload or len(group) == MAX_AGGREGATED):
            payloads.append(aggregate(group) if len(group) > 1 else group[0])
            group, group_size = [], header_size
        if len(nal) > max_payload:
            payloads.extend(fragment(nal, max_payload))
        else:
            group.append(nal)
            group_size += size
    if group:
        payloads.append(aggregate(group) if len(group) > 1 else group[0])
    return payloads
