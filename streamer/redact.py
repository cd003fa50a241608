"""Secrets and query strings out of any text that is about to be logged."""

from __future__ import annotations

import re

__all__ = ["redact"]

MASK = "***"

_PATTERNS = (
    # The user part of an address: redis://user:password@host.
    (re.compile(r"(?<=://)[^\s/@\"']+(?=@)"), MASK),
    # RFC 6750, 2.1, and any other scheme of the Authorization header.
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20)[A-Za-z0-9._~+/=-]+"), rf"\1 {MASK}"),
    # A query string, whole: /live/demo?ticket=..., or the publish name demo?key=...
    (re.compile(r"\?[^\s?\"'<>=]+(?:=|%3[Dd])[^\s\"'<>]*"), f"?{MASK}"),
    # A secret by its name, wherever it stands; also quoted, as in JSON or a Python repr.
    (
        re.compile(
            r"(?i)\b(key|ticket|token|secret|password|passwd)(=|%3d|[\"']\s*:\s*|\s*=\s*)([\"']?)[^\s\"'&,;)}\]]+",
        ),
        rf"\1\2\3{MASK}",
    ),
)


def redact(text: str) -> str:
    """`text` with keys, tickets, tokens, passwords and query strings masked. Does not grow with repetition."""
    for pattern, mask in _PATTERNS:
        text = pattern.sub(mask, text)
    return text
