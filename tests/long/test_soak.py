"""What only time shows. The length comes from `SOAK_SECONDS`: an hour unless told otherwise."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from bench.clip import ClipOptions, make_clip
from bench.flv_bench import FlvBenchOptions, run_flv_bench
from bench.publisher import LoadPublisher
from tests.support.node import RunningNode, running_node

SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "3600"))
VIEWERS = 200
BLIP_EVERY = 60.0
OUTAGE = 4.0
WARM_UP = 30.0
MAX_GROWTH = 8 * 1024 * 1024
"""Bytes. The allocator's own movement; a leak of one object a picture would be more within ten minutes."""

pytestmark = pytest.mark.long


class Host:
    """Publishes, loses its connection every minute without a word, and comes back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._clip = make_clip(ClipOptions(bitrate=1_000_000))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.blips = 0

    def __enter__(self) -> Host:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            publisher = LoadPublisher(self._url, self._clip)
            publisher.connect()
            until = time.monotonic() + BLIP_EVERY
            publisher.run(lambda seconds, until=until: self._stop.wait(seconds) or time.monotonic() > until)
            publisher.close()
            self.blips += 1
            self._stop.wait(OUTAGE)


def rss(node: RunningNode) -> float:
    return node.metric("process_resident_memory_bytes")


@pytest.mark.timeout(SOAK_SECONDS + 600)
def test_viewers_stay_through_an_hour_of_blips_and_memory_is_flat(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, "--open", "--set", "flv.stalled_timeout_s=20") as node,
        Host(node.publish_url("soak")) as host,
    ):
        samples: list[float] = []
        done = threading.Event()

        def sample() -> None:
            done.wait(WARM_UP + 20)
            while not done.wait(10):
                samples.append(rss(node))

        sampler = threading.Thread(target=sample)
        sampler.start()
        options = FlvBenchOptions(
            url=node.flv("soak"),
            viewers=VIEWERS,
            seconds=SOAK_SECONDS,
            ramp=200.0,
            pid=node.pid,
            stalled=5.0,
            settle=WARM_UP / 2,
            floor=False,
        )
        result = run_flv_bench(options)
        done.set()
        sampler.join()
        assert host.blips >= int(SOAK_SECONDS / (BLIP_EVERY + OUTAGE)) - 1
        assert result.viewers_lost == {}, result.viewers_lost
        assert result.largest_gap_ms.max is not None
        assert result.largest_gap_ms.max < (OUTAGE + 2) * 1000
        third = max(1, len(samples) // 3)
        growth = sum(samples[-third:]) / third - sum(samples[:third]) / third
        assert growth < MAX_GROWTH, f"memory grew by {growth / 2**20:.1f} MB"
        assert node.metric("streamer_streams", state="live") + node.metric("streamer_streams", state="stopped") >= 1
