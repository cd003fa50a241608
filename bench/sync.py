"""Does an event land on its frame? A host with a bar code in its picture publishes, a real Chromium plays the room in
several ways at once, and events are posted at random moments. When one fires in a page, the displayed frame is read
back from the video element, and its code is compared with the event's place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

from bench.children import ChildError
from bench.figures import table
from bench.sync_result import SyncResult, assess
from bench.sync_run import SyncOptions, open_run
from bench.sync_scenarios import SCENARIOS

__all__ = ["add_parser", "run_sync_bench"]

WAYS = ("webrtc", "ws", "http")


def add_parser(subparsers: Any) -> None:
    """The arguments of `bench sync`."""
    parser = subparsers.add_parser(
        "sync", help="events against displayed frames, in a real browser", description=__doc__
    )
    default = SyncOptions()
    parser.add_argument("url", nargs="?", metavar="URL", help="a node, http://HOST:PORT; without it one is started")
    parser.add_argument(
        "--publish", metavar="PUBLISH_URL", help="where the host publishes at URL: rtmp:// or http://.../whip/"
    )
    parser.add_argument("--token", help="with which events may be posted at URL")
    parser.add_argument("--room", default=default.room)
    parser.add_argument("--ingest", choices=("rtmp", "whip"), default=default.ingest, help="at the bench's own node")
    parser.add_argument(
        "--via", type=_ways, default=default.via, metavar="WAY,...", help="webrtc, ws, http (webrtc,ws)"
    )
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default=default.scenario)
    parser.add_argument("-n", "--events", type=int, default=default.events)
    parser.add_argument("--gap", type=_range, default=default.gap, metavar="LOW,HIGH", help="seconds between events")
    parser.add_argument("--duration", type=float, help="seconds over which the events are spread evenly")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--settle", type=float, default=default.settle, help="seconds before the first event")
    parser.add_argument("--every", type=int, default=default.every, metavar="K", help="one frame in K is read back")
    parser.add_argument("--loss", type=float, default=default.loss, metavar="PERCENT", help="of the packets with media")
    parser.add_argument("--outage", type=float, default=default.outage, help="seconds of a blip")
    parser.add_argument("--hidden", type=float, default=default.hidden, help="seconds in the background")
    for name in ("width", "height", "fps", "bitrate"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--keyint", type=float, default=default.keyint, help="seconds between keyframes")
    parser.add_argument("--rendition", help="the rung that the pages pin")
    parser.add_argument("--chromium", metavar="PATH")
    parser.add_argument("--flag", dest="flags", action="append", default=[], help="one more for the bench's own node")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.set_defaults(command=_command)


def run_sync_bench(options: SyncOptions) -> SyncResult:
    """Raises ChildError or OSError (NoBrowser, NoNetwork) when it cannot be measured."""
    try:
        return asyncio.run(_run(options))
    except ExceptionGroup as group:  # what went on beside the events failed, or both did
        expected, rest = group.split((ChildError, OSError))
        if expected is None or rest is not None:
            raise
        raise ChildError("; ".join(str(error) for error in expected.exceptions)) from group


async def _run(options: SyncOptions) -> SyncResult:
    load = os.getloadavg()[0]
    async with open_run(options) as run:
        scenario = SCENARIOS[options.scenario](run)
        await scenario.before()
        await run.settle()
        await run.post_all(scenario.at)
        await scenario.end()
        await run.finish()
        return assess(run, load, scenario.found())


def _command(args: argparse.Namespace) -> int:
    """0 when 99 of 100 events were on time on every page and none early."""
    names = set(SyncOptions.__dataclass_fields__)
    given = {name: value for name, value in vars(args).items() if name in names}
    result = run_sync_bench(SyncOptions(**given | {"flags": tuple(args.flags)}))
    print(table(result.rows()))
    if args.json:
        args.json.write_text(json.dumps(result.to_json(), indent=2) + "\n")
    return 0 if result.is_good else 1


def _ways(text: str) -> tuple[str, ...]:
    ways = tuple(text.split(","))
    if not set(ways) <= set(WAYS):
        raise argparse.ArgumentTypeError(f"{text}: the ways are {', '.join(WAYS)}")
    return ways


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(",")
    found = float(low), float(high or low)
    if not 0 <= found[0] <= found[1]:
        raise argparse.ArgumentTypeError(f"{text} is not LOW,HIGH")
    return found
