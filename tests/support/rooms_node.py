"""A node of rooms in a process of its own, for load tests: prints its address and a host's token.

python -m tests.support.rooms_node FOLDER [NAME=VALUE ...]     settings of RoomSettings
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import fields, replace
from pathlib import Path

import uvloop

from interaction.settings import RoomSettings
from tests.support.rooms import QUIET, LocalTimelines, RunningTimeline, node


def _settings(words: list[str]) -> RoomSettings:
    known = {field.name for field in fields(RoomSettings)}
    given = dict(word.split("=", 1) for word in words)
    assert given.keys() <= known
    return replace(QUIET, **{name: json.loads(value) for name, value in given.items()})


async def main() -> None:
    timelines = LocalTimelines(bench=RunningTimeline())
    async with node(Path(sys.argv[1]), settings=_settings(sys.argv[2:]), timelines=timelines) as here:
        sys.stdout.write(f"{here.url} {here.token(valid_s=3600)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
