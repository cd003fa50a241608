"""A server's own words, in Prometheus' text format."""

from __future__ import annotations

import pytest

from bench.kernel_drops import kernel_drops
from bench.node_metrics import growth, lag_quantile, metrics_beside, read_counts, scrape
from media.histogram import Histogram
from streamer.observe import LAG_BOUNDS, LoopLag, Metrics, Sample

LAG = "streamer_event_loop_lag_seconds_bucket"


@pytest.mark.parametrize(
    ("url", "metrics"),
    [
        ("http://127.0.0.1:8080/whep/load?x=1", "http://127.0.0.1:8080/metrics"),
        ("https://live.example.com/whep/load", "https://live.example.com/metrics"),
        ("ws://[::1]:80/live/load.flv", "http://[::1]:80/metrics"),
    ],
)
def test_metrics_are_beside_the_stream(url: str, metrics: str) -> None:
    assert metrics_beside(url) == metrics


def test_samples_are_read_with_their_labels_and_the_rest_is_left_out() -> None:
    text = '# HELP a b\na 1\nb{c="d",e="f g"} 2.5e3\nc 7 1690000000\nbroken\nd x\nwhat else {\n'
    assert read_counts(text) == {"a": 1, 'b{c="d",e="f g"}': 2500, "c": 7}


def test_growth_is_of_all_labels_together_and_of_no_other_name() -> None:
    before = {'a_total{r="x"}': 1.0, "a_total_more": 5.0}
    after = {'a_total{r="x"}': 3.0, 'a_total{r="y"}': 4.0, "a_total_more": 9.0}
    assert growth(before, after, "a_total") == 6


def node_says(lags: list[float]) -> dict[str, float]:
    """What the node's own code would write."""
    lag, metrics = LoopLag(), Metrics()
    for number, seconds in enumerate(lags):
        lag.note(seconds, float(number))
    metrics.add_source(lag.samples)
    metrics.add_source(lambda: [Sample("other", "gauge", "x", 1)])
    return read_counts(metrics.render())


def test_the_lag_of_the_window_is_read_from_what_the_node_writes() -> None:
    before = node_says([0.9] * 50)
    after = node_says([0.9] * 50 + [0.0001] * 985 + [0.015] * 15)
    p99 = lag_quantile(before, after, 0.99)
    assert p99 is not None
    assert 0.01 < p99 < 0.02
    assert lag_quantile(before, after, 0.5) == pytest.approx(0.0005 * 500 / 985)


def test_a_lag_beyond_all_buckets_is_the_last_bound() -> None:
    assert lag_quantile(node_says([]), node_says([5.0]), 0.99) == Histogram(LAG_BOUNDS).bounds[-1]


def test_without_wake_ups_there_is_no_lag() -> None:
    assert lag_quantile(node_says([1.0]), node_says([1.0]), 0.99) is None
    assert lag_quantile({}, {"a": 1.0}, 0.99) is None


def test_a_server_without_metrics_says_nothing() -> None:
    assert scrape("http://127.0.0.1:1/metrics") is None


def test_the_kernel_counts_every_place_of_a_loss() -> None:
    drops = kernel_drops()
    assert set(drops) == {"receive buffer", "send buffer", "memory", "backlog"}
    assert all(count >= 0 for count in drops.values())
