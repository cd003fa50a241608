"""Token buckets: how much somebody may do at once, and how much in the long run."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["RateTable", "TokenBucket"]


class TokenBucket:
    """`burst` at once, `rate` per second in the long run. `now` is monotonic seconds."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, count: float = 1.0) -> bool:
        """Whether `count` may be done now; if so they are spent."""
        self._fill(now)
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def whole(self, now: float) -> int:
        """How many could be taken now."""
        self._fill(now)
        return int(self._tokens)

    def is_full(self, now: float) -> bool:
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)


class RateTable:
    """A bucket per key. The table is bounded: beyond `limit` keys the one that was used longest ago is forgotten."""

    def __init__(self, rate: float, burst: float, *, limit: int) -> None:
        self._rate = rate
        self._burst = burst
        self._limit = limit
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float, count: float = 1.0) -> bool:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
            if len(self._buckets) > self._limit:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now, count)
