"""Consent checks that are answered without Python get the answer that Python gives, and nothing else is answered."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from relay.endpoint import UdpRoute
from relay.report_inbox import ReportInbox, ReportReader, open_inbox
from streamer.udp_socket import UdpSocket
from tests.support.mutations import mutations
from tests.support.webrtc_pair import CALLER
from tests.support.whep_client import viewer
from tests.support.whep_node import config, publishing, whep_node
from wire import stun
from wire.stun import Address

USERNAME, PASSWORD = "ours:theirs", b"a password of 24 letters"
TRANSACTION = bytes(range(12))
GOOG_NETWORK_INFO = 0xC057


def check(*, username: str = USERNAME, password: bytes = PASSWORD, controlling: bool = True, use: bool = True) -> bytes:
    return stun.binding_request(
        TRANSACTION,
        username=username,
        password=password,
        priority=1,
        tie_breaker=7,
        controlling=controlling,
        use_candidate=use,
    )


def with_attribute(kind: int, value: bytes) -> bytes:
    """A check with one more attribute in front, as good as the others."""
    plain = check()
    body = stun._attribute(kind, value) + plain[20 : len(plain) - 32]
    return stun._sealed(stun.BINDING_REQUEST, TRANSACTION, body, PASSWORD)


class Rig:
    """A socket that an inbox reads, and one of a viewer whose checks it may answer."""

    def __init__(self, host: str, theirs: str) -> None:
        inbox = open_inbox()
        if inbox is None:
            pytest.skip("relay._fanout was not built: it needs a C compiler and OpenSSL's headers")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.inbox: ReportInbox = inbox
        self.ours = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self.ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.ours.bind((host, 0))
        self.viewer = socket.socket(socket.AF_INET6 if ":" in theirs else socket.AF_INET, socket.SOCK_DGRAM)
        self.viewer.bind((theirs, 0))
        self.viewer.connect((theirs, self.ours.getsockname()[1]))
        self.viewer.setblocking(False)
        port = self.viewer.getsockname()[1]
        self.address = Address(theirs, port)
        seen_as = f"::ffff:{theirs}" if family == socket.AF_INET6 and ":" not in theirs else theirs
        self.route = UdpRoute(self.ours, (seen_as, port))
        self.reader: ReportReader = inbox.reader(bytes(16), bytes(12))
        self.reader.answer(USERNAME.encode(), PASSWORD)
        inbox.listen(self.route.raw_sockaddr, self.reader)

    def ask(self, datagram: bytes) -> bytes | None:
        """The answer; None where it was left to Python, which then got what was sent."""
        self.viewer.send(datagram)
        rest = self.inbox.receive(self.ours.fileno())
        try:
            answer = self.viewer.recv(1000)
        except BlockingIOError:
            assert [each for each, _, _ in rest] == [datagram]
            return None
        assert rest == []
        return answer

    def close(self) -> None:
        self.ours.close()
        self.viewer.close()


@pytest.fixture(params=[("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")], ids=["4", "4 in 6", "6"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(*request.param)
    yield made
    made.close()


@pytest.mark.parametrize("use", [True, False])
def test_a_consent_check_gets_the_answer_that_python_gives(rig: Rig, use: bool) -> None:
    assert rig.reader.heard_at == 0
    assert not rig.reader.knows(TRANSACTION)
    assert rig.ask(check(use=use)) == stun.binding_success(TRANSACTION, rig.address, PASSWORD)
    assert rig.reader.heard_at > 0
    assert rig.reader.knows(TRANSACTION)
    assert rig.inbox.taken == 1


def test_what_a_browser_adds_does_not_matter(rig: Rig) -> None:
    extended = with_attribute(GOOG_NETWORK_INFO, pack("!HH", 1, 50))
    assert rig.ask(extended) == stun.binding_success(TRANSACTION, rig.address, PASSWORD)


@pytest.mark.parametrize(
    "datagram",
    [
        check(username="ours:others"),
        check(username="ours:their"),
        check(password=b"guess"),
        check(controlling=False),
        with_attribute(0x7777, b"must be understood"),
        with_attribute(0x0006, USERNAME.encode()),
        check()[:-8],
        stun.binding_success(TRANSACTION, Address("127.0.0.1", 9), PASSWORD),
        stun.binding_error(TRANSACTION, 487, password=PASSWORD),
        stun._sealed(stun.BINDING_REQUEST, TRANSACTION, b"", PASSWORD),
        stun._sealed(stun.BINDING_REQUEST, TRANSACTION, b"", None),
        b"",
        bytes(20),
        bytes(600),
    ],
)
def test_anything_else_is_left_to_python(rig: Rig, datagram: bytes) -> None:
    assert rig.ask(datagram) is None
    assert rig.reader.heard_at == 0


def test_no_changed_byte_and_no_prefix_is_answered() -> None:
    rig = Rig("127.0.0.1", "127.0.0.1")
    good = check()
    for broken in mutations(good):
        if broken != good:
            assert rig.ask(broken) is None
    rig.close()


def test_without_credentials_python_answers(rig: Rig) -> None:
    rig.reader.answer(b"", b"")
    assert rig.ask(check()) is None
    rig.reader.answer(b"ours:after", PASSWORD)
    assert rig.ask(check()) is None
    assert rig.ask(check(username="ours:after")) is not None


def test_the_last_thirty_two_checks_are_known() -> None:
    rig = Rig("127.0.0.1", "127.0.0.1")
    ids = [os.urandom(12) for _ in range(40)]
    for transaction in ids:
        plain = stun.binding_request(
            transaction, username=USERNAME, password=PASSWORD, priority=1, tie_breaker=7, controlling=True
        )
        assert rig.ask(plain) is not None
    assert [rig.reader.knows(transaction) for transaction in ids] == [False] * 8 + [True] * 32
    assert not rig.reader.knows(b"short")
    rig.close()


def test_credentials_and_control_messages_have_bounds() -> None:
    rig = Rig("127.0.0.1", "127.0.0.1")
    for username, password in ((bytes(514), b""), (b"x", bytes(257))):
        with pytest.raises(ValueError, match="bytes"):
            rig.reader.answer(username, password)
    with pytest.raises(ValueError, match="65"):
        rig.inbox.listen(rig.route.raw_sockaddr, rig.reader, ((0, 0, bytes(65)),))
    rig.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_check_at_another_address_of_ours_is_not_answered_from_the_first(host: str) -> None:
    """RFC 8445, 7.3.1: a response goes out from the address that the request came to, else its pair has failed."""
    inbox = open_inbox()
    if inbox is None:
        pytest.skip("relay._fanout was not built")
    server = UdpSocket(host, 0, inbox)
    reader = inbox.reader(bytes(16), bytes(12))
    reader.answer(USERNAME.encode(), PASSWORD)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        for home in ("127.0.0.2", "127.0.0.3"):
            client.sendto(b"hello", (home, server.port))
            ((_, address, control, _),) = server.receive(1)
            inbox.listen(server.route(address, ()).raw_sockaddr, reader, control)
            client.sendto(check(), (home, server.port))
            assert list(server.receive(1)) == []
            assert client.recvfrom(1000)[1] == (home, server.port)
            client.sendto(check(), ("127.0.0.4", server.port))
            ((left, _, control, _),) = server.receive(1)
            assert left == check()
            assert socket.inet_aton("127.0.0.4") in control[0][2], "Python knows from where to answer"
    assert inbox.taken == 2
    server.close()


async def test_a_viewer_that_watches_is_answered_and_a_copied_check_moves_nothing(tmp_path: Path) -> None:
    if open_inbox() is None:
        pytest.skip("relay._fanout was not built")
    async with whep_node(config(tmp_path)) as node, publishing(node.hub), viewer(node.whep) as client:
        await client.until(1)
        endpoint, (session,) = node.node.webrtc.endpoint, node.node.webrtc.whep.sessions()
        async with asyncio.timeout(20):
            while endpoint.reports_taken < 3:
                await asyncio.sleep(0.02)  # the client checks all the time
        assert client.answers >= 3
        peer, remote = session.port.peer, session.port.peer.remote
        client.checking = False
        copied = client._check(client.server, CALLER)
        client.send(copied)
        async with asyncio.timeout(10):
            while not session.port._reader.knows(copied[8:20]):  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
            attacker.connect(("127.0.0.1", node.udp.port))
            before = endpoint.dropped["stun"]
            attacker.send(copied)
            async with asyncio.timeout(10):
                while endpoint.dropped["stun"] == before:
                    await asyncio.sleep(0.01)
        assert peer.remote == remote
        before_restart = endpoint.reports_taken
        session.port.restart()  # type: ignore[attr-defined]
        client.check()
        answers = client.answers
        async with asyncio.timeout(10):
            while client.answers == answers:
                await asyncio.sleep(0.01)
        assert endpoint.reports_taken <= before_restart + 1, "Python has answered, or the reader for the last time"
