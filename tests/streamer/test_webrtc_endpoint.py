"""The one socket: whose datagram is whose, what nobody's does to anybody, ICE-TCP, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.reasons import ENDED
from relay.report_inbox import ReportInbox, open_inbox
from relay.rtp_packager import RtpPackager
from relay.rtp_target import RtpTarget
from relay.whep_session import WhepSession
from streamer import ice_tcp, webrtc_endpoint
from streamer.address import peer_group
from streamer.candidates import Candidates, local_addresses
from streamer.config import WebRtcSettings
from streamer.ice_tcp import IceTcpConnection
from streamer.node import Node
from streamer.timers import Timers
from streamer.udp_socket import MAX_WAITED, Received, UdpSocket
from streamer.webrtc_endpoint import EndpointLimits, Port, WebRtcEndpoint
from tests.support.odd_certificate import odd_context
from tests.support.webrtc_pair import CALLER
from tests.support.whep_client import viewer
from tests.support.whep_node import LiveNode, config, publishing, whep_node
from wire import stun
from wire.dtls import DtlsConnection, DtlsRole
from wire.ice_tcp import frame
from wire.rtp import rtcp
from wire.stun import Address
from wire.webrtc import WebRtcPeer


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveNode]:
    async with whep_node(config(tmp_path)) as node, publishing(node.hub):
        yield node


async def eventually(done) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_viewer_gets_the_group_and_then_what_is_live(live: LiveNode, tcp: bool) -> None:
    async with viewer(live.whep, tcp=tcp) as client:
        await client.until(40)
        sequences = [packet.sequence for packet in client.packets]
        assert sequences[:2] == [0, 1]
        assert client.packets[0].payload == b"", "the opener"
        assert sequences == sorted(sequences)
        await eventually(lambda: any(isinstance(report, rtcp.SenderReport) for report in client.reports))
        assert live.node.webrtc.endpoint.tcp_connections == int(tcp)
        assert live.node.webrtc.endpoint.half_open == 0
    await eventually(lambda: live.node.webrtc.endpoint.peers == 0)
    await eventually(lambda: live.node.webrtc.endpoint.tcp_connections == 0)
    assert live.node.webrtc.endpoint.verified_addresses == 0
    assert live.node.webrtc.endpoint.report_readers == 0
    assert len(live.node.webrtc.endpoint.timers) == 0


async def test_a_viewer_hears_that_the_broadcast_is_over(live: LiveNode) -> None:
    async with viewer(live.whep, leave=False) as client:
        await client.until(1)
        live.hub.end("demo", ENDED)
        await client.until_closed()
        byes = [report for report in client.reports if isinstance(report, rtcp.Bye)]
        assert byes[0].reason == str(ENDED)
    assert live.node.webrtc.endpoint.peers == 0


async def test_a_viewer_that_says_goodbye_by_dtls_is_gone_at_once(live: LiveNode) -> None:
    async with viewer(live.whep, leave=False) as client:
        await client.until(1)
        client.peer.close()
        client.flush()
        await eventually(lambda: live.node.webrtc.endpoint.peers == 0)
        assert live.node.webrtc.whep.closed == {"ended": 1}


async def test_garbage_of_every_kind_touches_no_peer(live: LiveNode) -> None:
    rng = random.Random(5)
    async with viewer(live.whep) as client:
        await client.until(5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
            attacker.setblocking(False)
            attacker.connect(("127.0.0.1", live.udp.port))
            for _ in range(600):
                first = rng.choice((0, 1, 2, 3, 4, 20, 22, 23, 63, 64, 128, 144, 191, 255))
                attacker.send(bytes([first]) + rng.randbytes(rng.choice((0, 1, 12, 20, 60, 200, 1400))))
            hello = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x20" + bytes(32)
            attacker.send(hello)
            attacker.send(b"")
            seen = live.node.webrtc.endpoint.datagrams
            await eventually(lambda: live.node.webrtc.endpoint.datagrams >= seen)
            before = len(client.packets)
            await client.until(before + 20)
            with pytest.raises(BlockingIOError):
                attacker.recv(2000)
        for _ in range(200):  # and the same from the viewer's own, verified address
            client.send(bytes([rng.choice((0, 3, 20, 22, 23, 128, 200))]) + rng.randbytes(rng.choice((1, 30, 300))))
        await client.until(len(client.packets) + 20)
        assert live.node.webrtc.endpoint.peers == 1
        assert sum(live.node.webrtc.endpoint.dropped.values()) > 100


async def test_a_check_with_a_wrong_password_verifies_nothing(live: LiveNode) -> None:
    async with viewer(live.whep) as client:
        await client.until(1)
        addresses = live.node.webrtc.endpoint.verified_addresses
        forged = stun.binding_request(
            bytes(12),
            username=f"{client.server.ufrag}:call",
            password=b"guess",
            priority=1,
            tie_breaker=1,
            controlling=True,
            use_candidate=True,
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
            attacker.settimeout(2)
            attacker.connect(("127.0.0.1", live.udp.port))
            attacker.send(forged)
            answer = await asyncio.to_thread(attacker.recv, 2000)
        assert len(answer) <= len(forged)
        assert stun.parse(answer).error_code == stun.UNAUTHENTICATED
        assert live.node.webrtc.endpoint.verified_addresses == addresses
        await client.until(len(client.packets) + 10)


async def test_a_check_from_port_0_moves_no_media(live: LiveNode) -> None:
    """Nothing can be sent there, and the kernel's answer to a send would look like one about all viewers."""
    async with viewer(live.whep) as client:
        await client.until(1)
        endpoint, (session,) = live.node.webrtc.endpoint, live.node.webrtc.whep.sessions()
        remote, dropped = session.port.peer.remote, endpoint.dropped["stun"]
        good = client._check(client.server, CALLER)
        endpoint._receive(good, Address("127.0.0.1", 0), (), 0.0)
        assert endpoint.dropped["stun"] == dropped + 1
        assert session.port.peer.remote == remote
        endpoint._receive(good, Address("127.0.0.1", 9), (), 0.0)
        assert session.port.peer.remote == Address("127.0.0.1", 9), "from anywhere else it does"


async def test_a_certificate_that_cannot_be_read_closes_its_own_peer_only(live: LiveNode, tmp_path: Path) -> None:
    async with viewer(live.whep) as client, viewer(live.whep, leave=False) as odd:
        ours = odd.peer._dtls._fingerprints
        odd.peer._dtls = DtlsConnection(odd_context(4, tmp_path), DtlsRole.CLIENT, fingerprints=ours)
        await eventually(lambda: live.node.webrtc.whep.closed == {"idle": 1})
        await client.until(len(client.packets) + 20)
        assert live.node.webrtc.endpoint.peers == 1
        assert "error" not in live.node.webrtc.endpoint.dropped


@pytest.mark.parametrize("fails", ["receive_datagram", "receive_check", "handle_timeout"])
async def test_an_error_of_ours_costs_one_peer(
    live: LiveNode, fails: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = live.node.webrtc.endpoint

    def fail(*arguments: object) -> None:
        raise ArithmeticError("a bug of ours")

    async with viewer(live.whep, leave=False) as first, viewer(live.whep) as second:
        await first.until(1)
        await second.until(1)
        broken, whole = endpoint._ports
        (broken_at,), (whole_at,) = broken.addresses, whole.addresses
        heard: list[bytes] = []
        monkeypatch.setattr(broken.peer, fails, fail)
        monkeypatch.setattr(whole.peer, "receive_datagram", lambda datagram, *_: heard.append(datagram) or ())
        if fails == "handle_timeout":
            broken.handle_timeout(0.0)
        else:
            bad = bytes([128]) * 20 if fails == "receive_datagram" else first._check(first.server, CALLER)
            batch = [(bad, broken_at, (), 0.0), (b"\x80 of the same batch", whole_at, (), 0.0)]
            monkeypatch.setattr(endpoint._udp, "receive", lambda count: batch)
            endpoint._on_readable()
            monkeypatch.undo()
            assert b"\x80 of the same batch" in heard
        monkeypatch.undo()
        assert list(endpoint._ports) == [whole]
        assert live.node.webrtc.whep.closed == {"reconnect": 1}
        assert endpoint.dropped["error"] == 1
        await second.until(len(second.packets) + 20)
    assert caplog.text.count("ArithmeticError: a bug of ours") == 1


async def test_a_flood_of_errors_is_logged_once_a_second(live: LiveNode, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = live.node.webrtc.endpoint
    async with viewer(live.whep, leave=False) as client:
        await client.until(1)
        (port,) = endpoint._ports
        for number in range(100):
            endpoint.log_failure(port, 1e6 + number / 50)
    assert endpoint.dropped["error"] == 100
    assert caplog.text.count("closed for an error") == 2


async def test_a_good_check_takes_no_address_that_is_in_use(live: LiveNode, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = live.node.webrtc.endpoint
    async with viewer(live.whep) as first, viewer(live.whep) as second:
        await first.until(1)
        await second.until(1)
        one, two = endpoint._ports
        (its,) = one.addresses
        await eventually(lambda: one.holds(its, endpoint._now()))
        before, dropped = two.peer.remote, endpoint.dropped["stun"]
        first.send(second._check(second.server, CALLER))  # as if `second` had forged its source
        await eventually(lambda: endpoint.dropped["stun"] > dropped)
        assert endpoint._by_address[its] is one
        assert two.peer.remote == before
        await first.until(len(first.packets) + 20)

        monkeypatch.setattr(webrtc_endpoint, "HELD_FOR", 0.0)
        first.checking = False
        first.send(
            second._check(second.server, CALLER)
        )  # and as if the system had given it the port of one that is gone
        await eventually(lambda: endpoint._by_address[its] is two)


async def test_a_viewer_that_moves_is_followed(live: LiveNode) -> None:
    async with viewer(live.whep) as client:
        await client.until(5)
        old = client.transport
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: client, remote_addr=("127.0.0.1", live.udp.port))
        old.close()
        count = len(client.packets)
        await client.until(count + 40)
        assert live.node.webrtc.endpoint.peers == 1


async def test_a_viewer_may_change_from_udp_to_tcp(live: LiveNode) -> None:
    async with viewer(live.whep) as client:
        await client.until(5)
        old = client.transport
        client._tcp = True
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", live.udp.port)
        old.close()
        await client.until(len(client.packets) + 40)
        numbers = [(packet.ssrc, packet.sequence) for packet in client.packets]
        assert len(set(numbers)) == len(numbers)


async def test_an_unverified_tcp_connection_is_closed_in_time(live: LiveNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_tcp, "FIRST_CHECK_TIMEOUT", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", live.udp.port)
    writer.write(frame(b"hello"))
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: live.node.webrtc.endpoint.tcp_connections == 0)


async def test_a_broken_frame_closes_its_connection_only(live: LiveNode) -> None:
    async with viewer(live.whep, tcp=True) as client:
        await client.until(5)
        reader, writer = await asyncio.open_connection("127.0.0.1", live.udp.port)
        writer.write(b"\xff\xff" + bytes(100))
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await client.until(len(client.packets) + 20)


async def test_unverified_tcp_connections_are_bounded(tmp_path: Path) -> None:
    async with whep_node(config(tmp_path, webrtc=WebRtcSettings(max_tcp_connections=2))) as live:
        writers = []
        for number in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", live.udp.port)
            writers.append(writer)
            if number == 2:
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await asyncio.wait_for(reader.readexactly(1), 5)
        assert live.node.webrtc.endpoint.tcp_connections == 2
        for writer in writers:
            writer.close()


async def refused(live: LiveNode, source: str, writers: list[asyncio.StreamWriter]) -> bool:
    endpoint = live.node.webrtc.endpoint
    seen = endpoint.tcp_connections + endpoint.dropped["tcp connection"]
    _, writer = await asyncio.open_connection("127.0.0.1", live.udp.port, local_addr=(source, 0))
    writers.append(writer)
    await eventually(lambda: endpoint.tcp_connections + endpoint.dropped["tcp connection"] > seen)
    return endpoint.dropped["tcp connection"] > 0


async def test_one_address_has_a_share_of_the_unverified_tcp_connections(live: LiveNode) -> None:
    endpoint = live.node.webrtc.endpoint
    share = endpoint.limits.max_tcp_unverified // webrtc_endpoint.TCP_CLIENT_SHARE
    writers: list[asyncio.StreamWriter] = []
    for _ in range(share):
        assert not await refused(live, "127.0.0.2", writers)
    assert not await refused(live, "127.0.0.3", writers)
    async with viewer(live.whep, tcp=True) as client:
        await client.until(1)
        assert await refused(live, "127.0.0.2", writers)
    for writer in writers:
        writer.close()


def test_addresses_of_one_ipv6_network_share() -> None:
    endpoint = WebRtcEndpoint(lambda: 0.0, EndpointLimits(max_tcp_unverified=16))
    opened = []
    for host in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"):
        connection = IceTcpConnection(endpoint)
        connection.client = peer_group(host)
        opened.append(endpoint.tcp_opened(connection))
    assert opened == [1, 2, None, 3, 4, 5]


def test_the_endpoint_has_room_for_all_viewers_and_publishers(tmp_path: Path) -> None:
    settings = config(tmp_path, webrtc=WebRtcSettings(max_viewers=50_000, max_publishers=300))
    node = Node(settings)
    assert node.webrtc.endpoint.limits.max_peers == 50_300


async def test_the_oldest_addresses_of_a_peer_are_forgotten(live: LiveNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc_endpoint, "MAX_ADDRESSES", 3)
    async with viewer(live.whep) as client:
        await client.until(1)
        loop = asyncio.get_running_loop()
        transports = [client.transport]
        for _ in range(5):
            answers = client.answers
            await loop.create_datagram_endpoint(lambda: client, remote_addr=("127.0.0.1", live.udp.port))
            transports.append(client.transport)
            client.check()
            await eventually(lambda count=answers: client.answers > count)
        assert live.node.webrtc.endpoint.verified_addresses == 3
        for transport in transports[:-1]:
            transport.close()


async def test_restarts_leave_no_credentials_behind(live: LiveNode) -> None:
    endpoint = live.node.webrtc.endpoint
    async with viewer(live.whep, leave=False) as client:
        await client.until(1)
        client.checking = False
        (port,) = endpoint._ports
        for number in range(20):
            for _ in range(1 + number % 2):  # every second one before the first check of the one before
                local = endpoint.local_transport("127.0.0.1")
                endpoint.restart(port, local, remote_ufrag=CALLER.ufrag)
                assert len(endpoint._by_ufrag) == 2
            client.server = local.ice
            client.check()
            await eventually(lambda: len(endpoint._by_ufrag) == 1)
            assert list(endpoint._by_ufrag) == [local.ice.ufrag]
        endpoint.restart(port, endpoint.local_transport("127.0.0.1"), remote_ufrag=CALLER.ufrag)
        port.close()
        assert not endpoint._by_ufrag


async def test_five_hundred_joins_and_leaves_leave_nothing(live: LiveNode) -> None:
    webrtc = live.node.webrtc.endpoint

    async def watch() -> None:
        async with viewer(live.whep) as client:
            await client.until(1)

    for _ in range(25):
        await asyncio.gather(*(watch() for _ in range(20)))
    await eventually(lambda: webrtc.peers == 0)
    assert live.node.webrtc.whep.joins == 500
    assert live.node.webrtc.whep.viewer_count == 0
    assert webrtc.verified_addresses == 0
    assert webrtc.report_readers == 0
    assert len(webrtc.timers) == 0
    assert not webrtc._by_ufrag
    assert not list(live.node.webrtc.whep.packagers)
    gc.collect()
    kinds = (WhepSession, WebRtcPeer, DtlsConnection, RtpTarget, RtpPackager, Port)
    left = Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, kinds))
    assert left.total() < 400, f"a few of the last timers may hold theirs, not five hundred: {left}"


@pytest.mark.parametrize("inbox", [open_inbox(), None], ids=["native", "python"])
def test_a_wildcard_socket_answers_from_the_address_that_was_contacted(inbox: ReportInbox | None) -> None:
    server = UdpSocket("::", 0, inbox)
    try:
        for contacted in ("127.0.0.2", "127.0.0.3", "::1"):
            family = socket.AF_INET6 if ":" in contacted else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.bind(("::1" if ":" in contacted else "127.0.0.1", 0))
                client.settimeout(5)
                client.sendto(b"hello", (contacted, server.port))
                received: list[Received] = []
                while not received:
                    received = list(server.receive(1))
                datagram, address, control, _ = received[0]
                assert datagram == b"hello"
                assert address.host == client.getsockname()[0]
                route = server.route(address, control)
                route.socket.sendmsg((b"hi",), route.control, 0, route.sockaddr)
                answer, source = client.recvfrom(100)
                assert (answer, source[0]) == (b"hi", contacted)
    finally:
        server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
@pytest.mark.parametrize("inbox", [open_inbox(), None], ids=["native", "python"])
@pytest.mark.parametrize("clock_s", [0.9, -60, 60], ids=["waited", "set back", "set forward"])
def test_for_how_long_a_datagram_waited_is_the_kernels_word(
    host: str, inbox: ReportInbox | None, clock_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the wall clock, unless that was set meanwhile."""
    server = UdpSocket(host, 0, inbox)
    with contextlib.closing(server), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        clock, begun = time.time_ns, time.time_ns()
        client.sendto(b"hello", ("127.0.0.1", server.port))
        monkeypatch.setattr("time.time_ns", lambda: begun + int(clock_s * 1e9))
        received: list[Received] = []
        while not received:
            received = list(server.receive(1))
        passed_s = (clock() - begun) / 1e9
        ((datagram, _, control, waited),) = received
        assert datagram == b"hello"
        assert bool(control) == (host == "::"), "where to answer from is told where there is a choice"
        if 0 < clock_s < MAX_WAITED:
            assert clock_s - passed_s <= waited <= clock_s
        else:
            assert waited == 0


async def test_what_waited_in_the_socket_is_told_to_the_peer(live: LiveNode, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = live.node.webrtc.endpoint
    async with viewer(live.whep) as client:
        await client.until(1)
        (port,) = endpoint._ports
        (address,) = port.addresses
        heard: list[tuple[object, ...]] = []
        monkeypatch.setattr(port.peer, "receive_datagram", lambda *said: heard.append(said) or ())
        endpoint._receive(b"\x80 media", address, (), 0.25)
        assert [(said[0], said[3]) for said in heard if said[0] == b"\x80 media"] == [(b"\x80 media", 0.25)]


@pytest.mark.skipif(sys.platform != "linux", reason="numbers of Linux")
@pytest.mark.parametrize(("host", "options"), [("127.0.0.1", [(0, 10)]), ("::", [(0, 10), (41, 23)])])
def test_what_a_path_claims_to_carry_is_ignored(host: str, options: list[tuple[int, int]]) -> None:
    server = UdpSocket(host, 0)
    try:
        assert [server.socket.getsockopt(*option) for option in options] == [5] * len(options), "IP_PMTUDISC_OMIT"
    finally:
        server.close()


async def test_who_waits_for_room_goes_on_though_another_fails(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = WebRtcEndpoint(asyncio.get_running_loop().time)
    await endpoint.listen("127.0.0.1", 0)
    called = []
    endpoint.when_writable(lambda: called.append("first"))
    endpoint.when_writable(lambda: 1 // 0)
    endpoint.when_writable(lambda: called.append("last"))
    await eventually(lambda: not endpoint._is_writing)
    assert called == ["first", "last"]
    assert "ZeroDivisionError" in caplog.text
    endpoint.close()


def test_candidates_begin_with_the_address_that_was_reached_already() -> None:
    candidates = Candidates((), "0.0.0.0", 8189)
    lines = candidates.lines("::ffff:192.0.2.55", tcp=True)
    assert " 192.0.2.55 8189 typ host" in lines[0]
    assert not any(":" in line.split()[4] for line in lines), "no IPv6 where only IPv4 is listened on"
    assert len(lines) == 2 * len(candidates.lines("192.0.2.55", tcp=False))
    assert "127.0.0.1" not in local_addresses() or local_addresses() == ("127.0.0.1",)


def test_a_bound_address_is_the_only_candidate() -> None:
    lines = Candidates((), "192.0.2.1", 5).lines("192.0.2.55", tcp=False)
    assert [line.split()[4] for line in lines] == ["192.0.2.1"]


async def test_a_timer_that_moves_later_costs_nothing_until_its_old_time() -> None:
    class Peer:
        due = 0.0
        fired = 0

        def next_timeout(self, now: float) -> float | None:
            return self.due if self.fired < 2 else None

        def handle_timeout(self, now: float) -> None:
            if now >= self.due:
                self.fired += 1
                self.due = now + 0.01

    loop = asyncio.get_running_loop()
    timers, peer, other = Timers(loop.time), Peer(), Peer()
    peer.due, other.due = loop.time() + 0.02, loop.time() + 30
    for timed in (peer, other):
        timers.note(timed)
    for _ in range(1000):
        peer.due += 0.00002
        timers.note(peer)
    assert len(timers._heap) == 2
    await eventually(lambda: peer.fired == 2)
    timers.forget(other)
    assert len(timers) == 0
    timers.close()
