"""A store that is killed, emptied, paused or failed over; a node that dies. Viewers stay, and nothing is hidden."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from interaction.settings import RedisSettings
from tests.support import stores
from tests.support.rooms import Client, client, node


def redis(url: str = "", *, retry_s: float = 5.0, timeout_s: float = 0.5) -> RedisSettings:
    return RedisSettings(url=url, timeout_s=timeout_s, retry_s=retry_s)


async def until_taken(host: Client, text: str, *, timeout: float = 20.0) -> int:
    """Publish a notice as a patient back end does: the same id again, as long as it "may retry"."""
    async with asyncio.timeout(timeout):
        while True:
            answer = await host.say("notice", {"text": text}, id=text)
            if answer["type"] == "ack":
                return int(answer["seq"])
            assert answer["may_retry"], answer
            await asyncio.sleep(0.05)


def whole(viewer: Client) -> bool:
    """Since its last beginning the viewer has seen every number once, in order."""
    seqs = [event["seq"] for event in viewer.events if event["seq"] is not None]
    return seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True


def test_a_killed_valkey_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            node(tmp_path, redis=redis()) as here,
            client(here, token=here.token()) as host,
            client(here) as viewer,
        ):
            assert await until_taken(host, "one") == 1
            server = here.layer.server
            assert server is not None
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            assert await until_taken(host, "two") == 2
            await viewer.event(lambda event: event["seq"] == 2)
            assert server.restarts == 1
            assert whole(viewer)
            assert not [message for message in viewer.messages if message["type"] == "reset"]

    asyncio.run(test())


def test_the_embedded_valkey_dies_with_its_node(tmp_path: Path) -> None:
    """A node that is killed outright leaves no server behind, and the next one finds everything."""
    script = (
        "import asyncio, sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from interaction.valkey_server import ValkeyServer\n"
        "server = ValkeyServer(Path(sys.argv[1]))\n"
        "asyncio.run(server.run(lambda: print(server.pid, flush=True)))\n"
    )

    async def test() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script, str(tmp_path / "valkey")), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        pid = int(await process.stdout.readline())
        process.kill()
        await process.wait()
        await stores.until(lambda: not _is_running(pid))
        async with stores.embedded(tmp_path / "valkey"):
            pass

    asyncio.run(test())


def _is_running(pid: int) -> bool:
    """A zombie that init has not reaped yet runs no more (proc(5): the state follows the name)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


@stores.needs_redis
def test_a_store_that_comes_back_empty_is_an_honest_reset(tmp_path: Path) -> None:
    async def test() -> None:
        async with stores.redis(tmp_path / "redis") as server:
            url = f"redis://127.0.0.1:{server.port}"
            async with node(tmp_path, redis=redis(url)) as here, client(here, token=here.token()) as host:  # noqa: SIM117 - one line would be too long
                async with client(here) as viewer:
                    assert await until_taken(host, "one") == 1
                    await viewer.event(lambda event: event["seq"] == 1)
                    before = viewer.hello["log"]
                    await server.kill()
                    shutil.rmtree(server.folder)
                    await server.start()
                    reset = await viewer.message(lambda message: message["type"] == "reset")
                    assert reset["log"] != before
                    assert (reset["seq"], reset["state"]) == (0, [])
                    assert await until_taken(host, "again") == 1
                    await viewer.event(lambda event: event["body"].get("text") == "again")

    asyncio.run(test())


@stores.needs_redis
def test_a_paused_store_makes_publishers_retry_and_takes_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with stores.redis(tmp_path / "redis") as server:
            settings = redis(f"redis://127.0.0.1:{server.port}", retry_s=0.3, timeout_s=0.3)
            async with node(tmp_path, redis=settings) as here, client(here, token=here.token()) as host:
                assert await until_taken(host, "one") == 1
                server.signal(signal.SIGSTOP)
                refused = await host.say("notice", {"text": "two"}, id="two")
                assert (refused["code"], refused["may_retry"]) == (1001, True)
                async with client(here) as late:  # the room is in memory: watching goes on
                    assert [event["body"]["text"] for event in late.hello["state"]] == ["one"]
                server.signal(signal.SIGCONT)
                assert await until_taken(host, "two") == 2
                assert await until_taken(host, "three") == 3
                await host.event(lambda event: event["seq"] == 3)
                assert [event["body"]["text"] for event in host.events if event["seq"]] == ["one", "two", "three"]

    asyncio.run(test())


@stores.needs_redis
@stores.needs_sentinel
def test_a_failover_keeps_viewers_and_leaves_no_gap_unsaid(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            stores.trio(tmp_path / "trio", down_after_ms=2_000) as servers,
            node(tmp_path, redis=redis(servers.url)) as here,
            client(here, token=here.token()) as host,
            client(here) as viewer,
        ):
            for text in ("one", "two"):
                await until_taken(host, text)
            await servers.master.kill()
            await until_taken(host, "three", timeout=30)
            await viewer.event(lambda event: event["body"].get("text") == "three", timeout=20)
            assert whole(viewer)
            assert viewer.close_code is None

    asyncio.run(test())


@stores.needs_redis
def test_a_cluster_that_loses_a_node_keeps_the_rooms_of_the_others(tmp_path: Path) -> None:
    async def test() -> None:
        async with stores.cluster(tmp_path / "cluster") as servers:
            names = {id(await servers.owner(f"{{r{number}}}")): f"r{number}" for number in range(40)}
            assert len(names) == 3
            lost, *kept = (name for name in names.values())
            async with node(tmp_path, redis=redis(servers.url, retry_s=0.5)) as here:
                token = here.token()
                async with client(here, lost, token=token) as away, client(here, kept[0], token=token) as host:
                    assert await until_taken(away, "one") == 1
                    assert await until_taken(host, "one") == 1
                    gone = await servers.owner(f"{{{lost}}}")
                    await gone.kill()
                    refused = await away.say("notice", {"text": "two"}, id="two")
                    assert (refused["code"], refused["may_retry"]) == (1001, True)
                    assert await until_taken(host, "two") == 2
                    await host.event(lambda event: event["seq"] == 2)
                    await gone.start()
                    assert await until_taken(away, "two") == 2
                    await away.event(lambda event: event["seq"] == 2)
                    assert whole(away)
                    assert whole(host)

    asyncio.run(test())


@pytest.mark.long
@stores.needs_redis
def test_a_cluster_with_replicas_fails_over(tmp_path: Path) -> None:
    async def test() -> None:
        async with stores.cluster(tmp_path / "cluster", replicas=True) as servers:
            settings = redis(servers.url, retry_s=1.0)
            async with node(tmp_path, redis=settings) as here, client(here, token=here.token()) as host:
                assert await until_taken(host, "one") == 1
                await (await servers.owner("{r}")).kill()
                await until_taken(host, "two", timeout=40)
                await host.event(lambda event: event["body"].get("text") == "two", timeout=30)
                assert whole(host)

    asyncio.run(test())


def test_two_nodes_share_a_room_and_a_viewer_moves_between_them(tmp_path: Path) -> None:
    async def test() -> None:
        async with stores.embedded(tmp_path / "valkey") as server:
            url = f"unix://{server.socket}"
            async with node(tmp_path, redis=redis(url)) as second:
                async with node(tmp_path, redis=redis(url)) as first:  # noqa: SIM117 - one line would be too long
                    async with client(first) as viewer, client(second, token=second.token()) as host:
                        await until_taken(host, "one")
                        await viewer.event(lambda event: event["seq"] == 1)
                        await viewer.event(lambda event: event["kind"] == "presence" and event["body"]["total"] == 2)
                        since = viewer.since
                async with client(second, token=second.token()) as host:
                    await until_taken(host, "two")
                async with client(second, since=since) as viewer:
                    assert viewer.hello["recovered"]
                    assert [event["body"]["text"] for event in viewer.hello["events"]] == ["two"]

    asyncio.run(test())


def test_a_database_that_somebody_empties_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interaction.reader.VERIFY_S", 0.2)

    async def test() -> None:
        async with node(tmp_path) as here, client(here, token=here.token()) as host:
            assert await until_taken(host, "one") == 1
            await host.event(lambda event: event["seq"] == 1)
            await here.layer.store.execute("FLUSHALL", "SYNC")
            await host.message(lambda message: message["type"] == "reset")

    asyncio.run(test())
