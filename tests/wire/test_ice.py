"""The lite agent: which checks it answers, which address it follows, and what it never sends."""

import pytest

from wire import stun
from wire.errors import Malformed, Unsupported
from wire.ice import (
    CONSENT_TIMEOUT,
    CREDENTIAL_RANDOM_SIZE,
    MAX_VERIFIED,
    IceCredentials,
    IceLiteAgent,
    IceReply,
    host_candidate,
    local_ufrag_of,
    make_credentials,
)
from wire.stun import Address

US = IceCredentials("usus", "our-password-is-quite-long")
A = Address("192.0.2.1", 1000)
B = Address("192.0.2.2", 2000)


class Checker:
    """The controlling side, as far as a test needs it."""

    def __init__(self, agent: IceLiteAgent) -> None:
        self.agent = agent
        self.sent = 0

    def check(
        self,
        address: Address,
        *,
        now: float = 0.0,
        nominate: bool = False,
        username: str = "usus:them",
        password: str = US.password,
        controlling: bool = True,
    ) -> IceReply:
        self.sent += 1
        datagram = stun.binding_request(
            self.sent.to_bytes(12, "big"),
            username=username,
            password=password.encode(),
            priority=1,
            tie_breaker=2,
            controlling=controlling,
            use_candidate=nominate,
        )
        return self.agent.receive_check(datagram, stun.parse(datagram), address, now)


@pytest.fixture
def checker() -> Checker:
    return Checker(IceLiteAgent(US, remote_ufrag="them"))


def code(reply: IceReply) -> int | None:
    assert reply.datagram is not None
    return stun.parse(reply.datagram).error_code


def test_a_good_check_is_answered_with_its_own_address(checker: Checker) -> None:
    reply = checker.check(A)
    assert reply.datagram is not None
    answer = stun.parse(reply.datagram)
    assert (answer.kind, answer.mapped_address) == (stun.BINDING_SUCCESS, A)
    assert stun.check_integrity(reply.datagram, answer, US.password.encode())
    assert (reply.verified, reply.moved, checker.agent.remote) == (True, True, A)


def test_a_wrong_password_is_refused_and_verifies_nothing(checker: Checker) -> None:
    reply = checker.check(A, password="wrong")
    assert code(reply) == stun.UNAUTHENTICATED
    assert (reply.verified, checker.agent.remote, checker.agent.is_verified(A, 0.0)) == (False, None, False)


@pytest.mark.parametrize("username", ["usus:other", "usus", "", "other:them"])
def test_a_wrong_user_is_refused(checker: Checker, username: str) -> None:
    assert code(checker.check(A, username=username)) == stun.UNAUTHENTICATED


def test_no_answer_to_an_unverified_check_is_larger_than_it(checker: Checker) -> None:
    bare = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
    assert checker.agent.receive_check(bare, stun.parse(bare), A, 0.0).datagram is None
    padded = b"\x00\x01\x00\x28\x21\x12\xa4\x42" + bytes(12) + b"\x90\x00\x00\x24" + bytes(36)
    reply = checker.agent.receive_check(padded, stun.parse(padded), A, 0.0).datagram
    assert reply is not None
    assert len(reply) <= len(padded)


def test_answers_are_never_checked_back(checker: Checker) -> None:
    answer = stun.binding_success(bytes(12), A, US.password.encode())
    with pytest.raises(Unsupported, match="0x0101"):
        checker.agent.receive_check(answer, stun.parse(answer), A, 0.0)


def test_media_follows_the_latest_nominated_check(checker: Checker) -> None:
    checker.check(A)
    assert not checker.check(B).moved
    assert checker.agent.remote == A
    assert checker.check(B, nominate=True).moved
    assert checker.agent.remote == B
    assert not checker.check(A).moved
    assert checker.agent.remote == B


def test_a_check_copied_to_another_address_moves_nothing(checker: Checker) -> None:
    checker.check(A, nominate=True)
    checker.sent -= 1  # the same transaction again
    with pytest.raises(Malformed, match="replayed"):
        checker.check(B, nominate=True)
    assert checker.agent.remote == A
    assert not checker.agent.is_verified(B, 0.0)


def test_a_retransmitted_check_is_answered_again(checker: Checker) -> None:
    checker.check(A)
    checker.sent -= 1
    assert checker.check(A).verified


def test_a_peer_that_wants_to_be_controlled_is_told_to_control(checker: Checker) -> None:
    reply = checker.check(A, controlling=False)
    assert code(reply) == stun.ROLE_CONFLICT
    assert not reply.verified


def test_an_unknown_attribute_that_matters_is_named(checker: Checker) -> None:
    datagram = stun.binding_request(
        bytes(12), username="usus:them", password=b"", priority=1, tie_breaker=2, controlling=True
    )
    body = datagram[20:-32] + b"\x7f\x01\x00\x00"  # drop the seals, add the attribute, seal again
    sealed = stun._sealed(stun.BINDING_REQUEST, bytes(12), body, US.password.encode())
    reply = checker.agent.receive_check(sealed, stun.parse(sealed), A, 0.0)
    assert code(reply) == stun.UNKNOWN_ATTRIBUTE


def test_an_address_needs_a_check_within_the_consent_time(checker: Checker) -> None:
    checker.check(A, now=10.0)
    assert checker.agent.is_verified(A, 10.0 + CONSENT_TIMEOUT - 0.1)
    assert not checker.agent.is_verified(A, 10.0 + CONSENT_TIMEOUT)
    checker.agent.refresh(A, 30.0)
    assert checker.agent.is_verified(A, 50.0)
    assert not checker.agent.is_verified(B, 10.0)


def test_the_same_port_over_tcp_is_another_address(checker: Checker) -> None:
    checker.check(A)
    assert not checker.agent.is_verified(A._replace(via=1), 0.0)


def test_verified_addresses_are_bounded(checker: Checker) -> None:
    addresses = [Address("192.0.2.1", port) for port in range(MAX_VERIFIED + 1)]
    for address in addresses:
        checker.check(address)
    assert [checker.agent.is_verified(address, 0.0) for address in addresses] == [False] + [True] * MAX_VERIFIED


def test_before_a_nomination_dtls_shows_the_address_in_use(checker: Checker) -> None:
    checker.check(A)
    checker.check(B)
    assert checker.agent.follow_handshake(B)
    assert checker.agent.remote == B
    checker.check(A, nominate=True)
    assert not checker.agent.follow_handshake(B)
    assert checker.agent.remote == A


def test_a_restart_takes_new_credentials_and_keeps_the_address(checker: Checker) -> None:
    checker.check(A, nominate=True)
    new = IceCredentials("new0", "another-password-of-some-length")
    checker.agent.restart(new, remote_ufrag="they")
    assert checker.agent.local_ufrags == ("new0", "usus")
    assert checker.agent.remote == A
    assert checker.check(A).verified, "consent checks with the old credentials may be on their way"
    assert checker.check(B, username="new0:they", password=new.password, nominate=True).moved
    assert checker.agent.local_ufrags == ("new0",)
    assert code(checker.check(A)) == stun.UNAUTHENTICATED


def test_our_ufrag_finds_the_session() -> None:
    request = stun.binding_request(
        bytes(12), username="usus:them", password=b"x", priority=1, tie_breaker=2, controlling=True
    )
    assert local_ufrag_of(stun.parse(request)) == "usus"
    assert local_ufrag_of(stun.parse(stun.binding_success(bytes(12), A, b"x"))) is None


def test_credentials_are_ice_characters_of_the_right_length() -> None:
    made = make_credentials(bytes(range(CREDENTIAL_RANDOM_SIZE)))
    assert (len(made.ufrag), len(made.password)) == (8, 24)
    assert all(character.isalnum() or character in "+/" for character in made.ufrag + made.password)
    with pytest.raises(ValueError, match="23"):
        make_credentials(bytes(23))


def test_candidates_prefer_udp_and_the_first_address() -> None:
    first, second = host_candidate(Address("192.0.2.7", 8189)), host_candidate(Address("2001:db8::7", 8189), rank=1)
    tcp = host_candidate(Address("192.0.2.7", 8189), tcp=True)
    assert first == "1 1 udp 2130706431 192.0.2.7 8189 typ host"
    assert tcp.endswith(" 192.0.2.7 8189 typ host tcptype passive")
    priorities = [int(candidate.split()[3]) for candidate in (first, second, tcp)]
    assert priorities == sorted(priorities, reverse=True)
    assert len({candidate.split()[0] for candidate in (first, second, tcp)}) == 3
