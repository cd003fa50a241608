"""The one family of failures that a parser in `wire` may raise.

What a peer sends either parses or raises a `WireError`. Anything else that escapes a parser is a bug.
"""

from __future__ import annotations

__all__ = ["LimitExceeded", "Malformed", "Truncated", "Unsupported", "WireError"]


class WireError(Exception):
    """What the peer sent cannot be used; the message carries the numbers."""


class Truncated(WireError):
    """The value ends before it is complete."""


class Malformed(WireError):
    """The bytes break the rules of their format."""


class Unsupported(WireError):
    """The bytes are well formed but ask for something that is not implemented."""


class LimitExceeded(WireError):
    """A size or a count is over a named limit."""
