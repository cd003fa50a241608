"""What a ladder costs: this project's worker against FFmpeg's command with the same graph, in interleaved pairs."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import av

from bench.figures import Spread, table
from bench.picture_quality import compare_files

__all__ = ["LadderOptions", "LadderResult", "add_parser", "run_ladder_bench"]

WORKER = (sys.executable, "-m", "ingest.transcode_file")
DEFAULT_RUNGS = "720p=h264:720:2500k:superfast,480p=h264:480:1200k:veryfast,360p=h264:360:700k:veryfast"
CLIP_RATE = 6_000_000
TIMEOUT_S = 600.0  # of one run of either


class BenchProblem(ValueError):
    """It could not be measured; the sentence says why."""


@dataclass(frozen=True, slots=True)
class LadderOptions:
    """`clip` None makes one: 1080p30, High, 3 B-frames, `seconds` long. `paced_s` 0 leaves the latency out."""

    rungs: str = DEFAULT_RUNGS
    pairs: int = 5
    seconds: int = 10
    paced_s: float = 10.0
    clip: Path | None = None
    ffmpeg: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One of either. `fps` counts source pictures; `cpu_s` is user and system time."""

    wall_s: float
    cpu_s: float
    fps: float


@dataclass(slots=True)
class RungFigures:
    """`cores` is CPU over media time, in the paced run; PSNR and SSIM against the source, scaled."""

    size: str
    kbps: float
    frames: int
    dropped: int
    latency_ms: Spread
    cores: float | None
    psnr: float
    ssim: float
    reference_psnr: float
    reference_ssim: float


@dataclass(slots=True)
class LadderResult:
    """`ratios` is our CPU over FFmpeg's, one per pair."""

    conditions: dict[str, Any]
    worker: list[Run] = field(default_factory=list)
    reference: list[Run] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    rungs: dict[str, RungFigures] = field(default_factory=dict)
    keyframes_aligned: bool = False
    keyframes: int = 0
    reorder_ms: float = 0.0
    paced_cores: float | None = None

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(self, default=_plain))
        return plain


def run_ladder_bench(options: LadderOptions) -> LadderResult:
    """Everything, in a folder that is removed again. BenchProblem."""
    ffmpeg = options.ffmpeg or find_ffmpeg()
    with tempfile.TemporaryDirectory(prefix="ladder") as name:
        folder = Path(name)
        clip = options.clip or make_clip(ffmpeg, folder / "clip.flv", options.seconds)
        result = LadderResult(_conditions(options, clip, ffmpeg))
        told: dict[str, Any] = {}
        for _ in range(options.pairs):
            told, ours = _worker(clip, folder / "worker", options.rungs)
            theirs = _reference(ffmpeg, clip, folder / "reference", told)
            result.worker.append(ours)
            result.reference.append(theirs)
            result.ratios.append(ours.cpu_s / theirs.cpu_s)
        _judge(result, told, clip, folder)
        if options.paced_s:
            _pace(result, clip, folder, options)
    return result


def find_ffmpeg() -> str:
    """The static command of the package imageio-ffmpeg where that is there, else the one on the path. BenchProblem."""
    try:
        package = importlib.import_module("imageio_ffmpeg")  # a tool of developers, which a node does not need
    except ImportError:
        found = shutil.which("ffmpeg")
        if found is None:
            raise BenchProblem("there is no ffmpeg: install imageio-ffmpeg, or name one with --ffmpeg") from None
        return found
    return str(package.get_ffmpeg_exe())


def make_clip(ffmpeg: str, path: Path, seconds: int) -> Path:
    """Motion with grain, as a camera has it, in what OBS sends for 1080p30: High, B-frames, a keyframe every 2 s."""
    picture = "testsrc2=s=1920x1080:r=30,rotate=a=0.02*t:c=gray,noise=alls=10:allf=t,format=yuv420p"
    codec = f"-c:v libx264 -preset veryfast -profile:v high -bf 3 -g 60 -b:v {CLIP_RATE} -maxrate {CLIP_RATE}"
    more = f"-bufsize {CLIP_RATE} -an -f flv -y {path}"
    _call(
        [
            ffmpeg,
            "-v",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            picture,
            "-t",
            str(seconds),
            *codec.split(),
            *more.split(),
        ]
    )
    return path


def reference_command(ffmpeg: str, clip: Path, folder: Path, rungs: dict[str, Any]) -> list[str]:
    """The same graph as a user writes it: one process, scaled in a cascade, the same encoders with the same options."""
    names = sorted(rungs, key=lambda name: rungs[name]["height"], reverse=True)
    chains, source = [], "0:v"
    for index, name in enumerate(names):
        chain = f"[{source}]scale={rungs[name]['width']}:{rungs[name]['height']},format=yuv420p"
        is_last = index == len(names) - 1
        chains.append(f"{chain}[out{index}]" if is_last else f"{chain},split=2[out{index}][next{index}]")
        source = f"next{index}"
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(clip), "-filter_complex", ";".join(chains)]
    for index, name in enumerate(names):
        rung = rungs[name]
        options = [word for key, value in rung["options"].items() for word in (f"-{key}", str(value))]
        command += ["-map", f"[out{index}]", "-c:v", rung["encoder"], "-b:v", str(rung["bitrate"]), *options]
        command += ["-force_key_frames", "source", "-fps_mode", "passthrough", str(folder / f"{name}.mp4")]
    return command


def _worker(clip: Path, folder: Path, rungs: str, *more: str) -> tuple[dict[str, Any], Run]:
    output, _, _ = _call([*WORKER, str(clip), str(folder), "--rungs", rungs, *more])
    told: dict[str, Any] = json.loads(output)
    return told, Run(told["wall_s"], told["cpu_s"], told["frames"] / told["wall_s"])


def _reference(ffmpeg: str, clip: Path, folder: Path, told: dict[str, Any]) -> Run:
    folder.mkdir(exist_ok=True)
    _, wall, cpu = _call(reference_command(ffmpeg, clip, folder, told["rungs"]))
    return Run(wall, cpu, told["frames"] / wall)


def _judge(result: LadderResult, told: dict[str, Any], clip: Path, folder: Path) -> None:
    """Everything that is the same in each run."""
    keyframes = [rung["keyframes"] for rung in told["rungs"].values()]
    result.keyframes_aligned = all(each == keyframes[0] for each in keyframes)
    result.keyframes = len(keyframes[0])
    result.reorder_ms = told["reorder_ms"]
    seconds = _duration(clip)
    for name, rung in told["rungs"].items():
        ours = compare_files(clip, folder / "worker" / f"{name}.mp4")
        theirs = compare_files(clip, folder / "reference" / f"{name}.mp4")
        result.rungs[name] = RungFigures(
            f"{rung['width']}x{rung['height']}",
            rung["bytes"] * 8 / 1000 / seconds,
            rung["frames"],
            rung["dropped"],
            Spread.of([]),
            None,
            *ours,
            *theirs,
        )


def _pace(result: LadderResult, clip: Path, folder: Path, options: LadderOptions) -> None:
    told, _ = _worker(clip, folder / "paced", options.rungs, "--paced", "--seconds", str(options.paced_s))
    result.paced_cores = told["cpu_s"] / told["wall_s"]
    for name, rung in told["rungs"].items():
        figures = result.rungs[name]
        figures.latency_ms = Spread.of(rung["spent_us"], 1e-3)
        figures.cores = rung["cpu_s"] / told["wall_s"]
        figures.dropped += rung["dropped"]


def _call(command: Sequence[str]) -> tuple[str, float, float]:
    """What it printed, and the seconds of wall and CPU that it took. BenchProblem."""
    began = monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        before = os.times()
        try:
            output, complaint = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise BenchProblem(f"{command[0]} took longer than {TIMEOUT_S:.0f} s") from None
    after = os.times()
    if process.returncode:
        raise BenchProblem(f"{' '.join(command[:3])} ... failed: {complaint.decode(errors='replace')[-500:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return output.decode(), monotonic() - began, cpu


def _duration(clip: Path) -> float:
    try:
        with av.open(clip) as container:
            return (container.duration or 0) / av.time_base
    except av.FFmpegError as exc:
        raise BenchProblem(f"{clip} cannot be read: {exc.strerror}") from exc


def _conditions(options: LadderOptions, clip: Path, ffmpeg: str) -> dict[str, Any]:
    version, _, _ = _call([ffmpeg, "-version"])
    return {
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "load_average": os.getloadavg()[0],
        "clip": str(options.clip or "made"),
        "seconds": _duration(clip),
        "rungs": options.rungs,
        "ffmpeg": version.split()[2],
        "libraries": ".".join(map(str, av.library_versions["libavcodec"])),
    }


def _plain(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`streamer bench ladder`."""
    parser = commands.add_parser("ladder", help="what a ladder costs, beside FFmpeg's command")
    default = LadderOptions()
    parser.add_argument("--rungs", default=default.rungs, metavar="NAME=CODEC:HEIGHT:BITRATE[:PRESET[:PROFILE]],...")
    parser.add_argument("--pairs", type=int, default=default.pairs, help="interleaved; the median counts")
    parser.add_argument("--seconds", type=int, default=default.seconds, help="of the clip that is made")
    parser.add_argument("--paced", type=float, default=default.paced_s, dest="paced_s", metavar="SECONDS", help="live")
    parser.add_argument("--clip", type=Path, help="another one: FLV or MP4, H.264 or H.265")
    parser.add_argument("--ffmpeg", metavar="PATH", help="another command than the one of imageio-ffmpeg")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.set_defaults(command=_main)


def _main(args: argparse.Namespace) -> int:
    names = set(LadderOptions.__dataclass_fields__)
    result = run_ladder_bench(LadderOptions(**{key: value for key, value in vars(args).items() if key in names}))
    print(table(_rows(result)))
    if args.json:
        args.json.write_text(json.dumps(result.to_json(), indent=2) + "\n")
    return 0


def _rows(result: LadderResult) -> list[tuple[str, str]]:
    c = result.conditions
    rows = [
        ("conditions", f"{c['cores']} cores, Linux {c['kernel']}, Python {c['python']}, load {c['load_average']:.1f}"),
        ("worker", _runs(result.worker)),
        (f"FFmpeg {c['ffmpeg']}", _runs(result.reference)),
        ("CPU, worker / FFmpeg", f"median {median(result.ratios):.3f} of {_listed(result.ratios)}"),
        ("keyframes", f"{result.keyframes}, {'the same' if result.keyframes_aligned else 'NOT THE SAME'} in all rungs"),
        ("reorder delay", f"{result.reorder_ms:.0f} ms, the source's own"),
    ]
    if result.paced_cores is not None:
        rows.append(("live", f"{result.paced_cores:.2f} cores for all"))
    for name, rung in result.rungs.items():
        rows.append((name, f"{rung.size}, {rung.kbps:.0f} kb/s, {rung.frames} pictures, {rung.dropped} dropped"))
        reference = f"FFmpeg {rung.reference_psnr:.2f} dB and {rung.reference_ssim:.4f}"
        rows.append((f"{name} quality", f"PSNR {rung.psnr:.2f} dB, SSIM {rung.ssim:.4f}; {reference}"))
        if rung.cores is not None:
            rows.append((f"{name} latency, ms", f"{rung.latency_ms}; {rung.cores:.2f} cores"))
    return rows


def _runs(runs: Sequence[Run]) -> str:
    return f"{median(run.cpu_s for run in runs):.2f} CPU-s, {median(run.fps for run in runs):.1f} pictures a second"


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
