"""Load on rooms: viewers that watch, senders that speak, and how long a message takes to everybody.

Senders keep to a timetable and never wait for an answer. A delay counts from the moment a message was due, so a server
that stalls cannot hide it (coordinated omission). The server's flood rule is its own: for a test of the fan-out alone,
set `rooms.danmaku_per_second = 0` and the rates high enough.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.chat_client import STAMP, ChatClient, Tally, connect

__all__ = ["add_parser", "main", "run"]

RESTART_S = 60.0
"""For a server to go away, and for viewers to be back."""
RETRY_S = 0.25
"""Between two tries of a viewer whose server is not back yet."""
CONNECTS_AT_ONCE = 100
"""Fewer than any listen backlog."""
SETTLE_S = 2.0
"""After the last message, for the last deliveries."""
WARM_S = 1.0
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """What one process does."""

    url: str
    rooms: tuple[str, ...]
    viewers: int
    senders: int
    rate: float
    size: int
    seconds: float
    storm: bool
    restart: bool
    commerce: float
    token: str | None
    pid: int | None


@dataclass(slots=True)
class Result:
    """What one process has seen. `viewers` counts those that stayed, senders included."""

    tally: Tally = field(default_factory=Tally)
    viewers: int = 0
    sent: int = 0
    notices: int = 0
    seconds: float = 0.0
    connect_s: float = 0.0
    storm_s: float | None = None
    server_cpu_s: float | None = None
    server_bytes: int | None = None


def add_parser(subparsers: Any) -> None:
    """The arguments of `bench chat`; `command` is `run`."""
    parser = subparsers.add_parser("chat", help="rooms: viewers, danmaku, deliveries and delays", description=__doc__)
    _arguments(parser)
    parser.set_defaults(command=run)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench chat", description=__doc__)
    _arguments(parser)
    args = parser.parse_args(argv)
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Put the load on, and print what was seen. 1 if a viewer was lost or a commerce event missed, else 0."""
    rooms = tuple(f"{args.room}-{number}" for number in range(args.rooms)) if args.rooms > 1 else (args.room,)
    shares = [_share(args, rooms, worker) for worker in range(args.workers)]
    if len(shares) == 1:
        results = [_work(shares[0])]
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(len(shares), mp_context=context) as pool:
            results = list(pool.map(_work, shares))
    report = _report(results, args)
    print(json.dumps(report, indent=2) if args.json else _table(report))
    wanted = sum(share.viewers + share.senders for share in shares)
    return int(sum(result.viewers for result in results) < wanted or report["commerce_missed"] > 0)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="the server, as http://HOST:PORT")
    parser.add_argument("--room", default="bench", help="the room's name, or the start of it (default %(default)s)")
    parser.add_argument("--rooms", type=int, default=1, help="rooms; viewers and senders are shared out among them")
    parser.add_argument("--viewers", type=int, default=1000, help="viewers in all (default %(default)s)")
    parser.add_argument("--senders", type=int, default=50, help="viewers that speak, in all (default %(default)s)")
    parser.add_argument("--rate", type=float, default=50.0, help="danmaku per second in all (default %(default)s)")
    parser.add_argument(
        "--size", type=int, default=200, help="characters of a danmaku, 40 to 200 (default %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default %(default)s)")
    parser.add_argument(
        "--commerce", type=float, default=0.0, help="notices per second in all; --token must be a host's"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that the viewers are shared among")
    parser.add_argument("--token", help="the senders' token, if the server wants one")
    parser.add_argument("--pid", type=int, help="the server's process, if it runs here: for its CPU and memory")
    parser.add_argument("--storm", action="store_true", help="at the end all viewers drop and come back at once")
    parser.add_argument(
        "--restart", action="store_true", help="the same, but wait for whoever restarts the server to drop them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _share(args: argparse.Namespace, rooms: tuple[str, ...], worker: int) -> Load:
    workers: int = args.workers

    def part(total: int) -> int:
        return total // workers + (worker < total % workers)

    return Load(
        url=args.url,
        rooms=rooms,
        viewers=part(args.viewers),
        senders=part(args.senders),
        rate=args.rate / args.workers,
        size=max(40, min(args.size, 200)),
        seconds=args.seconds,
        storm=args.storm or args.restart,
        restart=args.restart,
        commerce=args.commerce / workers,
        token=args.token,
        pid=args.pid if worker == 0 else None,
    )


def _work(load: Load) -> Result:
    try:
        import uvloop  # noqa: PLC0415 - the load generator is faster with it, and works without
    except ImportError:
        return asyncio.run(_load(load))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result: Result = runner.run(_load(load))
    return result


async def _load(load: Load) -> Result:
    result = Result()
    before = _memory(load.pid)
    begun = time.monotonic()
    viewers = await _connect_all(load, result.tally, load.viewers, token=None)
    senders = await _connect_all(load, result.tally, load.senders, token=load.token)
    result.connect_s = time.monotonic() - begun
    await asyncio.sleep(WARM_S)
    after, cpu = _memory(load.pid), _cpu(load.pid)
    if before is not None and after is not None:
        result.server_bytes = after - before
    begun = time.monotonic()
    result.sent, result.notices = await asyncio.gather(_speak(load, senders), _notify(load, senders))
    result.seconds = time.monotonic() - begun
    if cpu is not None:
        result.server_cpu_s = (_cpu(load.pid) or 0.0) - cpu
    await asyncio.sleep(SETTLE_S)
    everybody = [*viewers, *senders]
    result.viewers = sum(not client.lost.done() for client in everybody)
    if load.storm:
        result.storm_s = await _storm(load, result.tally, everybody)
    else:
        for client in everybody:
            client.abort()
    return result


async def _connect_all(load: Load, tally: Tally, count: int, *, token: str | None) -> list[ChatClient]:
    gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def one(number: int) -> ChatClient | None:
        async with gate:
            try:
                return await connect(tally, load.url, load.rooms[number % len(load.rooms)], token=token)
            except OSError as exc:
                tally.drops[f"not connected: {type(exc).__name__}"] += 1
                return None

    clients = await asyncio.gather(*(one(number) for number in range(count)))
    return [client for client in clients if client is not None]


async def _speak(load: Load, senders: list[ChatClient]) -> int:
    """Each message at its time. A sender that is gone leaves its messages unsent, and that is seen in the counts."""
    if not senders or load.rate <= 0:
        await asyncio.sleep(load.seconds)
        return 0
    start, sent = time.time(), 0
    total = int(load.rate * load.seconds)
    for number in range(total):
        due = start + number / load.rate
        wait = due - time.time()
        if wait > 0:
            await asyncio.sleep(wait)
        sender = senders[number % len(senders)]
        if not sender.lost.done():
            text = f"{STAMP} {due:.4f} {number} ".ljust(load.size, "x")
            sender.send({"type": "send", "kind": "danmaku", "body": {"text": text}})
            sent += 1
    return sent


async def _notify(load: Load, senders: list[ChatClient]) -> int:
    """Commerce events at their times, by which every viewer notices what it misses."""
    start, total = time.time(), int(load.commerce * load.seconds)
    for number in range(total):
        await asyncio.sleep(max(0.0, start + number / load.commerce - time.time()))
        sender = senders[number % len(senders)]
        sender.send({"type": "send", "kind": "notice", "body": {"text": f"notice {number}"}})
    return total


async def _storm(load: Load, tally: Tally, clients: list[ChatClient]) -> float:
    """Everybody goes at once and comes back with what they have seen. How long until the last has its hello."""
    if load.restart:
        print("restart the server now", file=sys.stderr, flush=True)
        await asyncio.wait([client.lost for client in clients], timeout=RESTART_S, return_when=asyncio.FIRST_COMPLETED)
    else:
        for client in clients:
            client.abort()
    gate = asyncio.Semaphore(CONNECTS_AT_ONCE)
    begun = time.monotonic()

    async def back(number: int) -> ChatClient | None:
        await asyncio.wait([clients[number].lost], timeout=RESTART_S)
        since = {"log": clients[number].log, "seq": clients[number].seq}
        while True:
            async with gate:
                try:
                    return await connect(tally, load.url, load.rooms[number % len(load.rooms)], since=since)
                except OSError as exc:
                    if not load.restart or time.monotonic() - begun > RESTART_S:
                        tally.drops[f"not back: {type(exc).__name__}"] += 1
                        return None
            await asyncio.sleep(RETRY_S)

    returned = await asyncio.gather(*(back(number) for number in range(len(clients))))
    took = time.monotonic() - begun
    for stayed in returned:
        if stayed is not None:
            stayed.abort()
    return took


def _report(results: list[Result], args: argparse.Namespace) -> dict[str, Any]:
    tally = Tally()
    for result in results:
        tally.add(result.tally)
    first = results[0]
    viewers = sum(result.viewers for result in results)
    seconds = max(result.seconds for result in results)
    deliveries = tally.deliveries / seconds if seconds else 0.0
    report: dict[str, Any] = {
        "viewers": viewers,
        "connect_s": round(max(result.connect_s for result in results), 2),
        "sent": sum(result.sent for result in results),
        "commerce_sent": sum(result.notices for result in results),
        "acknowledged": tally.acks,
        "deliveries": tally.deliveries,
        "deliveries_per_s": round(deliveries),
        "messages_per_write": round(tally.deliveries / max(1, tally.buffers), 1),
        "delay_ms": {name: _quantile(tally.delays, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
        "commerce_missed": tally.missed,
        "drops": dict(tally.drops),
        "closes": {str(code): count for code, count in tally.closes.items()},
    }
    if first.server_cpu_s is not None:
        cores = first.server_cpu_s / seconds
        report["server_cores"] = round(cores, 3)
        report["deliveries_per_s_and_core"] = round(deliveries / cores) if cores else None
    if first.server_bytes is not None and args.workers == 1:
        report["server_kb_per_connection"] = round(first.server_bytes / max(1, viewers) / 1024, 1)
    storms = [result.storm_s for result in results if result.storm_s is not None]
    if storms:
        report["storm_s"] = round(max(storms), 2)
    return report


def _quantile(delays: Counter[int], part: float) -> int | None:
    left = part * sum(delays.values())
    for delay in sorted(delays):
        left -= delays[delay]
        if left <= 0:
            return delay
    return None


def _table(report: dict[str, Any]) -> str:
    rows = []
    for name, value in report.items():
        shown = (
            ", ".join(f"{key} {item}" for key, item in value.items()) or "none" if isinstance(value, dict) else value
        )
        rows.append(f"{name.replace('_', ' '):28} {shown}")
    return "\n".join(rows)


def _memory(pid: int | None) -> int | None:
    """Resident bytes (proc(5): the second field of statm)."""
    return None if pid is None else int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE


def _cpu(pid: int | None) -> float | None:
    """User and system seconds (proc(5): fields 14 and 15 of stat, counted after the name)."""
    if pid is None:
        return None
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


if __name__ == "__main__":
    raise SystemExit(main())
