"""How many people watch each rendition, for those who have to choose between renditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from media.stream import Stream

__all__ = ["ViewerCounts"]

MAX_AGE_S = 1.0
"""Everyone is counted for one answer, so the next ones share it."""


class ViewerCounts:
    """`places` gives the room and the rendition of everyone who watches now."""

    def __init__(self, places: Callable[[], Iterable[tuple[str, str]]], now: Callable[[], float]) -> None:
        self._places = places
        self._now = now
        self._counted_at = float("-inf")
        self._counts: Counter[tuple[str, str]] = Counter()

    def __call__(self, stream: Stream, rendition: str) -> int:
        """Viewers, at most MAX_AGE_S seconds ago."""
        now = self._now()
        if now - self._counted_at >= MAX_AGE_S:
            self._counts, self._counted_at = Counter(self._places()), now
        return self._counts[stream.key, rendition]
