"""What a run's sound and the node's own metrics say, and whether what viewers were sent is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import Spread
from bench.load_run import Look
from bench.node_metrics import Counts, growth, lag_quantile
from bench.sample_reading import Reading
from bench.whep_result import NodeFigures, SoundFigures, WhepBenchOptions
from bench.whep_viewers import WhepReport

__all__ = ["LIP_SYNC_MS", "failures", "node_figures", "sound_figures"]

LIP_SYNC_MS = 40
"""EBU R 37 lets sound be 40 ms early and 60 ms late; a server that passes media on needs no more than 40 either way."""
SILENT_DB = -60
"""RMS. A quiet room is louder; a microphone that is switched off is not."""
_WORST = "streamer_event_loop_lag_worst_seconds"


def sound_figures(merged: WhepReport, reading: Reading) -> SoundFigures:
    by_reports = [abs(flash.by_reports_ms) for flash in reading.flashes if flash.by_reports_ms is not None]
    by_timeline = [abs(flash.by_timeline_ms) for flash in reading.flashes if flash.by_timeline_ms is not None]
    heard = [flash for flash in reading.flashes if (flash.by_reports_ms, flash.by_timeline_ms) != (None, None)]
    return SoundFigures(
        expected=merged.sound_expected,
        missing=merged.sound_missing,
        viewers_without=merged.unheard,
        packets=merged.sounds,
        gaps=merged.sound_gaps,
        steps_back=merged.sound_steps_back,
        malformed=merged.sound_malformed,
        decoded=reading.sounds - reading.undecodable_sounds,
        undecodable=reading.undecodable_sounds,
        level_db=Spread.of(reading.levels_db),
        skew_ms=Spread.of(by_reports),
        skew_by_timeline_ms=Spread.of(by_timeline),
        flashes_without_beep=len(reading.flashes) - len(heard),
        flashes=reading.flashes,
    )


def failures(options: WhepBenchOptions, sound: SoundFigures, reading: Reading) -> Iterator[str]:
    """One sentence each. Nothing of what a load or a path does to packets: loss is a figure, not a failure."""
    if sound.viewers_without:
        yield f"{sound.viewers_without} viewers were promised sound and got none"
    if sound.undecodable or sound.malformed:
        broken = max(sound.undecodable, sound.malformed)
        yield f"{broken} of {max(reading.sounds, sound.packets)} sound packets cannot be decoded"
    if reading.levels_db and max(reading.levels_db) < SILENT_DB:
        yield f"the sound is silence: at most {max(reading.levels_db):.0f} dB of full scale"
    for skew, clock in ((sound.skew_ms, "sender reports"), (sound.skew_by_timeline_ms, "Streamer-Timeline")):
        if skew.max is not None and skew.max > LIP_SYNC_MS:
            yield f"sound and picture are {skew.max:.0f} ms apart by {clock}, at most {LIP_SYNC_MS} ms are allowed"
    if options.publish and 2 * sound.flashes_without_beep > len(sound.flashes):
        yield f"{sound.flashes_without_beep} of {len(sound.flashes)} flashes of the published stream have no beep"


def node_figures(looks: Sequence[Look]) -> NodeFigures | None:
    """None when the server is no Streamer node, or its metrics could not be read."""
    seen = [look.counts for look in looks if look.counts is not None and _WORST in look.counts]
    if len(seen) < 2:
        return None
    first, last = seen[0], seen[-1]
    worst = max(counts[_WORST] for counts in seen[1:])
    lags = [lag_quantile(first, last, share) for share in (0.5, 0.99)]
    p50, p99 = (None if lag is None else 1000 * min(lag, worst) for lag in lags)
    return NodeFigures(
        lag_p50_ms=p50,
        lag_p99_ms=p99,
        lag_worst_ms=1000 * worst,
        **{name: _growth(first, last, name) for name in ("skips", "repairs", "unrepaired", "replays", "closed")},
        dropped=growth(first, last, "streamer_webrtc_dropped_total"),
    )


def _growth(before: Counts, after: Counts, name: str) -> float:
    return growth(before, after, f"streamer_whep_{name}_total")
