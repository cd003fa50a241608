"""What a server says of itself in Prometheus' text format, read before, during and after a run."""

from __future__ import annotations

import http.client
import math
import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Counts", "growth", "lag_quantile", "metrics_beside", "read_counts", "scrape"]

Counts = Mapping[str, float]
"""Value of each sample by its name with its labels, as the server wrote them."""

TIMEOUT_S = 5.0
MAX_BODY = 4 << 20
LAG = "streamer_event_loop_lag_seconds"
_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*(?:\{.*\})?)\s+(\S+)(?:\s+\d+)?")
_BOUND = re.compile(re.escape(LAG) + r'_bucket\{.*\ble="([^"]+)"')


def metrics_beside(url: str) -> str:
    """Where a server that is reached by this URL has its metrics, if it is a Streamer node."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, "/metrics", "", ""))


def scrape(url: str) -> Counts | None:
    """None when nothing of that kind is there."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        if response.status != 200:
            return None
        return read_counts(response.read(MAX_BODY).decode(errors="replace")) or None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def read_counts(text: str) -> dict[str, float]:
    """What cannot be read is left out."""
    counts: dict[str, float] = {}
    for line in text.splitlines():
        found = None if line.startswith("#") else _SAMPLE.fullmatch(line.strip())
        try:
            if found:
                counts[found[1]] = float(found[2])
        except ValueError:
            continue
    return counts


def growth(before: Counts, after: Counts, name: str) -> float:
    """By how much all samples of this name, whatever their labels, have grown together."""

    def total(counts: Counts) -> float:
        return sum(value for sample, value in counts.items() if sample.partition("{")[0] == name)

    return total(after) - total(before)


def lag_quantile(before: Counts, after: Counts, share: float) -> float | None:
    """Seconds below which this share of the event loop's wake-ups was late, between two scrapes: a straight line inside
    a bucket of the histogram, as Prometheus draws it, and its lower end in the last one. None without wake-ups.
    """
    buckets = sorted(
        (float(found[1]), after[name] - before.get(name, 0.0)) for name in after if (found := _bound(name))
    )
    wanted = share * buckets[-1][1] if buckets else 0.0
    if wanted <= 0:
        return None
    low, below = 0.0, 0.0
    for high, count in buckets:
        if count >= wanted:
            return low if math.isinf(high) else low + (high - low) * (wanted - below) / (count - below)
        low, below = high, count
    return low


def _bound(name: str) -> re.Match[str] | None:
    return _BOUND.match(name)
