"""What every viewer of one rendition is sent together: made once, framed at most once per transport."""

from __future__ import annotations

from enum import IntEnum

from wire.websocket import encode_frame

__all__ = ["Batch", "Framing"]


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


class Batch:
    """Whole FLV tags that are written in one go. `starts_group` marks the first one of a group of pictures.

    `payload_for_joiners` leaves out sound that lies before the picture the group starts with: players take the
    smallest first timestamp for their zero. `configs` are the sequence headers in force where a group starts, for
    viewers who skipped here and may have missed a change.
    """

    __slots__ = ("_framed", "_framed_for_joiners", "configs", "dts", "payload", "payload_for_joiners", "starts_group")

    def __init__(
        self,
        payload: bytes,
        dts: int,
        *,
        starts_group: bool,
        payload_for_joiners: bytes | None = None,
        configs: bytes = b"",
    ) -> None:
        self.payload = payload
        self.payload_for_joiners = payload if payload_for_joiners is None else payload_for_joiners
        self.dts = dts
        self.starts_group = starts_group
        self.configs = configs
        self._framed: list[bytes | None] = [None, None, None]
        self._framed_for_joiners: list[bytes | None] = [None, None, None]

    def __repr__(self) -> str:
        return f"<Batch dts={self.dts} bytes={len(self.payload)} starts_group={self.starts_group}>"

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
