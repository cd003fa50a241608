"""What every viewer of one rendition is sent together: made once, framed at most once per transport."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from wire.flv_tag import VIDEO
from wire.websocket import encode_frame

__all__ = ["BEFORE_ALL", "Batch", "Framing", "Mark"]

BEFORE_ALL = -(1 << 63)
"""A media time before every other one."""


class Framing(IntEnum):
    """How FLV bytes lie on the wire: bare (HTTP/1.0), HTTP/1.1 chunks, or binary WebSocket messages."""

    BARE = 0
    CHUNKED = 1
    WEBSOCKET = 2

    def frame(self, payload: bytes) -> bytes:
        """One chunk (RFC 9112, 7.1), one binary message (RFC 6455, 5.2), or the bytes as they are."""
        if self is Framing.CHUNKED:
            return b"%x\r\n%b\r\n" % (len(payload), payload)
        if self is Framing.WEBSOCKET:
            return encode_frame(payload)
        return payload


class Mark(NamedTuple):
    """Where one tag lies in a batch. `t` is a picture's pts, None for everything else; `is_early` as for joiners."""

    kind: int
    dts: int
    t: int | None
    start: int
    end: int
    is_early: bool

    @property
    def is_video(self) -> bool:
        """A picture, or a sequence header of pictures."""
        return self.kind == VIDEO


class Batch:
    """Whole FLV tags that are written in one go. `starts_group` marks the first one of a group of pictures.

    `payload_for_joiners` leaves out sound that lies before the picture the group starts with: players take the
    smallest first timestamp for their zero. `configs` are the sequence headers in force where a group starts, for
    viewers who skipped here and may have missed a change. `t_before` is the latest picture of all batches before.
    """

    __slots__ = (
        "_framed",
        "_framed_for_joiners",
        "configs",
        "dts",
        "marks",
        "payload",
        "payload_for_joiners",
        "starts_group",
        "t_before",
    )

    def __init__(
        self,
        payload: bytes,
        dts: int,
        *,
        starts_group: bool,
        payload_for_joiners: bytes | None = None,
        configs: bytes = b"",
        marks: tuple[Mark, ...] = (),
        t_before: int = BEFORE_ALL,
    ) -> None:
        self.payload = payload
        self.payload_for_joiners = payload if payload_for_joiners is None else payload_for_joiners
        self.dts = dts
        self.starts_group = starts_group
        self.configs = configs
        self.marks = marks
        self.t_before = t_before
        self._framed: list[bytes | None] = [None, None, None]
        self._framed_for_joiners: list[bytes | None] = [None, None, None]

    def __repr__(self) -> str:
        return f"<Batch dts={self.dts} bytes={len(self.payload)} starts_group={self.starts_group}>"

    @property
    def newest_t(self) -> int:
        """The latest picture up to the end of this batch."""
        return max((mark.t for mark in self.marks if mark.t is not None), default=self.t_before)

    def part(self, keep: Callable[[Mark], bool]) -> bytes:
        """The tags that `keep` wants."""
        return b"".join([self.payload[mark.start : mark.end] for mark in self.marks if keep(mark)])

    @property
    def pictures(self) -> bytes:
        """The pictures alone, without sequence headers."""
        return self.part(lambda mark: mark.t is not None)

    @property
    def others(self) -> bytes:
        """Everything but pictures and their sequence headers."""
        return self.part(lambda mark: not mark.is_video)

    def before_picture(self, t: int, *, for_joiner: bool = False) -> bytes:
        """What is left without the picture that is shown at `t` or later, and without all pictures behind it."""
        cut = next((mark.start for mark in self.marks if mark.t is not None and mark.t >= t), len(self.payload))
        return self.part(lambda mark: (not mark.is_video or mark.start < cut) and not (for_joiner and mark.is_early))

    def framed(self, framing: Framing) -> bytes:
        """The bytes for viewers who were there before this group."""
        done = self._framed[framing]
        if done is None:
            done = self._framed[framing] = framing.frame(self.payload)
        return done

    def framed_for_joiners(self, framing: Framing) -> bytes:
        """The bytes for viewers whose first group this is; empty when nothing is left for them."""
        if self.payload_for_joiners is self.payload:
            return self.framed(framing)
        if not self.payload_for_joiners:
            return b""
        done = self._framed_for_joiners[framing]
        if done is None:
            done = self._framed_for_joiners[framing] = framing.frame(self.payload_for_joiners)
        return done
