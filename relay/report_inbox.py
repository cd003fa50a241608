"""Plain reports and consent checks of viewers, handled by the extension where it was built: see `_inbox.c`."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from relay.native import load_native
from wire.rtp.rtcp import ReportBlock

__all__ = ["RawDatagram", "ReportInbox", "ReportReader", "Reports", "open_inbox", "take_reports"]

ControlMessage = tuple[int, int, bytes]
"""Level, type and bytes, as `socket.sendmsg` wants them."""
RawDatagram = tuple[bytes, bytes, list[ControlMessage]]
"""A datagram, who sent it (a `struct sockaddr`), and its control messages."""


class Reports(NamedTuple):
    """What a viewer has said since it was last asked, the last time at `at`: its REMB, and per stream the newest block
    and when that came."""

    at: float
    blocks: tuple[tuple[float, ReportBlock], ...]
    remb: int | None


class ReportReader(Protocol):
    """Opens one peer's reports. `heard_at` is when the last one came, 0 before the first."""

    heard_at: float

    def take(self) -> Any:
        """None, or what `Reports` has, as plain tuples."""

    def answer(self, username: bytes, password: bytes) -> None:
        """Consent checks with these are answered from now on; without a user name, none are."""

    def knows(self, transaction_id: bytes) -> bool:
        """Whether a check with it was answered here, as far as is remembered."""


class ReportInbox:
    """Reads a socket for all peers."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self._inbox = native.Inbox()

    def __len__(self) -> int:
        """Addresses that are listened to."""
        return len(self._inbox)

    @property
    def taken(self) -> int:
        """Reports that were taken in, and checks that were answered."""
        return int(self._inbox.taken)

    def reader(self, key: bytes, salt: bytes) -> ReportReader:
        """For a peer with these SRTCP keys."""
        reader: ReportReader = self._native.Reader(key, salt)
        return reader

    def listen(self, sockaddr: bytes, reader: ReportReader, control: tuple[ControlMessage, ...] = ()) -> None:
        """Plain reports and checks from this address are this reader's, and `receive` no longer returns them.

        `control` makes an answer leave from the address that was contacted.
        """
        self._inbox.listen(sockaddr, reader, *(control[0] if control else (0, 0, b"")))

    def forget(self, sockaddr: bytes, reader: ReportReader) -> None:
        """They are not. Nothing happens when the address is another reader's by now."""
        self._inbox.forget(sockaddr, reader)

    def receive(self, fd: int) -> list[RawDatagram]:
        """What has arrived, up to a bound, and is no report that was taken in. Empty when nothing is there."""
        received: list[RawDatagram] = self._inbox.receive(fd)
        return received


def take_reports(reader: ReportReader) -> Reports | None:
    """What has come since the last call."""
    taken = reader.take()
    if taken is None:
        return None
    blocks, remb = taken
    return Reports(reader.heard_at, tuple([(at, ReportBlock(*fields)) for at, fields in blocks]), remb)


def open_inbox() -> ReportInbox | None:
    """None where the extension was not built."""
    native = load_native()
    return None if native is None else ReportInbox(native)
