"""Load on a shop: many buyers at once, kills on the way, and at the end the books: was anything oversold or lost?

Buyers keep to a timetable and never wait for each other; a delay counts from the moment when the buyer was due to
press, up to the answer that is final. A buyer whose connection breaks, or who hears "may retry", sends the same request
again. At the end the API is read: every yes must be in the order stream once, and left + reserved + sold must be the
stock.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import signal
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.chat_client import ChatClient, Tally, connect
from bench.figures import Spread
from bench.process_figures import cpu_seconds

__all__ = ["add_parser", "audit", "main", "run"]

CONNECTS_AT_ONCE = 100
RETRY_S = 0.05
"""Between two tries of a buyer: a person does not press faster, a page not much slower."""
GIVE_UP_S = 30.0
ANSWER_S = 5.0
"""A request without an answer for so long is sent again, on a new connection."""
PAGE = 1_000
AMOUNT, CURRENCY = 1999, "CNY"
PRODUCT = "bench"
TOKEN_S = 86_400


@dataclass(slots=True)
class Outcome:
    """What the buyers were told. `delays` are seconds from when a press was due to its final answer."""

    accepted: dict[str, str] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)


def add_parser(subparsers: Any) -> None:
    """The arguments of `bench shop`; `command` is `run`."""
    parser = subparsers.add_parser("shop", help="buyers at once, kills, and an audit of the books", description=__doc__)
    _arguments(parser)
    parser.set_defaults(command=run)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench shop", description=__doc__)
    _arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Put the load on, and print what was seen. 1 if anything was oversold or lost or not answered, else 0."""
    try:
        import uvloop  # noqa: PLC0415 - the load generator is faster with it, and works without
    except ImportError:
        report = asyncio.run(_load(args))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(_load(args))
    print(json.dumps(report, indent=2) if args.json else _table(report))
    return int(bool(report["oversold"] or report["lost"] or report["twice"] or report["unanswered"] or report["wrong"]))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="the server, as http://HOST:PORT")
    parser.add_argument("--room", default="bench", help="(default %(default)s)")
    parser.add_argument("--buyers", type=int, default=500, help="connections, each a buyer (default %(default)s)")
    parser.add_argument("--rate", type=float, default=1500.0, help="presses per second in all (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default %(default)s)")
    parser.add_argument("--stock", type=int, help="units; without it half as many as there are presses")
    parser.add_argument("--token-key", required=True, help="one of the server's rooms.token_keys, to sign tokens with")
    parser.add_argument("--pid", type=int, help="the server's process: for its CPU")
    parser.add_argument("--kill", action="store_true", help="kill --pid with SIGKILL half way; others restart it")
    parser.add_argument("--valkey-pid", type=int, help="the store's process: killed after a quarter")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def _load(args: argparse.Namespace) -> dict[str, Any]:
    presses = int(args.rate * args.seconds)
    stock = presses // 2 if args.stock is None else args.stock
    product = f"{PRODUCT}-{secrets.token_hex(4)}"
    backend = Backend(args.url, args.room, _token(args, "bench-backend", "backend"))
    fields = {"title": "Bench", "amount": AMOUNT, "currency": CURRENCY, "stock": stock}
    await backend.ask("PUT", f"products/{product}", fields)
    buyers = await _connect_all(args)
    outcome, cpu = Outcome(), _cpu(args.pid)
    killing = asyncio.ensure_future(_kill(args))
    begun = time.monotonic()
    await _press_all(args, buyers, product, presses, outcome)
    seconds = time.monotonic() - begun
    used = None if cpu is None or args.kill else (_cpu(args.pid) or 0.0) - cpu
    killing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await killing
    for buyer in buyers:
        buyer.close()
    books = await audit(backend, product, outcome.accepted)
    spread = Spread.of(outcome.delays, 1000)
    report: dict[str, Any] = {
        "buyers": len(buyers),
        "presses": presses,
        "answers_per_s": round(len(outcome.delays) / seconds, 1),
        "accepted": len(outcome.accepted),
        "refused": dict(outcome.refused),
        "unanswered": outcome.unanswered,
        "retries": dict(outcome.retries),
        "delay_ms": {"p50": _ms(spread.p50), "p99": _ms(spread.p99), "max": _ms(spread.max)},
        **books,
    }
    if used is not None:
        report["server_cores"] = round(used / seconds, 3)
    return report


async def audit(backend: Backend, product: str, accepted: dict[str, str]) -> dict[str, int]:
    """Compare what buyers were told (request id to order id) with the order stream and the counts.

    lost: a yes whose order is not in the stream. twice: an order, or a request, that is there more than once. oversold:
    units over the stock. wrong: 1 where left + reserved + sold is not the stock, or not what the stream says.
    """
    reserved: Counter[str] = Counter()
    requests: Counter[tuple[str, str]] = Counter()
    settled: Counter[str] = Counter()
    async for entry in backend.orders():
        if entry["product"] != product:
            continue
        if entry["type"] == "reserved":
            reserved[entry["order"]] += 1
            requests[entry["buyer"], entry["request"]] += 1
        else:
            settled[entry["type"]] += 1
    state = await backend.ask("GET", "")
    item = next(item for item in state["items"] if item.get("product") == product and item["type"] == "product")
    held = sum(reserved.values()) - sum(settled.values())
    right = (
        item["left"] + item["reserved"] + item["sold"] == item["total"]
        and item["reserved"] == held
        and item["sold"] == settled["confirmed"]
    )
    given = held + settled["confirmed"]
    return {
        "stock": item["total"],
        "left": item["left"],
        "orders": len(reserved),
        "oversold": max(0, given - item["total"]),
        "lost": sum(order not in reserved for order in accepted.values()),
        "twice": sum(count > 1 for count in (*reserved.values(), *requests.values())),
        "wrong": int(not right),
    }


class Backend:
    """The shop's back end: plain requests, each in a thread, repeated while the server is away."""

    def __init__(self, url: str, room: str, token: str) -> None:
        self._root = f"{url.rstrip('/')}/rooms/{room}/shop"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Raises OSError when there is no good answer for 30 s."""
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return await asyncio.to_thread(self._ask, method, path, body)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_S)

    async def orders(self) -> Any:
        """Every entry of the order stream."""
        after = "-"
        while page := (await self.ask("GET", f"orders?after={after}&count={PAGE}"))["entries"]:
            for entry in page:
                yield entry
            after = page[-1]["entry"]

    def _ask(self, method: str, path: str, body: Any) -> dict[str, Any]:
        url = f"{self._root}/{path}".rstrip("/")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=self._headers, method=method)
        with urllib.request.urlopen(request, timeout=ANSWER_S) as response:
            answer: dict[str, Any] = json.load(response)
            return answer


class Buyer:
    """One buyer on one connection at a time, who does not give up."""

    def __init__(self, args: argparse.Namespace, number: int, tally: Tally) -> None:
        self.name = f"buyer-{number}"
        self._args = args
        self._tally = tally
        self._token = _token(args, self.name, "viewer")
        self._client: ChatClient | None = None
        self._connecting = asyncio.Lock()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def connect(self) -> ChatClient:
        """The connection, made anew if it broke. Raises OSError."""
        async with self._connecting:
            if self._client is None or self._client.lost.done():
                self._client = await connect(self._tally, self._args.url, self._args.room, token=self._token)
                self._client.on_answer = self._hear
            return self._client

    async def press(self, product: str, request: str, due: float, outcome: Outcome) -> None:
        """Buy one unit; note what became of it."""
        wanted = {
            "type": "buy",
            "id": request,
            "product": product,
            "amount": AMOUNT,
            "currency": CURRENCY,
            "ref": request,
        }
        while time.monotonic() - due < GIVE_UP_S:
            answer = await self._once(wanted, request)
            if answer is None or answer.get("may_retry"):
                outcome.retries["no answer" if answer is None else answer["name"]] += 1
                await asyncio.sleep(RETRY_S)
                continue
            outcome.delays.append(time.monotonic() - due)
            if answer["type"] == "order":
                outcome.accepted[f"{self.name}/{request}"] = answer["order"]
            else:
                outcome.refused[f"{answer['code']} {answer['name']}"] += 1
            return
        outcome.unanswered += 1

    def close(self) -> None:
        if self._client is not None:
            self._client.abort()

    async def _once(self, wanted: dict[str, Any], request: str) -> dict[str, Any] | None:
        try:
            client = await self.connect()
        except OSError:
            return None
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[request] = answer
        client.send(wanted)
        await asyncio.wait((answer, client.lost), timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        del self._answers[request]
        if answer.done():
            return answer.result()
        client.abort()
        return None

    def _hear(self, message: dict[str, Any]) -> None:
        waiting = self._answers.get(str(message.get("ref")))
        if waiting is not None and not waiting.done():
            waiting.set_result(message)


async def _connect_all(args: argparse.Namespace) -> list[Buyer]:
    gate, tally = asyncio.Semaphore(CONNECTS_AT_ONCE), Tally()
    buyers = [Buyer(args, number, tally) for number in range(args.buyers)]

    async def one(buyer: Buyer) -> None:
        async with gate:
            await buyer.connect()

    await asyncio.gather(*(one(buyer) for buyer in buyers))
    return buyers


async def _press_all(
    args: argparse.Namespace, buyers: list[Buyer], product: str, presses: int, outcome: Outcome
) -> None:
    """Each press at its time, whatever became of those before it."""
    start = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(presses):
            due = start + number / args.rate
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(buyers[number % len(buyers)].press(product, f"q{number}-{product}", due, outcome))


async def _kill(args: argparse.Namespace) -> None:
    """What was asked for: the node, the store, or both, with SIGKILL."""
    await asyncio.sleep(args.seconds / 4)
    if args.valkey_pid:
        _kill_process(args.valkey_pid)
    await asyncio.sleep(args.seconds / 4)
    if args.kill and args.pid:
        _kill_process(args.pid)


def _kill_process(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _cpu(pid: int | None) -> float | None:
    return None if pid is None else cpu_seconds(pid)


def _token(args: argparse.Namespace, sender: str, role: str) -> str:
    """As docs/interaction.md, Tokens."""
    claims = {"sub": sender, "room": args.room, "role": role, "exp": int(time.time()) + TOKEN_S}
    head = f"v1.{_encode(json.dumps(claims).encode())}"
    return f"{head}.{_encode(hmac.new(args.token_key.encode(), head.encode(), hashlib.sha256).digest())}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _table(report: dict[str, Any]) -> str:
    rows = []
    for name, value in report.items():
        shown = (
            ", ".join(f"{key} {item}" for key, item in value.items()) or "none" if isinstance(value, dict) else value
        )
        rows.append(f"{name.replace('_', ' '):20} {shown}")
    return "\n".join(rows)


if __name__ == "__main__":
    raise SystemExit(main())
