"""The viewer's half of ICE against the server's, in fake time."""

from __future__ import annotations

import pytest

from bench.ice_caller import CHECK_S, CONSENT_S, IceCaller
from wire import stun
from wire.errors import WireError
from wire.ice import CONSENT_TIMEOUT, IceCredentials, IceLiteAgent
from wire.stun import Address

VIEWER = IceCredentials("view", "viewer-password-long-enough")
SERVER = IceCredentials("serv", "server-password-long-enough")
FROM = Address("198.51.100.7", 50_000)
DEAD, ALIVE = Address("192.0.2.1", 8189), Address("192.0.2.2", 8189)


def caller() -> IceCaller:
    return IceCaller(VIEWER, SERVER, (DEAD, ALIVE), now=10.0)


def answer(datagram: bytes, server: IceCredentials = SERVER) -> bytes | None:
    agent = IceLiteAgent(server, remote_ufrag=VIEWER.ufrag)
    return agent.receive_check(datagram, stun.parse(datagram), FROM, 10.0).datagram


def test_candidates_are_tried_in_turn_until_one_answers() -> None:
    ice = caller()
    sent = []
    for step in range(4):
        ice.handle_timeout(10.0 + step * 1.01 * CHECK_S)
        sent += ice.datagrams_to_send()
    assert [address for _, address in sent] == [DEAD, ALIVE, DEAD, ALIVE]
    assert all(stun.parse(datagram).use_candidate for datagram, _ in sent)
    reply = answer(sent[1][0])
    assert reply is not None
    ice.receive(reply, ALIVE, 10.3)
    assert ice.selected == ALIVE
    assert ice.rtt == pytest.approx(0.25, abs=0.01)


def test_consent_is_asked_for_and_its_end_is_noticed() -> None:
    ice = caller()
    ice.handle_timeout(10.0)
    (check, to), *_ = ice.datagrams_to_send()
    reply = answer(check)
    assert reply is not None
    ice.receive(reply, to, 10.1)
    assert 10.1 + 0.8 * CONSENT_S <= ice.check_at <= 10.1 + 1.2 * CONSENT_S
    ice.handle_timeout(10.2)
    assert not ice.datagrams_to_send()
    ice.handle_timeout(ice.check_at)
    assert [address for _, address in ice.datagrams_to_send()] == [DEAD]
    assert not ice.consent_lost(10.1 + CONSENT_TIMEOUT)
    assert ice.consent_lost(10.2 + CONSENT_TIMEOUT)


def test_a_refusal_is_remembered_and_nothing_is_selected() -> None:
    ice = caller()
    ice.handle_timeout(10.0)
    (check, to), *_ = ice.datagrams_to_send()
    refusal = answer(check, IceCredentials("else", "another-password-long-enough"))
    assert refusal is not None
    ice.receive(refusal, to, 10.1)
    assert (ice.selected, ice.refusal) == (None, stun.UNAUTHENTICATED)


def test_answers_that_are_not_the_servers_are_not_believed() -> None:
    ice = caller()
    ice.handle_timeout(10.0)
    (check, to), *_ = ice.datagrams_to_send()
    transaction = stun.parse(check).transaction_id
    forged = stun.binding_success(transaction, FROM, b"a guess")
    strange = stun.binding_success(bytes(12), FROM, SERVER.password.encode())
    for datagram, address in ((strange, to), (forged, ALIVE)):
        with pytest.raises(WireError):
            ice.receive(datagram, address, 10.1)
    ice.handle_timeout(10.1)
    (check, to), *_ = ice.datagrams_to_send()
    with pytest.raises(WireError, match="not signed"):
        ice.receive(stun.binding_success(stun.parse(check).transaction_id, FROM, b"a guess"), to, 10.2)
    assert ice.selected is None


def test_a_server_with_full_ice_gets_its_checks_answered() -> None:
    ice = caller()
    options = {"priority": 1, "tie_breaker": 1, "controlling": False}
    good = stun.binding_request(b"a" * 12, username="view:serv", password=VIEWER.password.encode(), **options)
    bad = stun.binding_request(b"b" * 12, username="view:serv", password=b"wrong", **options)
    ice.receive(good, ALIVE, 10.0)
    ((reply, to),) = ice.datagrams_to_send()
    message = stun.parse(reply)
    assert (to, message.kind, message.mapped_address) == (ALIVE, stun.BINDING_SUCCESS, ALIVE)
    assert stun.check_integrity(reply, message, VIEWER.password.encode())
    with pytest.raises(WireError):
        ice.receive(bad, ALIVE, 10.0)
