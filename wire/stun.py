"""STUN as ICE uses it: binding requests, answers and errors (RFC 8489, RFC 8445).

`parse` reads the few attributes that ICE needs and skips the rest; `check_integrity` is separate, because the key is
known only after the user name has found the session. Written by hand because every viewer sends a check every few
seconds.
"""

from __future__ import annotations

import hmac
from ipaddress import IPv4Address, IPv6Address
from struct import Struct, pack
from typing import NamedTuple
from zlib import crc32

from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = [
    "BAD_REQUEST",
    "BINDING_ERROR",
    "BINDING_REQUEST",
    "BINDING_SUCCESS",
    "MAX_MESSAGE_SIZE",
    "ROLE_CONFLICT",
    "UNAUTHENTICATED",
    "UNKNOWN_ATTRIBUTE",
    "Address",
    "StunMessage",
    "binding_error",
    "binding_request",
    "binding_success",
    "check_integrity",
    "is_stun",
    "parse",
]


class Address(NamedTuple):
    """Where a datagram came from or goes to: a numeric IP address and a port.

    `via` says through which socket of ours: 0 is the UDP socket, and each ICE-TCP connection has a number of its own,
    so that the same host and port over UDP and over TCP are two addresses.
    """

    host: str
    port: int
    via: int = 0


BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111

BAD_REQUEST = 400
UNAUTHENTICATED = 401
UNKNOWN_ATTRIBUTE = 420
ROLE_CONFLICT = 487

MAX_MESSAGE_SIZE = 1280
"""RFC 8489, 6.1 keeps messages under the path MTU; ICE checks are about 100 bytes."""
MAX_ATTRIBUTES = 32
"""A browser's check has eight; the rest is slack for vendor attributes."""
MAX_USERNAME_SIZE = 513
"""RFC 8489, 14.3: USERNAME is less than 509 bytes, rounded up as its encoding is."""

_COOKIE = 0x2112A442
_COOKIE_BYTES = pack("!I", _COOKIE)
_FINGERPRINT_XOR = 0x5354554E
_HEADER = Struct("!HHI12s")
_ATTRIBUTE = Struct("!HH")
_FAMILY_PORT = Struct("!xBH")
_UINT32 = Struct("!I")
_UINT64 = Struct("!Q")
_HEADER_SIZE = 20

_USERNAME = 0x0006
_MESSAGE_INTEGRITY = 0x0008
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_XOR_MAPPED_ADDRESS = 0x0020
_PRIORITY = 0x0024
_USE_CANDIDATE = 0x0025
_SOFTWARE = 0x8022
_FINGERPRINT = 0x8028
_ICE_CONTROLLED = 0x8029
_ICE_CONTROLLING = 0x802A

_INTEGRITY_SIZE = 20
_FIRST_OPTIONAL = 0x8000  # RFC 8489, 14: attributes below must be understood
_UNDERSTOOD = frozenset(
    {_USERNAME, _MESSAGE_INTEGRITY, _ERROR_CODE, _UNKNOWN_ATTRIBUTES, _XOR_MAPPED_ADDRESS, _PRIORITY, _USE_CANDIDATE}
)
_IPV4 = 1
_IPV6 = 2


class StunMessage(NamedTuple):
    """One STUN message. `integrity_at` is the offset of MESSAGE-INTEGRITY, None when there is none.

    `controlling` and `controlled` are the tie-breakers of the ICE role attributes. `unknown` lists the attribute types
    that RFC 8489 says must be understood and are not.
    """

    kind: int
    transaction_id: bytes
    username: str | None = None
    priority: int | None = None
    use_candidate: bool = False
    controlling: int | None = None
    controlled: int | None = None
    mapped_address: Address | None = None
    error_code: int | None = None
    integrity_at: int | None = None
    unknown: tuple[int, ...] = ()


def is_stun(datagram: bytes) -> bool:
    """RFC 7983, 7: the first byte tells STUN from DTLS and RTP on one socket; the cookie makes it sure."""
    return len(datagram) >= _HEADER_SIZE and datagram[0] < 4 and datagram[4:8] == _COOKIE_BYTES


def parse(datagram: bytes) -> StunMessage:
    """Read one message. FINGERPRINT is checked when present; MESSAGE-INTEGRITY only with `check_integrity`.

    Raises `WireError`.
    """
    kind, transaction_id = _parse_header(datagram)
    end = len(datagram)
    at = _HEADER_SIZE
    values: dict[int, bytes] = {}
    integrity_at: int | None = None
    while at < end:
        # the length is a multiple of four, so a header is always whole
        attribute, size = _ATTRIBUTE.unpack_from(datagram, at)
        value_end = at + 4 + size
        if value_end > end:
            raise Truncated(f"STUN attribute 0x{attribute:04x} of {size} bytes passes the end at {end}")
        if attribute == _FINGERPRINT:
            _check_fingerprint(datagram, at, datagram[at + 4 : value_end])
        elif integrity_at is None:
            if attribute == _MESSAGE_INTEGRITY:
                _expect_size("MESSAGE-INTEGRITY", datagram[at + 4 : value_end], _INTEGRITY_SIZE)
                integrity_at = at
            elif attribute not in values:  # RFC 8489, 14: of doubled attributes the first counts
                values[attribute] = datagram[at + 4 : value_end]
        # RFC 8489, 14.5: what follows MESSAGE-INTEGRITY is not covered by it and is ignored
        at = value_end + (-size & 3)
    if len(values) > MAX_ATTRIBUTES:
        raise LimitExceeded(f"{len(values)} STUN attributes exceed {MAX_ATTRIBUTES}")
    return _build(kind, transaction_id, values, integrity_at)


def check_integrity(datagram: bytes, message: StunMessage, password: bytes) -> bool:
    """RFC 8489, 14.5: HMAC-SHA1 over everything before the attribute, with the length as if it were the last one."""
    at = message.integrity_at
    if at is None:
        return False
    return hmac.compare_digest(_integrity(datagram[:at], password), datagram[at + 4 : at + 4 + _INTEGRITY_SIZE])


def binding_request(
    transaction_id: bytes,
    *,
    username: str,
    password: bytes,
    priority: int,
    tie_breaker: int,
    controlling: bool,
    use_candidate: bool = False,
) -> bytes:
    """A connectivity check (RFC 8445, 7.1.1), for tests and load generators: this server only answers them."""
    role = _ICE_CONTROLLING if controlling else _ICE_CONTROLLED
    body = _attribute(_USERNAME, username.encode()) + _attribute(_PRIORITY, _UINT32.pack(priority))
    body += _attribute(role, _UINT64.pack(tie_breaker))
    if use_candidate:
        body += _attribute(_USE_CANDIDATE, b"")
    return _sealed(BINDING_REQUEST, transaction_id, body, password)


def binding_success(transaction_id: bytes, mapped: Address, password: bytes) -> bytes:
    """The answer to a good check: the address it came from (RFC 8489, 14.2)."""
    body = _attribute(_XOR_MAPPED_ADDRESS, _xor_address(mapped, transaction_id))
    return _sealed(BINDING_SUCCESS, transaction_id, body, password)


def binding_error(
    transaction_id: bytes, code: int, *, password: bytes | None = None, unknown: tuple[int, ...] = ()
) -> bytes:
    """An error answer. Without a password it is unsigned, as RFC 8489, 9.1.3 asks for 400 and 401.

    The reason phrase stays empty, so that an answer is never larger than the request that caused it.
    """
    value = pack("!HBB", 0, code // 100, code % 100)
    body = _attribute(_ERROR_CODE, value)
    if unknown:
        body += _attribute(_UNKNOWN_ATTRIBUTES, pack(f"!{len(unknown)}H", *unknown))
    return _sealed(BINDING_ERROR, transaction_id, body, password)


def _parse_header(datagram: bytes) -> tuple[int, bytes]:
    size = len(datagram)
    if size < _HEADER_SIZE:
        raise Truncated(f"STUN header has {size} of {_HEADER_SIZE} bytes")
    if size > MAX_MESSAGE_SIZE:
        raise LimitExceeded(f"STUN message of {size} bytes exceeds {MAX_MESSAGE_SIZE}")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(datagram)
    if kind & 0xC000 or cookie != _COOKIE:
        raise Malformed(f"not STUN: type 0x{kind:04x}, cookie 0x{cookie:08x}")
    if length & 3 or _HEADER_SIZE + length != size:
        raise Malformed(f"STUN length {length} does not fit a datagram of {size} bytes")
    return kind, transaction_id


def _build(kind: int, transaction_id: bytes, values: dict[int, bytes], integrity_at: int | None) -> StunMessage:
    username = values.get(_USERNAME)
    mapped = values.get(_XOR_MAPPED_ADDRESS)
    error = values.get(_ERROR_CODE)
    return StunMessage(
        kind,
        transaction_id,
        None if username is None else _username(username),
        _number("PRIORITY", _UINT32, values.get(_PRIORITY)),
        _USE_CANDIDATE in values,
        _number("ICE-CONTROLLING", _UINT64, values.get(_ICE_CONTROLLING)),
        _number("ICE-CONTROLLED", _UINT64, values.get(_ICE_CONTROLLED)),
        None if mapped is None else _read_xor_address(mapped, transaction_id),
        None if error is None else _error_code(error),
        integrity_at,
        tuple([attribute for attribute in values if attribute < _FIRST_OPTIONAL and attribute not in _UNDERSTOOD]),
    )


def _number(name: str, layout: Struct, value: bytes | None) -> int | None:
    if value is None:
        return None
    _expect_size(name, value, layout.size)
    number: int = layout.unpack(value)[0]
    return number


def _error_code(value: bytes) -> int:
    # RFC 8489, 14.8: class and number; a reason phrase may follow
    if len(value) < 4:
        raise Truncated(f"ERROR-CODE has {len(value)} of 4 bytes")
    return (value[2] & 7) * 100 + value[3]


def _expect_size(name: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise Malformed(f"{name} has {len(value)} bytes instead of {size}")


def _username(value: bytes) -> str:
    if len(value) > MAX_USERNAME_SIZE:
        raise LimitExceeded(f"USERNAME of {len(value)} bytes exceeds {MAX_USERNAME_SIZE}")
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise Malformed("USERNAME is not UTF-8") from exc


def _check_fingerprint(datagram: bytes, at: int, value: bytes) -> None:
    # RFC 8489, 14.7: the CRC covers everything before the attribute, and it is the last one
    _expect_size("FINGERPRINT", value, 4)
    if at + 8 != len(datagram):
        raise Malformed(f"FINGERPRINT at {at} is not the last attribute of {len(datagram)} bytes")
    if crc32(datagram[:at]) ^ _FINGERPRINT_XOR != _UINT32.unpack(value)[0]:
        raise Malformed("FINGERPRINT does not match")


def _read_xor_address(value: bytes, transaction_id: bytes) -> Address:
    if len(value) < 4:
        raise Truncated(f"XOR-MAPPED-ADDRESS has {len(value)} bytes")
    family, xored_port = _FAMILY_PORT.unpack_from(value)
    port = xored_port ^ (_COOKIE >> 16)
    size = {_IPV4: 4, _IPV6: 16}.get(family)
    if size is None or len(value) != 4 + size:
        raise Malformed(f"XOR-MAPPED-ADDRESS of family {family} has {len(value)} bytes")
    plain = _xor(value[4:], _COOKIE_BYTES + transaction_id)
    return Address(str(IPv4Address(plain) if family == _IPV4 else IPv6Address(plain)), port)


def _xor_address(address: Address, transaction_id: bytes) -> bytes:
    if ":" in address.host:
        family, packed = _IPV6, IPv6Address(address.host.partition("%")[0]).packed
    else:
        family, packed = _IPV4, bytes(map(int, address.host.split(".")))
    return _FAMILY_PORT.pack(family, address.port ^ (_COOKIE >> 16)) + _xor(packed, _COOKIE_BYTES + transaction_id)


def _xor(value: bytes, mask: bytes) -> bytes:
    size = len(value)
    return (int.from_bytes(value, "big") ^ int.from_bytes(mask[:size], "big")).to_bytes(size, "big")


def _attribute(attribute: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(attribute, len(value)) + value + bytes(-len(value) & 3)


def _sealed(kind: int, transaction_id: bytes, body: bytes, password: bytes | None) -> bytes:
    """Header, body, MESSAGE-INTEGRITY when there is a password, FINGERPRINT."""
    message = _HEADER.pack(kind, len(body), _COOKIE, transaction_id) + body
    if password is not None:
        message += _ATTRIBUTE.pack(_MESSAGE_INTEGRITY, _INTEGRITY_SIZE) + _integrity(message, password)
    message = message[:2] + pack("!H", len(message) - _HEADER_SIZE + 8) + message[4:]
    return message + _ATTRIBUTE.pack(_FINGERPRINT, 4) + _UINT32.pack(crc32(message) ^ _FINGERPRINT_XOR)


def _integrity(before: bytes, password: bytes) -> bytes:
    length = len(before) - _HEADER_SIZE + 4 + _INTEGRITY_SIZE
    return hmac.digest(password, before[:2] + pack("!H", length) + before[4:], "sha1")
