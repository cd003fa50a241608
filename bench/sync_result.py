"""The outcome of a sync run: conditions, ground truth, and each page's figures; as rows and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.figures import Spread
from bench.sync_figures import EventFigures, Firing, Judge, Judged, figures, placement
from bench.sync_glass import GlassFigures, glass
from bench.sync_host import Captures
from bench.sync_run import SyncRun
from bench.sync_viewer import SyncViewer

__all__ = ["PageResult", "SyncResult", "assess"]

STEADY_MS = 1.0
"""How much `t - burned pts` of one host may move: FLV counts whole milliseconds."""
USUAL_REFRESH_MS = 1000 / 60


@dataclass(frozen=True, slots=True)
class PageResult:
    """One page. `quality` is what the browser and the SDK count: drops, freezes, jumps, connections."""

    name: str
    via: str
    events: EventFigures
    glass: GlassFigures
    refresh_ms: float
    read_ms: Spread
    quality: dict[str, Any]
    complaints: tuple[str, ...]
    judged: tuple[Judged, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "via": self.via,
            "events": self.events.to_json(),
            "glass": self.glass.to_json(),
            "refresh_ms": self.refresh_ms,
            "read_ms": _spread(self.read_ms),
            "quality": self.quality,
            "complaints": list(self.complaints),
            "each": [
                {"id": one.event.id, "how": one.event.how, "t_ms": one.event.t_ms, "verdict": one.verdict}
                | {"apart_ms": one.apart_ms, "truth_ms": one.truth_ms, "ahead_ms": one.ahead_ms, "jumped": one.jumped}
                for one in self.judged
            ],
        }


@dataclass(frozen=True, slots=True)
class SyncResult:
    """`fits` is, by host, how far `t - burned pts` moved (ms) over how many pictures; `placed` where the server put
    events less where their instants were, by how they were posted; `host_step` the times between captures.
    """

    conditions: dict[str, Any]
    fits: dict[int, tuple[int, int]]
    unreadable: int
    host_delay_ms: int
    host_bound_ms: int
    host_step: Spread
    placed: dict[str, tuple[float, Spread]]
    pages: tuple[PageResult, ...]
    found: dict[str, Any]

    @property
    def is_steady(self) -> bool:
        return all(spread <= STEADY_MS for spread, _ in self.fits.values())

    @property
    def is_good(self) -> bool:
        """99 of 100 on time on every page, none early, none lost, and a timeline that does not move."""
        return self.is_steady and all(page.events.is_good for page in self.pages) and not self.found.get("wrong")

    def to_json(self) -> dict[str, Any]:
        return {
            "conditions": self.conditions,
            "fits": {number: {"spread_ms": fit[0], "pictures": fit[1]} for number, fit in self.fits.items()},
            "unreadable": self.unreadable,
            "host_delay_ms": self.host_delay_ms,
            "host_bound_ms": self.host_bound_ms,
            "host_step_ms": _spread(self.host_step),
            "placed_ms": {how: {"min": low} | _spread(spread) for how, (low, spread) in self.placed.items()},
            "pages": [page.to_json() for page in self.pages],
            "found": {
                name: _spread(value) if isinstance(value, Spread) else value for name, value in self.found.items()
            },
            "is_good": self.is_good,
        }

    def rows(self) -> list[tuple[str, str]]:
        """For a person to read."""
        c = self.conditions
        fits = ", ".join(f"host {n} moved {spread} ms in {count} pictures" for n, (spread, count) in self.fits.items())
        rows = [
            ("conditions", f"{c['cores']} cores, Linux {c['kernel']}, load {c['load']:.1f}, Chromium {c['browser']}"),
            (
                "stream",
                f"{c['ingest']}, {c['width']}x{c['height']} at {c['fps']}, {c['loss']:g} % loss, {c['scenario']}",
            ),
            ("t - burned pts", fits),
            (
                "host's delay",
                f"{self.host_delay_ms} ms, within {self.host_bound_ms}; captures each {self.host_step} ms",
            ),
        ]
        rows += [(f"placed by {how}, ms", f"min {low:.1f}   {spread}") for how, (low, spread) in self.placed.items()]
        for page in self.pages:
            rows += _page_rows(page)
        return rows + [(name.replace("_", " "), str(value)) for name, value in self.found.items()]


def assess(run: SyncRun, load: float, found: Mapping[str, Any]) -> SyncResult:
    """Everything that the run has recorded, against its ground truth."""
    captures, options = run.captures(), run.options
    placed = placement(run.posted, run.probe.fits, captures)
    delay, bound = run.host_delay or (0, 0)
    conditions = {
        "cores": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "load": load,
        "browser": run.opener.version if run.opener else "",
        "ingest": options.ingest,
        "scenario": options.scenario,
        "seed": options.seed,
        "loss": options.loss,
        "events": len(run.posted),
        "width": options.width,
        "height": options.height,
        "fps": options.fps,
        "bitrate": options.bitrate,
    }
    return SyncResult(
        conditions,
        fits={number: (fit.spread_ms, fit.pictures) for number, fit in run.probe.fits.by_number.items()},
        unreadable=run.probe.reader.unreadable,
        host_delay_ms=delay,
        host_bound_ms=bound,
        host_step=Spread.of(captures.steps(), 1000),
        placed={how: (min(values), Spread.of(values)) for how, values in placed.items()},
        pages=tuple(_page(run, viewer, captures) for viewer in run.viewers),
        found=dict(found),
    )


def _page(run: SyncRun, viewer: SyncViewer, captures: Captures) -> PageResult:
    refreshes = viewer.state.get("refreshes") or [USUAL_REFRESH_MS]
    refresh = min(float(median(refreshes)), 2 * USUAL_REFRESH_MS)
    judge = Judge(run.probe.fits, captures, viewer.drawn, allowed_ms=1000 / run.options.fps + refresh)
    first: dict[str, Firing] = {}
    for firing in viewer.firings:
        first.setdefault(firing.id, firing)
    judged = [judge.judge(event, first[event.id]) for event in run.posted if event.id in first]
    judged += [judge.judge(event, None) for event in run.not_shown(viewer)]
    steady = [frame for frame in viewer.drawn if frame.presented_ms >= 1000 * run.measured_from]
    wrong = sum(_is_wrong(run, frame.t_ms, frame.code) for frame in steady)
    return PageResult(
        viewer.name,
        viewer.via,
        figures(judged, viewer.firings, judge.allowed_ms),
        glass(steady, captures, every=run.options.every, wrong_frame=wrong),
        refresh,
        Spread.of(viewer.reads),
        {name: value for name, value in viewer.state.items() if name != "refreshes"},
        tuple(viewer.complaints),
        tuple(judged),
    )


def _is_wrong(run: SyncRun, t_ms: float, code: tuple[int, int] | None) -> bool:
    at = None if code is None else run.probe.fits.t_ms(*code)
    return at is not None and abs(at - t_ms) > STEADY_MS + 1


def _page_rows(page: PageResult) -> list[tuple[str, str]]:
    e, g = page.events, page.glass
    share = "no event" if e.share is None else f"{100 * e.share:.1f} % on time"
    counts = ", ".join(f"{count} {verdict}" for verdict, count in e.counts.items())
    counts += f" ({e.jumped} whose frame was never displayed)" if e.jumped else ""
    by = ", ".join(f"{count} {reason}" for reason, count in e.by.items())
    rows = [
        (page.name, f"{'good' if e.is_good else 'NOT GOOD'}: {share} (within {e.allowed_ms:.0f} ms): {counts}"),
        ("  frame - t, ms", f"min {_number(e.earliest_ms)}   {e.displayed}"),
        ("  ... as the page says", str(e.said)),
        ("  frame - instant, ms", str(e.truth)),
        ("  there before, ms", f"min {_number(e.least_ahead_ms)}   {e.ahead}"),
        ("  fired by", by + (f"; {e.twice} TWICE" if e.twice else "")),
        ("  glass to glass, ms", f"{g.latency}   drift {_number(g.drift_ms)}, trend {_number(g.trend_ms)}"),
        ("  frames", f"{g.frames} told, {g.skipped} not told, {g.read} read, {g.wrong_frame} ahead of their callback"),
        ("  player", _player(page.quality)),
        ("  read-back, ms", str(page.read_ms)),
    ]
    if e.came_late.count:
        rows.insert(4, ("  came late by, ms", str(e.came_late)))
    return rows + [("  COMPLAINT", complaint) for complaint in page.complaints]


def _player(quality: Mapping[str, Any]) -> str:
    stats = quality.get("stats", {})
    counted = (f"{stats.get(name)} {name}" for name in ("freezes", "jumps", "connections"))
    frames = f"{quality.get('dropped')} of {quality.get('presented')} frames dropped"
    return f"{frames}, {', '.join(counted)}, buffer {1000 * stats.get('bufferS', 0):.0f} ms"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _spread(spread: Spread) -> dict[str, Any]:
    return {name: getattr(spread, name) for name in ("count", "p50", "p95", "p99", "max")}
