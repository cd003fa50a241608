"""A node with a shop in a process of its own: prints its address and the buyers' tokens, and serves until it is killed.

python -m tests.support.shop_node FOLDER [REDIS_URL [PORT]]
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from interaction.kinds import Role
from interaction.settings import RedisSettings
from tests.support.rooms import QUIET, LocalTimelines, RunningTimeline, node
from tests.support.shop import PATIENT

BUYERS = 30
TOKEN_KEY = "a key of the tests"


async def main() -> None:
    redis = RedisSettings(url=sys.argv[2] if len(sys.argv) > 2 else "", timeout_s=0.5, retry_s=2.0)
    timelines = LocalTimelines(bench=RunningTimeline())
    settings, port = replace(QUIET, token_keys=TOKEN_KEY), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    folder = Path(sys.argv[1])
    async with node(folder, redis=redis, settings=settings, shop=PATIENT, timelines=timelines, port=port) as here:
        tokens = {f"b{n}": here.token(Role.VIEWER, sender=f"b{n}", valid_s=3600) for n in range(BUYERS)}
        tokens["backend"] = here.token(Role.BACKEND, sender="backend", valid_s=3600)
        server = here.layer.server
        said = {"url": here.url, "tokens": tokens, "valkey": None if server is None else server.pid}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
