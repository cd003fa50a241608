"""What a node that streams tells Prometheus, and a dashboard that asks for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from media.histogram import Histogram
from streamer.config import RecordSettings
from streamer.observe import LoopLag, Metrics, histogram_samples
from tests.support.live import encoder
from tests.support.running import RunningNode, on_uvloop, running_node, settings_in

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"
NAME = re.compile(r"\b(?:streamer|process|python)_[a-z_]+\b")
OPERATIONS = DASHBOARD.with_name("operations.md")
STREAM = "/api/v1/streams/demo"


def expressions(node: Any) -> Iterator[str]:
    """Every query of the dashboard, those of its variables included."""
    if isinstance(node, dict):
        yield from (node[name] for name in ("expr", "definition") if name in node)
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for item in node:
            yield from expressions(item)


async def scrape(running: RunningNode) -> dict[str, float]:
    """Samples by name and labels, as they were written."""
    text = (await running.ask("/metrics", key=None)).body
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
    }


def sum_of(samples: dict[str, float], name: str, **labels: str) -> float:
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [v for k, v in samples.items() if k.partition("{")[0] == name and all(w in k for w in wanted)]
    assert found, f"no sample {name} {labels}"
    return sum(found)


def test_a_node_that_streamed_tells_everything_that_the_dashboard_asks_for(tmp_path: Path) -> None:
    asked = {name for expression in expressions(json.loads(DASHBOARD.read_text())) for name in NAME.findall(expression)}
    documented = set(NAME.findall(OPERATIONS.read_text()))
    assert len(documented) > 5
    assert len(asked) > 30

    async def scenario() -> None:
        async with running_node(settings_in(tmp_path, record=RecordSettings(("*",)))) as running:
            async with encoder(running.publish_url()):
                await running.until(STREAM, "body['tracks']")
                viewer = await running.watch()
                have = (await running.ask(STREAM)).body["counters"]["bytes_out"]
                await running.until(STREAM, f"body['counters']['bytes_out'] > {have + 20_000}")
                samples = await scrape(running)
                viewer.close()
            told = {name.partition("{")[0] for name in samples}
            assert (asked | documented) - histograms_of(told) == set()
            check_values(samples)

    on_uvloop(scenario())


def histograms_of(told: set[str]) -> set[str]:
    """With the names that histograms have as a whole."""
    return told | {name.removesuffix("_count") for name in told if name.endswith("_count")}


def check_values(samples: dict[str, float]) -> None:
    assert sum_of(samples, "streamer_streams", state="live") == 1
    assert sum_of(samples, "streamer_ready") == 1
    assert sum_of(samples, "streamer_flv_joins_total") == 1
    assert sum_of(samples, "streamer_flv_join_seconds_count") == 1
    assert 0 < sum_of(samples, "streamer_flv_join_seconds_sum") < 5
    assert sum_of(samples, "streamer_publish_to_live_seconds_count") == 1
    assert 0 < sum_of(samples, "streamer_publish_to_live_seconds_sum") < 5
    sent = sum_of(samples, "streamer_flv_sent_bytes_total")
    assert sent == sum_of(samples, "streamer_stream_sent_bytes_total", room="demo") > 20_000
    assert sum_of(samples, "streamer_stream_drops_total", room="demo", reason="overlap") == 0
    assert sum_of(samples, "streamer_health_findings") >= 1
    assert sum_of(samples, "streamer_recordings") == 1
    assert sum_of(samples, "streamer_event_loop_lag_seconds_count") >= 1
    assert sum_of(samples, "python_gc_collections_total", generation="2") >= 0


def test_a_rooms_bytes_end_with_its_broadcast_and_the_total_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, encoder(running.publish_url()):
            await running.until(STREAM, "body['tracks']")
            viewer = await running.watch()
            await running.ask(f"{STREAM}?block=60", "DELETE")
            await viewer.content.read()
            await running.until("/api/v1/viewers", "body['total'] == 0")
            samples = await scrape(running)
        assert sum_of(samples, "streamer_flv_sent_bytes_total") > 0
        assert not [name for name in samples if 'room="demo"' in name]
        assert sum_of(samples, "streamer_flv_closed_total", reason="stopped") == 1
        assert sum_of(samples, "streamer_blocked_rooms") == 1

    on_uvloop(scenario())


def test_a_histogram_is_written_as_prometheus_reads_it() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.0625, 0.5, 0.5, 7.0):
        histogram.observe(value)
    metrics = Metrics()
    metrics.add_source(lambda: histogram_samples("wait_seconds", "Waiting", histogram))
    assert metrics.render() == (
        "# HELP wait_seconds Waiting\n# TYPE wait_seconds histogram\n"
        'wait_seconds_bucket{le="0.1"} 1\nwait_seconds_bucket{le="1"} 3\nwait_seconds_bucket{le="+Inf"} 4\n'
        "wait_seconds_sum 8.0625\nwait_seconds_count 4\n"
    )


def test_each_wake_up_of_the_loop_is_counted() -> None:
    lag = LoopLag()
    for at, late in enumerate((0.0001, 0.02, -0.1)):
        lag.note(late, now=float(at))
    samples = {(s.name, s.suffix, s.labels.get("le")): s.value for s in lag.samples()}
    assert samples["streamer_event_loop_lag_seconds", "_count", None] == 3
    assert samples["streamer_event_loop_lag_seconds", "_bucket", "0.0005"] == 2
