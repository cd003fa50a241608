"""A process that records until somebody kills it: FLV file, directory. Prints a line once something is on the disk."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

from media.clock import SystemClock
from media.flv_demuxer import FlvDemuxer
from media.hub import Hub
from media.stream import Kinds
from media.ticks import Ticks
from relay.recorder import Recorder
from tests.support.flv import read_flv


async def main(source: bytes, directory: Path) -> None:
    demuxer = FlvDemuxer()
    units = [unit for tag in read_flv(source).tags if (unit := demuxer.read(tag)) is not None]
    publisher = Hub(SystemClock(), new_epoch=lambda: "epoch").claim("room", peer="tester", on_displaced=print)
    publisher.expect(Kinds(video=True, audio=False))
    recording = Recorder(directory).record(publisher.stream)
    length = units[-1].dts - units[0].dts + units[1].dts - units[0].dts
    for turn in count():
        for unit in units:
            shift = turn * length
            publisher.publish(replace(unit, dts=Ticks(unit.dts + shift), pts=Ticks(unit.pts + shift)))
        await recording.flush()
        if turn == 2:
            sys.stdout.write("recorded\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])))
