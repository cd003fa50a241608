"""Hundreds of WHEP viewers for ten minutes, on one machine with the load: nothing lost, nobody late, memory flat.

It wants two cores of its own. What fails says where to look: the load's sockets, the kernel, or the node.
"""

from __future__ import annotations

import pytest

from bench.whep_bench import run_whep_bench
from bench.whep_result import WhepBenchOptions, WhepResult
from tests.support.node import running_node

VIEWERS, BITRATE = 600, 2_500_000
HOLD_S = 600.0
MAX_LAG_MS = 20.0
MAX_GROWTH = 6 * 1024 * 1024
"""Of the second half: allocators and counters settle in the first."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> WhepResult:
    with running_node(tmp_path_factory.mktemp("node"), "--open", "--log-level", "warning") as node:
        return run_whep_bench(
            WhepBenchOptions(
                url=node.url("/whep/hold"),
                viewers=VIEWERS,
                seconds=HOLD_S,
                pid=node.pid,
                publish=node.publish_url("hold"),
                bitrate=BITRATE,
                decrypt_every=200,
                floor=False,
            )
        )


def test_nobody_is_lost_and_nothing_is_missing(held: WhepResult) -> None:
    assert held.viewers_lost == {}
    assert (held.packets_dropped_by_viewers, held.kernel_drops) == (0, dict.fromkeys(held.kernel_drops, 0))
    assert held.packets_missing == 0
    assert held.node is not None
    assert (held.node.skips, held.node.dropped, held.node.closed) == (0, 0, 0)
    assert held.bits_per_second_per_viewer > BITRATE


def test_what_they_see_and_hear_is_whole(held: WhepResult) -> None:
    assert (held.pictures, held.holes, held.gops_damaged) == (held.pictures_shown, 0, 0)
    assert (held.sound.missing, held.sound.gaps, held.sound.steps_back) == (0, 0, 0)
    assert held.failures == []


def test_the_event_loop_is_never_far_behind(held: WhepResult) -> None:
    assert held.node is not None
    assert held.node.lag_p99_ms is not None
    assert held.node.lag_p99_ms < MAX_LAG_MS


def test_memory_is_flat(held: WhepResult) -> None:
    series = held.server_memory_series
    grown = series[-1].rss - series[len(series) // 2].rss
    assert grown < MAX_GROWTH, f"memory grew by {grown / 2**20:.1f} MB in the second half"
