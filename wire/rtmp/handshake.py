"""The RTMP handshake, both roles.

Source: RTMP 1.0, 5.2. Flash-era clients, and FFmpeg when it plays, put an HMAC-SHA256 digest in C1 and check the
server's; the server answers in kind when it finds one there, and with the plain echo when it does not.
"""

from __future__ import annotations

import hmac

from wire.buffer import ByteQueue
from wire.errors import Malformed, Unsupported

__all__ = ["RANDOM_SIZE", "ClientHandshake", "ServerHandshake"]

VERSION = 3
RANDOM_SIZE = 1528
_PACKET_SIZE = 8 + RANDOM_SIZE

_DIGEST_SIZE = 32
_CLIENT_KEY = b"Genuine Adobe Flash Player 001"
_SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
_KEY_TAIL = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
# The version that a digest-making server shows in S1; clients only look whether it is zero.
_SERVER_VERSION = bytes((3, 5, 1, 1))
# The digest lies in one of the two halves of the packet, at an offset that the four bytes at these places add up to.
_SCHEMES = (8, 772)
_DIGEST_SPREAD = 728


class ServerHandshake:
    """Answers C0, C1 and C2. Call `step` until it returns True."""

    def __init__(self, random_bytes: bytes) -> None:
        self._random = _checked(random_bytes)
        self._answered = False

    def step(self, queue: ByteQueue, out: bytearray) -> bool:
        """Take what is there of the handshake, append the answer to `out`; True when it is complete."""
        if not self._answered:
            if not _version_is_three(queue) or len(queue) < 1 + _PACKET_SIZE:
                return False
            queue.skip(1)
            out += bytes((VERSION,)) + self._answer(queue.take(_PACKET_SIZE))
            self._answered = True
        if len(queue) < _PACKET_SIZE:
            return False
        queue.skip(_PACKET_SIZE)  # C2: clients exist that do not echo faithfully
        return True

    def _answer(self, c1: bytes) -> bytes:
        """S1 and S2."""
        scheme = find_digest(c1, _CLIENT_KEY) if c1[4:8] != bytes(4) else None
        if scheme is None:
            return bytes(8) + self._random + c1
        s1 = bytearray(bytes(4) + _SERVER_VERSION + self._random)
        put_digest(s1, scheme, _SERVER_KEY)
        at = _digest_offset(c1, scheme)
        key = hmac.digest(_SERVER_KEY + _KEY_TAIL, c1[at : at + _DIGEST_SIZE], "sha256")
        filler = self._random[: _PACKET_SIZE - _DIGEST_SIZE]
        return bytes(s1) + filler + hmac.digest(key, filler, "sha256")


class ClientHandshake:
    """Sends C0 and C1 at once, C2 when S1 is there. Call `step` until it returns True."""

    def __init__(self, random_bytes: bytes) -> None:
        self._random = _checked(random_bytes)
        self._opened = False
        self._echoed = False

    def step(self, queue: ByteQueue, out: bytearray) -> bool:
        """Take what is there of the handshake, append what to send to `out`; True when it is complete."""
        if not self._opened:
            out += bytes((VERSION,)) + bytes(8) + self._random
            self._opened = True
        if not self._echoed:
            if not _version_is_three(queue) or len(queue) < 1 + _PACKET_SIZE:
                return False
            queue.skip(1)
            out += queue.take(_PACKET_SIZE)
            self._echoed = True
        if len(queue) < _PACKET_SIZE:
            return False
        queue.skip(_PACKET_SIZE)  # S2 echoes C1, or carries a digest that a plain client cannot check
        return True


def find_digest(packet: bytes, key: bytes) -> int | None:
    """Where C1 or S1 carries a valid digest: a scheme for `put_digest`, or None."""
    for scheme in _SCHEMES:
        at = _digest_offset(packet, scheme)
        if hmac.compare_digest(_digest(packet, at, key), packet[at : at + _DIGEST_SIZE]):
            return scheme
    return None


def put_digest(packet: bytearray, scheme: int, key: bytes) -> None:
    """Write the digest of the rest of `packet` into its place."""
    at = _digest_offset(packet, scheme)
    packet[at : at + _DIGEST_SIZE] = _digest(packet, at, key)


def _digest_offset(packet: bytes | bytearray, scheme: int) -> int:
    return scheme + 4 + sum(packet[scheme : scheme + 4]) % _DIGEST_SPREAD


def _digest(packet: bytes | bytearray, at: int, key: bytes) -> bytes:
    return hmac.digest(key, bytes(packet[:at] + packet[at + _DIGEST_SIZE :]), "sha256")


def _version_is_three(queue: ByteQueue) -> bool:
    """False while nothing is there. Raises at the first byte, so that TLS or HTTP does not wait for 1537 bytes."""
    first = queue.peek(1)
    if not first:
        return False
    if first[0] == 6:
        raise Unsupported("RTMP version 6 is RTMPE, which is not spoken here")
    if first[0] != VERSION:
        raise Malformed(f"RTMP version {first[0]} is not {VERSION}")
    return True


def _checked(random_bytes: bytes) -> bytes:
    if len(random_bytes) != RANDOM_SIZE:
        raise ValueError(f"{len(random_bytes)} random bytes, {RANDOM_SIZE} are needed")
    return random_bytes
