"""STUN against the vectors of RFC 5769, tables of broken messages, mutations and random bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import mutations, parses_or_raises_wire_error
from wire import stun
from wire.errors import LimitExceeded, Malformed, Truncated, WireError
from wire.stun import Address

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
# RFC 5769, 2.1 to 2.3
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249"
    "c1b571a280280004e57a3bcf"
)
RESPONSE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa"
    "a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


def check(**changes: object) -> bytes:
    options = {"username": "us:them", "password": b"secret", "priority": 7, "tie_breaker": 9, "controlling": True}
    return stun.binding_request(TRANSACTION, **(options | changes))  # type: ignore[arg-type]


def attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def message(*attributes: bytes, kind: int = stun.BINDING_REQUEST) -> bytes:
    body = b"".join(attributes)
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + bytes.fromhex("2112a442") + TRANSACTION + body


def test_the_sample_request_of_rfc_5769() -> None:
    parsed = stun.parse(REQUEST)
    assert (parsed.kind, parsed.transaction_id) == (stun.BINDING_REQUEST, TRANSACTION)
    assert (parsed.username, parsed.priority, parsed.controlled) == ("evtj:h6vY", 0x6E0001FF, 0x932FF9B151263B36)
    assert stun.check_integrity(REQUEST, parsed, PASSWORD)
    assert not stun.check_integrity(REQUEST, parsed, PASSWORD + b"!")


@pytest.mark.parametrize(
    ("datagram", "mapped"),
    [
        (RESPONSE_IPV4, Address("192.0.2.1", 32853)),
        (RESPONSE_IPV6, Address("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_the_sample_responses_of_rfc_5769(datagram: bytes, mapped: Address) -> None:
    parsed = stun.parse(datagram)
    assert parsed.mapped_address == mapped
    assert stun.check_integrity(datagram, parsed, PASSWORD)


def test_a_check_says_what_it_was_made_of() -> None:
    datagram = check(use_candidate=True)
    parsed = stun.parse(datagram)
    assert stun.is_stun(datagram)
    assert (parsed.username, parsed.priority, parsed.controlling, parsed.controlled) == ("us:them", 7, 9, None)
    assert parsed.use_candidate
    assert stun.check_integrity(datagram, parsed, b"secret")
    assert stun.parse(check(controlling=False)).controlled == 9


@pytest.mark.parametrize("host", ["203.0.113.9", "2001:db8::7", "fe80::1%eth0"])
def test_an_answer_carries_the_address_back(host: str) -> None:
    datagram = stun.binding_success(TRANSACTION, Address(host, 40_000), b"secret")
    parsed = stun.parse(datagram)
    assert parsed.mapped_address == Address(host.partition("%")[0], 40_000)
    assert stun.check_integrity(datagram, parsed, b"secret")


def test_an_error_names_its_code_and_what_was_not_understood() -> None:
    parsed = stun.parse(stun.binding_error(TRANSACTION, 420, password=b"x", unknown=(0x7F01,)))
    assert (parsed.kind, parsed.error_code) == (stun.BINDING_ERROR, 420)
    unsigned = stun.parse(stun.binding_error(TRANSACTION, 487))
    assert (unsigned.error_code, unsigned.integrity_at) == (487, None)


def test_attributes_that_must_be_understood_are_listed_and_the_others_skipped() -> None:
    parsed = stun.parse(message(attribute(0x7F01, b"a"), attribute(0xC057, b"network"), attribute(0x0026, b"")))
    assert parsed.unknown == (0x7F01, 0x0026)


def test_what_follows_the_integrity_is_not_believed() -> None:
    sealed = stun.parse(message(attribute(0x0008, bytes(20)), attribute(0x0025, b"")))
    assert not sealed.use_candidate


@pytest.mark.parametrize(
    ("datagram", "error"),
    [
        (b"", Truncated),
        (REQUEST[:19], Truncated),
        (REQUEST[:-4], Malformed),
        (REQUEST + bytes(4), Malformed),
        (b"\xc0" + REQUEST[1:], Malformed),
        (REQUEST[:4] + bytes(4) + REQUEST[8:], Malformed),
        (REQUEST[:-1] + b"\0", Malformed),
        (message(attribute(0x0024, bytes(3))), Malformed),
        (message(attribute(0x0008, bytes(19))), Malformed),
        (message(attribute(0x0006, b"\xff\xfe")), Malformed),
        (message(attribute(0x0006, b"x" * 600)), LimitExceeded),
        (message(attribute(0x0009, b"\0\0")), Truncated),
        (message(attribute(0x0020, b"\0\3\0\0" + bytes(4))), Malformed),
        (message(attribute(0x0020, b"\0")), Truncated),
        (message(b"\x00\x24\x00\x08\0\0\0\0"), Truncated),
        (message(*(attribute(0x9000 + number, b"") for number in range(40))), LimitExceeded),
        (message(attribute(0x9000, bytes(1300))), LimitExceeded),
        (message(attribute(0x8028, bytes(4)), attribute(0x9000, b"")), Malformed),
    ],
)
def test_broken_messages_raise(datagram: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        stun.parse(datagram)


@pytest.mark.parametrize("datagram", [REQUEST, RESPONSE_IPV4, RESPONSE_IPV6])
def test_mutations_parse_or_raise_wire_error(datagram: bytes) -> None:
    for mutation in mutations(datagram):
        parses_or_raises_wire_error(stun.parse, mutation)


def test_no_changed_byte_passes_the_integrity_check() -> None:
    datagram = check(use_candidate=True)[:-8]  # without its fingerprint, which would catch all of them first
    datagram = datagram[:2] + (len(datagram) - 20).to_bytes(2, "big") + datagram[4:]
    assert stun.check_integrity(datagram, stun.parse(datagram), b"secret")
    for at in range(len(datagram)):
        changed = datagram[:at] + bytes([datagram[at] ^ 1]) + datagram[at + 1 :]
        try:
            parsed = stun.parse(changed)
        except WireError:
            continue
        assert not stun.check_integrity(changed, parsed, b"secret")


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=12))
def test_any_attributes_parse_or_raise_wire_error(attributes: list[tuple[int, bytes]]) -> None:
    parses_or_raises_wire_error(stun.parse, message(*(attribute(kind, value) for kind, value in attributes)))


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_raise_wire_error(data: bytes) -> None:
    parses_or_raises_wire_error(stun.parse, data)
