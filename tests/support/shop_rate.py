"""How many purchases a second the store takes from one process: `python -m tests.support.shop_rate [SECONDS]`.

The embedded Valkey with `appendfsync always`, one product, 256 callers that each wait for their answer.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from interaction.placement import Placed
from interaction.settings import ShopSettings
from interaction.shop_goods import PRODUCT, defined
from interaction.shop_ledger import Ledger
from interaction.store import Store
from interaction.valkey_server import ValkeyServer

CALLERS = 256
BUYERS = 5000
PRODUCT_BODY = {"title": "Tea", "amount": 7, "currency": "CNY", "stock": 900_000, "limit": 1000}


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(Path(folder))
        serving = asyncio.create_task(server.run())
        await server.ready()
        store = Store(f"unix://{server.socket}", timeout_s=2, retry_s=5)
        sending = asyncio.create_task(store.run())
        ledger = Ledger(store, ShopSettings())
        await ledger.define("room", defined(PRODUCT, "p", PRODUCT_BODY, delay_ms=0), Placed(None, None))
        delays = await _buy(ledger, seconds)
        sys.stdout.write(
            f"{ledger.counts['bought'] / seconds:.0f} purchases/s, p50 {delays[len(delays) // 2] * 1000:.1f} ms,"
            f" p99 {delays[len(delays) * 99 // 100] * 1000:.1f} ms\n"
        )
        for task in (sending, serving):
            task.cancel()
        await asyncio.gather(sending, serving, return_exceptions=True)


async def _buy(ledger: Ledger, seconds: float) -> list[float]:
    """The delays of all purchases, sorted."""
    numbers, until, delays = itertools.count(), time.monotonic() + seconds, []

    async def caller() -> None:
        while time.monotonic() < until:
            number, asked = next(numbers), time.perf_counter()
            wanted = {"id": f"i{number}", "product": "p", "quantity": 1, "amount": 7, "currency": "CNY"}
            await ledger.buy("room", f"b{number % BUYERS}", wanted)
            delays.append(time.perf_counter() - asked)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return sorted(delays)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 8.0))
