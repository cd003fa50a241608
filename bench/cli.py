"""`streamer bench`: the load generators, one subcommand each."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TypeVar

from bench import chat, ladder_bench, shop, sync
from bench.blip_bench import BlipOptions, run_blip_bench
from bench.children import ChildError
from bench.clip import ClipOptions, make_clip
from bench.figures import table
from bench.flv_bench import FlvBenchOptions, FlvResult, run_flv_bench
from bench.load_run import LoadFigures
from bench.publisher import open_publisher
from bench.whep_bench import run_whep_bench
from bench.whep_result import WhepBenchOptions
from bench.whep_rows import whep_rows
from wire.errors import WireError

__all__ = ["main"]

_BITRATE = "bits per second of video, such as 2500000 or 2.5M"
Options = TypeVar("Options", BlipOptions, FlvBenchOptions, WhepBenchOptions)


def main(argv: list[str]) -> int:
    """0 when it ran, 1 with a sentence when it could not or a check failed, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="streamer bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_flv(commands.add_parser("flv", help="N viewers of an HTTP-FLV or WS-FLV URL"))
    _add_whep(commands.add_parser("whep", help="N WebRTC viewers of a WHEP URL"))
    _add_blip(commands.add_parser("blip", help="kill and replace the host of a stream while a viewer watches"))
    _add_publish(commands.add_parser("publish", help="send a stamped stream over RTMP or WHIP for ever"))
    chat.add_parser(commands)
    shop.add_parser(commands)
    ladder_bench.add_parser(commands)
    sync.add_parser(commands)
    args = parser.parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except (ChildError, WireError, ValueError, OSError) as error:
        print(f"streamer bench: {error}", file=sys.stderr)
        return 1


def _add_load(parser: argparse.ArgumentParser, *, ramp: float) -> None:
    """What every load of viewers takes."""
    parser.add_argument("-n", "--viewers", type=_count, default=100, metavar="N")
    parser.add_argument("-d", "--seconds", type=_positive, default=10.0, metavar="SECONDS", help="of steady state")
    parser.add_argument("--pid", type=_count, help="the server's process: its processor time and memory are measured")
    parser.add_argument("--publish", metavar="PUBLISH_URL", help="publish a stamped stream there during the run")
    parser.add_argument("--bitrate", type=_bits, default=2_500_000, help=f"{_BITRATE}, with --publish")
    parser.add_argument("--no-audio", dest="audio", action="store_false", help="--publish sends pictures alone")
    parser.add_argument("--ramp", type=_positive, default=ramp, metavar="PER_S", help="viewers that join in a second")
    parser.add_argument("--processes", type=_count, default=1, help="among which the viewers are divided")
    parser.add_argument("--settle", type=_positive, default=5.0, metavar="SECONDS", help="before and after the joins")
    parser.add_argument("--no-floor", dest="floor", action="store_false")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")


def _add_flv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="http:// or ws://")
    _add_load(parser, ramp=200.0)
    parser.add_argument("--stalled", type=_percent, default=0.0, metavar="PERCENT", help="viewers that stop reading")
    parser.add_argument("--ws", dest="websocket", action="store_true", help="view over WebSocket whatever the scheme")
    parser.add_argument("--merge-ms", type=int, default=0, metavar="M", help="the floor's window; 0: each picture")
    parser.set_defaults(command=_flv)


def _add_whep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="http:// or https://, where offers are posted")
    _add_load(parser, ramp=50.0)
    parser.add_argument("--decrypt-every", type=_count, default=50, metavar="K", help="one viewer in K is checked")
    parser.add_argument("--metrics", metavar="URL", help="the node's metrics, where they are not at /metrics")
    parser.add_argument("--token", help="sent as Authorization: Bearer")
    parser.set_defaults(command=_whep)


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url", metavar="URL", help="rtmp://HOST:PORT/APP/NAME?key=SECRET, or http://HOST:PORT/whip/ROOM?key=SECRET"
    )
    parser.add_argument("--width", type=_count, default=1280)
    parser.add_argument("--height", type=_count, default=720)
    parser.add_argument("--fps", type=_count, default=30)
    parser.add_argument("--bitrate", type=_bits, default=2_500_000, help=_BITRATE)
    parser.add_argument("--keyint", type=_positive, default=2.0, help="seconds between keyframes")
    parser.add_argument("--no-audio", dest="audio", action="store_false", help="send pictures alone")
    parser.set_defaults(command=_publish)


def _add_blip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="the FLV URL that the viewer watches")
    parser.add_argument("--publish", metavar="RTMP_URL", required=True, help="where the hosts publish")
    parser.add_argument("--blips", type=_count, default=10, help="half of them kills, half take-overs")
    parser.add_argument("--outage", type=_positive, default=3.0, help="seconds between a kill and the next host")
    parser.add_argument("--play", type=_positive, default=11.0, help="seconds of show between blips")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.set_defaults(command=_blip)


def _blip(args: argparse.Namespace) -> int:
    result = run_blip_bench(_options(BlipOptions, args))
    stayed = "stayed connected" if result.survived else f"LOST: {result.ended or 'no picture came back'}"
    rows = [
        ("viewer", f"{stayed} through {result.blips} blips"),
        ("first picture, ms", str(result.return_ms)),
        ("picture gap", f"{result.video_gap_ms:.0f} ms beyond the usual step of {result.video_step_ms:.0f} ms"),
        ("sound gap", f"{result.audio_gap_ms:.0f} ms beyond the usual step"),
        ("lip sync, ms", str(result.lip_sync_ms)),
        ("lip sync change", f"{result.lip_sync_shift_ms:.1f} ms at most from one host to the next"),
        ("flashes", f"{result.flashes}, {result.flashes_without_beep} without a beep"),
    ]
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(result.to_json(), indent=2) + "\n")
    return 0 if result.survived else 1


def _flv(args: argparse.Namespace) -> int:
    result = run_flv_bench(_options(FlvBenchOptions, args))
    _tell(result, _rows(result), args.json)
    return 0


def _whep(args: argparse.Namespace) -> int:
    result = run_whep_bench(_options(WhepBenchOptions, args))
    _tell(result, whep_rows(result), args.json)
    for failure in result.failures:
        print(f"FAILED: {failure}")
    return 1 if result.failures else 0


def _options(kind: type[Options], args: argparse.Namespace) -> Options:
    names = {spec.name for spec in fields(kind)}
    return kind(**{name: value for name, value in vars(args).items() if name in names})


def _tell(result: LoadFigures, rows: list[tuple[str, str]], stored: Path | None) -> None:
    """Print the table and what one has to know to believe it; keep every figure."""
    print(table(rows))
    for note in result.notes:
        print(f"note: {note}")
    if stored:
        stored.write_text(json.dumps(result.to_json(), indent=2) + "\n")


def _publish(args: argparse.Namespace) -> int:
    clip = make_clip(ClipOptions(args.width, args.height, args.fps, args.bitrate, args.keyint, args.audio))
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)  # setting an event would wait for a lock that this very thread may hold

    def stopped(seconds: float) -> bool:
        time.sleep(seconds)
        return bool(asked)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    publisher = open_publisher(args.url, clip)
    try:
        publisher.connect()
        print(f"publishing {clip.video_bitrate / 1e6:.2f} Mb/s of video", flush=True)
        publisher.run(stopped)
    finally:
        publisher.close()
    return 0


def _rows(result: FlvResult) -> list[tuple[str, str]]:
    c = result.conditions
    lost = ", ".join(f"{count} {reason}" for reason, count in result.viewers_lost.items()) or "0"
    rows = [
        ("conditions", f"{c['cores']} cores, Linux {c['kernel']}, Python {c['python']}, load {c['load_average']:.1f}"),
        ("stream", f"{c['url']} over {c['transport']}, {result.bits_per_second_per_viewer / 1e6:.2f} Mb/s a viewer"),
        ("viewers", f"{result.viewers_watching} watched {result.seconds:.1f} s to the end; lost: {lost}"),
    ]
    if c["stalled_percent"]:
        rows.append(("stalled", f"{result.stalled}, of which the server closed {result.stalled_closed}"))
    pieces = result.pieces_per_second_per_viewer
    return [
        *rows,
        *_server_rows(result),
        ("first byte, ms", str(result.first_byte_ms)),
        ("first keyframe, ms", str(result.first_keyframe_ms)),
        ("largest gap, ms", str(result.largest_gap_ms)),
        ("added latency, ms", str(result.latency_ms)),
        ("reads a second", f"{result.reads_per_second_per_viewer:.1f} a viewer"),
        ("chunks a second", "not known" if pieces is None else f"{pieces:.1f} a viewer"),
        ("load processes", ", ".join(f"{share:.0f} %" for share in result.load_cpu) + " of a core"),
        *_floor_rows(result),
    ]


def _server_rows(result: FlvResult) -> list[tuple[str, str]]:
    if result.server_cpu is None or result.server_memory is None or result.server_rss_per_viewer is None:
        return [("server", "not measured: no --pid")]
    rss, pss = result.server_rss_per_viewer / 1024, (result.server_pss_per_viewer or 0) / 1024
    return [
        ("server CPU", f"{result.server_cpu:.1f} % of a core, {result.server_cpu_per_viewer:.4f} % a viewer"),
        (
            "server memory",
            f"RSS {result.server_memory.rss / 2**20:.1f} MB; a viewer {rss:.1f} KB RSS, {pss:.1f} KB PSS",
        ),
    ]


def _floor_rows(result: FlvResult) -> list[tuple[str, str]]:
    floor = result.floor
    if floor is None:
        return []
    ratio = "" if floor.ratio is None else f"; server / floor {floor.ratio:.2f}"
    rate = f"{floor.writes_per_second_per_viewer:.1f} writes a second"
    return [("floor CPU", f"{floor.cpu:.1f} % of a core, {floor.cpu_per_viewer:.4f} % a viewer, {rate}{ratio}")]


def _count(text: str) -> int:
    return int(_positive(text))


def _bits(text: str) -> int:
    """1000000, 1000k or 1M."""
    unit = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower())
    return int(_positive(text if unit is None else text[:-1]) * (unit or 1))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not 0 to 100")
    return value
