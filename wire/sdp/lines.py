"""The lines of a session description (RFC 8866, 5), before they mean anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = ["MAX_SDP_SIZE", "Attributes", "Line", "read_number", "split_lines"]

MAX_SDP_SIZE = 64 * 1024
"""Bytes. Chrome's largest offer, with every codec and simulcast, is about 12 KB."""
MAX_LINES = 2048

Line = tuple[str, str]
"""The letter and what follows the equals sign."""


def split_lines(text: str | bytes) -> list[Line]:
    """Lines end with CRLF or LF; empty ones are skipped. Raises `WireError`."""
    if len(text) > MAX_SDP_SIZE:
        raise LimitExceeded(f"session description of {len(text)} exceeds {MAX_SDP_SIZE} bytes")
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as exc:
            raise Malformed("session description is not UTF-8") from exc
    lines = [line.rstrip("\r") for line in text.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > MAX_LINES:
        raise LimitExceeded(f"{len(lines)} lines of session description exceed {MAX_LINES}")
    if any("\r" in line or "\0" in line for line in lines):
        raise Malformed("a line of a session description has a CR or NUL inside")  # it would be echoed in the answer
    return [_split(line) for line in lines]


class Attributes:
    """The lines of the session or of one section, by name."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._fields = {key: value for key, value in reversed(lines) if key != "a"}
        self._values: dict[str, list[str]] = {}
        for key, value in lines:
            if key == "a":
                name, _, rest = value.partition(":")
                self._values.setdefault(name, []).append(rest)

    def field(self, key: str) -> str | None:
        """The first line with this letter."""
        return self._fields.get(key)

    def all(self, name: str) -> list[str]:
        """The values of all `a=name:value` lines."""
        return self._values.get(name, [])

    def one(self, name: str) -> str | None:
        """The value of the first `a=name:value` line."""
        values = self._values.get(name)
        return values[0].strip() if values else None

    def flag(self, name: str) -> bool:
        return name in self._values

    def first_of(self, names: Sequence[str]) -> str | None:
        """Which of these flags is there."""
        return next((name for name in names if name in self._values), None)

    def by_payload(self, name: str) -> Iterator[tuple[str, str]]:
        """Lines like `a=fmtp:96 rest`, as ("96", "rest")."""
        for value in self.all(name):
            payload, _, rest = value.strip().partition(" ")
            yield payload, rest.strip()


def read_number(text: str, what: str, *, most: int) -> int:
    """Decimal digits from 0 to `most`. Raises `Malformed`."""
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > most:
        raise Malformed(f"{what} {text[:40]!r} is not a number up to {most}")
    return int(text)


def _split(line: str) -> Line:
    if len(line) < 2:
        raise Truncated(f"line {line!r} of a session description")
    if line[1] != "=":
        raise Malformed(f"line {line[:60]!r} of a session description has no '=' behind its letter")
    return line[0], line[2:]
