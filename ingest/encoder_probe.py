"""Whether an encoder works on this machine, found out by using it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np

from ingest.codec_threads import CodecThreads
from ingest.encoder_options import in_software
from ingest.transcode_messages import StartRung
from ingest.video_decoder import TICK_TIME
from ingest.video_encoder import FORMAT, Encoded, EncoderFailed, VideoEncoder, mark
from ingest.video_shape import Colour
from media.rung import Rung
from media.ticks import TICKS_PER_SECOND
from media.track import Codec

__all__ = ["PROBE_COMMAND", "ProbeResult", "main", "probe", "start_of", "usable"]

logger = logging.getLogger(__name__)

PROBE_COMMAND = (sys.executable, "-m", "ingest.encoder_probe")
PROBE_TIMEOUT = 20.0
"""Seconds: a driver that has to wake its card up takes some."""
PICTURES = 5
"""Enough for an encoder that answers late to have answered, and for one picture after a second keyframe."""
FRAME_RATE = 30
_PLAIN = Colour(matrix=1, primaries=1, transfer=1, range=1)
_ROOT = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`rung` is to be used: the one that was asked for, or the same with an encoder in software. `problem` says why."""

    rung: Rung
    problem: str = ""


def start_of(rung: Rung, run: int) -> StartRung:
    """What a worker is told to encode this rung."""
    return StartRung(
        rung.name,
        run,
        rung.codec,
        height=rung.height,
        bitrate=rung.bitrate,
        frame_rate=rung.frame_rate,
        preset=rung.preset,
        profile=rung.profile,
        keyframe_interval=rung.keyframe_interval,
        encoder=rung.encoder,
    )


def probe(rung: Rung) -> ProbeResult:
    """Encodes five pictures, here. Some 20 ms in software, and up to seconds where a driver has to wake up."""
    return _result(rung, _problem(rung))


def usable(rungs: Sequence[Rung], command: Sequence[str] = PROBE_COMMAND) -> tuple[Rung, ...]:
    """The same rungs with encoders that work here, each problem said in the log. A rung that nothing encodes is out.

    A driver may crash or hang, so they are tried in a process of their own. Takes up to `PROBE_TIMEOUT` a rung.
    """
    kept: list[Rung] = []
    for rung in rungs:
        result = _try_apart(rung, command)
        if not result.problem:
            kept.append(rung)
        elif result.rung.encoder == rung.encoder or _try_apart(result.rung, command).problem:
            logger.error("rung %s is left out: %s", rung.name, result.problem)
        else:
            logger.warning("rung %s is encoded by %s: %s", rung.name, result.rung.encoder, result.problem)
            kept.append(result.rung)
    return tuple(kept)


def main(arguments: Sequence[str]) -> int:
    """Of one rung as JSON: writes its problem, or nothing."""
    (text,) = arguments
    values = json.loads(text)
    av.logging.set_level(None)
    sys.stdout.write(_problem(Rung(**values | {"codec": Codec(values["codec"])})))
    return 0


def _try_apart(rung: Rung, command: Sequence[str]) -> ProbeResult:
    path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    try:
        ended = subprocess.run(
            [*command, json.dumps(asdict(rung))],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _result(rung, f"{rung.encoder} did not answer within {PROBE_TIMEOUT:.0f} s")
    if ended.returncode:
        how = signal.Signals(-ended.returncode).name if ended.returncode < 0 else f"exit code {ended.returncode}"
        return _result(rung, f"{rung.encoder} ended its process with {how}")
    return _result(rung, ended.stdout.decode(errors="replace"))


def _result(rung: Rung, problem: str) -> ProbeResult:
    return ProbeResult(in_software(rung) if problem else rung, problem)


def _problem(rung: Rung) -> str:
    """Why this rung cannot be encoded, else ''."""
    size = (round(rung.height * 16 / 9 / 2) * 2, rung.height)
    threads = CodecThreads()
    try:
        encoder = VideoEncoder(start_of(rung, 0), size, _PLAIN, frame_rate=FRAME_RATE, threads=threads)
    except EncoderFailed as exc:
        return str(exc)
    try:
        made: list[Encoded] = []
        for index in range(PICTURES):
            made += encoder.encode(_picture(size, index))
        made += encoder.encode(None)
        return _judge(made, has_record=bool(encoder.record))
    except EncoderFailed as exc:
        return str(exc)
    finally:
        encoder.close()


def _judge(made: list[Encoded], *, has_record: bool) -> str:
    wanted = [index * TICKS_PER_SECOND // FRAME_RATE for index in range(PICTURES)]
    if [unit.pts for unit in made] != wanted:
        return f"{len(made)} of {PICTURES} pictures came out, or in another order"
    keyframes = [index for index, unit in enumerate(made) if unit.keyframe]
    if not {0, PICTURES // 2} <= set(keyframes):
        return f"it makes keyframes at {keyframes}, and was asked for 0 and {PICTURES // 2}"
    return "" if has_record else "it tells no parameter sets"


def _picture(size: tuple[int, int], index: int) -> av.VideoFrame:
    width, height = size
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = (np.arange(width) + 8 * index).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(planes, FORMAT)
    frame.pts, frame.time_base = index * TICKS_PER_SECOND // FRAME_RATE, TICK_TIME
    mark(frame, keyframe=index in (0, PICTURES // 2))
    return frame


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
