"""What a run of `streamer bench whep` was asked for, and everything that it measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.figures import Spread
from bench.load_run import LoadFigures, LoadOptions
from bench.sample_reading import FlashSeen

__all__ = ["NodeFigures", "SoundFigures", "WhepBenchOptions", "WhepFloorFigures", "WhepResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhepBenchOptions(LoadOptions):
    """One run. Of `decrypt_every` viewers one is checked to the end. `metrics` is where the server has its metrics;
    without it a Streamer node is looked for at the place of the URL.
    """

    decrypt_every: int = 50
    metrics: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WhepFloorFigures:
    """The bare loop under the same load; `ratio` is server over floor. `language` is what it is written in."""

    seconds: float
    cpu: float
    cpu_per_viewer: float
    us_per_packet: float
    packets_per_second_per_viewer: float
    sends_per_second_per_viewer: float
    short_sends: int
    dropped: int
    gso: bool
    language: str
    ratio: float | None


@dataclass(frozen=True, slots=True)
class SoundFigures:
    """The Opus track. Of all viewers: `expected` and `missing` packets, and `viewers_without`, who were promised sound
    and got none. Of the checked ones: `packets`, and `gaps` and `steps_back` of RTP time where none is missing.

    Some seconds of each checked viewer were decoded: `decoded` packets, `undecodable` ones, and the loudness of each
    piece, dB of full scale (RMS). `flashes` are those of the picture, with how much later their beeps were; the
    skews are their absolute values, by sender reports as a browser plays it, and by Streamer-Timeline.
    """

    expected: int
    missing: int
    viewers_without: int
    packets: int
    gaps: int
    steps_back: int
    malformed: int
    decoded: int
    undecodable: int
    level_db: Spread
    skew_ms: Spread
    skew_by_timeline_ms: Spread
    flashes_without_beep: int
    flashes: list[FlashSeen]


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What a Streamer node's own metrics say of the window. `lag` is how late its event loop's wake-ups were; `worst`
    is the largest that was seen. The rest are counts: viewers skipped to a keyframe, packets sent again, and packets
    asked for that it did not have, groups of pictures sent again, datagrams dropped by it, and viewers that it closed.
    """

    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_worst_ms: float | None
    skips: float
    repairs: float
    unrepaired: float
    replays: float
    dropped: float
    closed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WhepResult(LoadFigures):
    """Everything that a run measured. Times are milliseconds, sizes bytes, processor shares percent of one core.

    `checked` are the viewers that decrypted everything; gaps, reads, pictures, repairs, latency and `timestamp_error`
    are theirs. `kernel_drops` are datagrams that this machine lost in the window, by place. `failures` are sentences
    about what is wrong with what viewers were sent, whatever the load.
    """

    answer_ms: Spread
    connected_ms: Spread
    first_packet_ms: Spread
    first_keyframe_ms: Spread
    largest_gap_ms: Spread
    latency_ms: Spread
    timestamp_error_ms: Spread
    bytes: int
    bits_per_second_per_viewer: float
    packets_per_second_per_viewer: float
    reads_per_second_per_viewer: float
    packets_expected: int
    packets_missing: int
    packets_dropped_by_viewers: int
    kernel_drops: dict[str, int]
    checked: int
    pictures: int
    pictures_shown: int
    pictures_damaged: int
    gops: int
    gops_damaged: int
    holes: int
    backward_steps: int
    freezes: int
    frozen_ms: float
    packets_repaired: int
    packets_unrepaired: int
    retransmissions: int
    packets_discarded: int
    sound: SoundFigures
    srtp_profiles: dict[str, int]
    timeline_origins: dict[str, int]
    timeline_distance_ms: Spread
    sessions_not_deleted: dict[str, int]
    node: NodeFigures | None
    floor: WhepFloorFigures | None
    failures: list[str]
