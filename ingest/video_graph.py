"""Pictures decoded once, scaled in a cascade, and encoded by one thread per rung: the codecs of the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingest.transcode_messages import (
    Done,
    KeyframeWanted,
    MadeTrack,
    MadeUnit,
    RungFailed,
    RungLags,
    RungReport,
    SourceRefused,
    SourceReport,
    SourceTrack,
    SourceUnit,
    StartRung,
)

__all__ = ["Emitted", "GraphLimits", "VideoGraph"]

Emitted = Done | MadeTrack | MadeUnit | KeyframeWanted | SourceRefused | RungFailed | RungLags


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """`max_lag_ms` of pictures may wait for an encoder, then some are left out; None waits for it instead (files)."""

    max_lag_ms: int | None = 400
    max_pixels: int = 4096 * 2304


class VideoGraph:
    """One source, any number of rungs. `emit` is called from any of its threads, and never with an exception.

    No method waits, whatever the codecs do (except `close`, and `feed` without a `max_lag_ms`): what is asked for
    happens in this order on the graph's own threads. Each unit is answered with one `Done`, when its pictures have
    been handed to the encoders. How many units may be under way without an answer is for the caller to bound.

    A rung's `MadeTrack` comes before its first unit and whenever its configuration changes, which is at a keyframe. All
    rungs have their keyframes at the same pts, always.
    """

    def __init__(self, emit: Callable[[Emitted], None], limits: GraphLimits | None = None) -> None: ...

    def source(self, track: SourceTrack) -> None:
        """The source's codec and configuration, from the next unit on. Rungs stay, encoders restart if they must."""

    def start(self, rung: StartRung) -> None:
        """Encode from the next picture on. A rung of that name that is there already begins anew."""

    def stop(self, output: str) -> None:
        """Encode it no more. What its encoder is busy with may still come out."""

    def feed(self, unit: SourceUnit) -> None:
        """One unit, in decoding order, beginning with a keyframe."""

    def force_keyframe(self) -> None:
        """Make the next picture a keyframe, in all rungs."""

    def live_from(self, pts: int, delay: int) -> None:
        """Pictures before `pts` are only decoded. `delay` is the least decode delay, in ticks."""

    def report(self) -> tuple[SourceReport, list[RungReport]]:
        """What all has come to until now. Any thread may ask."""
        raise NotImplementedError

    def close(self) -> None:
        """End all threads. What is on its way is let go; `finish` would keep it."""

    def finish(self) -> None:
        """The source has ended: encode what is left, then close. Waits for it."""
