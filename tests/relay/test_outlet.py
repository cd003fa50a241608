from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay import outlet as outlet_module
from relay.outlet import Outlet, SocketOutlet, TransportOutlet, open_outlet

BIG = bytes(range(256)) * 64 * 1024  # 16 MB: more than any socket buffer

Scenario = Callable[[], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    def run(scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(scenario(), 20))

    return run


class Server(asyncio.Protocol):
    """Takes one connection and remembers how it ended."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[asyncio.Transport] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.set_result(cast(asyncio.Transport, transport))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@asynccontextmanager
async def connected(
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
) -> AsyncIterator[tuple[Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    loop, protocol = asyncio.get_running_loop(), Server()
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0, ssl=tls[0] if tls else None)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls[1] if tls else None, server_hostname="localhost" if tls else None
    )
    transport = await protocol.made
    try:
        yield protocol, reader, writer
    finally:
        transport.abort()
        writer.transport.abort()
        await protocol.lost
        server.close()


async def push(outlet: Outlet, data: bytes, reader: asyncio.StreamReader) -> int:
    """Send all of it while the peer reads; how often there was room again."""
    view, done, calls = memoryview(data), asyncio.get_running_loop().create_future(), 0

    def on_room() -> None:
        nonlocal view, calls
        calls += 1
        view = view[outlet.send_many([view[:100_000], view[100_000:5_000_000]]) :]
        if not view and not done.done():
            outlet.stop_waiting()
            done.set_result(None)

    outlet.when_writable(on_room)
    received = await reader.readexactly(len(data))
    await done
    assert received == data
    return calls


def test_a_full_socket_takes_a_part_and_the_rest_when_the_peer_reads(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with connected() as (server, reader, _writer):
            outlet = open_outlet(server.made.result())
            assert isinstance(outlet, SocketOutlet)
            sent = outlet.send(BIG)
            assert 0 < sent < len(BIG)
            for _ in range(100):  # the kernel moves bytes to the peer's buffer until that is full too
                more = outlet.send_many([memoryview(BIG)[sent:]])
                sent += more
                if not more:
                    break
            assert outlet.send_many([memoryview(b"more")]) == 0
            with pytest.raises(BlockingIOError):
                outlet.send(b"more")
            assert await reader.readexactly(sent) == BIG[:sent]
            assert await push(outlet, BIG[sent:], reader) > 1
            outlet.close()
            outlet.close()

    run(scenario)


def test_closing_the_outlet_leaves_the_connection_to_its_transport(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with connected() as (server, reader, _writer):
            transport = server.made.result()
            outlet = open_outlet(transport)
            assert outlet.send(b"first ") == 6
            outlet.when_writable(lambda: None)
            outlet.close()
            transport.write(b"second")
            assert await reader.readexactly(12) == b"first second"
            transport.close()
            assert await reader.read() == b""
            await server.lost

    run(scenario)


def test_nobody_is_called_after_stop_waiting(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with connected() as (server, _, _):
            outlet = open_outlet(server.made.result())
            called = asyncio.Event()
            outlet.when_writable(called.set)
            await called.wait()
            outlet.stop_waiting()
            called.clear()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not called.is_set()
            outlet.close()

    run(scenario)


def test_a_peer_that_is_gone_is_an_os_error(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with connected() as (server, _, writer):
            outlet = open_outlet(server.made.result())
            writer.transport.abort()
            await server.lost
            outlet.send(b"answered with a reset")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                outlet.send(b"lost")
            outlet.close()

    run(scenario)


def test_other_sockets_than_tcp_have_no_tcp_options() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            outlet = SocketOutlet(ours.fileno(), asyncio.get_running_loop())
            outlet.send(b"hello")
            assert theirs.recv(10) == b"hello"
            outlet.close()

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return make_contexts(tmp_path_factory.mktemp("tls"))


def make_contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A self-signed pair for localhost: the server's context, and one of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1))
    builder = builder.not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(plain + certificate.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cafile=str(folder / "both.pem"))


def test_over_tls_the_transport_takes_a_bounded_backlog(
    run: Callable[[Scenario], None], tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet_module, "TLS_POLL", 0.001)

    async def scenario() -> None:
        async with connected(tls) as (server, reader, _writer):
            transport = server.made.result()
            outlet = open_outlet(transport)
            assert isinstance(outlet, TransportOutlet)
            block, sent = bytes(64 * 1024), 0
            while outlet.send(block):
                sent += len(block)
            assert outlet.send_many([memoryview(block)]) == 0
            assert transport.get_write_buffer_size() <= outlet_module.TLS_HIGH_WATER + 2 * len(block)
            assert await reader.readexactly(sent) == bytes(sent)
            assert await push(outlet, BIG[: 4 << 20], reader) >= 1
            outlet.close()
            transport.close()
            with pytest.raises(ConnectionResetError):
                outlet.send(b"late")

    run(scenario)
