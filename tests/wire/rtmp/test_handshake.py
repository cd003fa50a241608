import hmac

import pytest

from tests.support.rtmp import RANDOM
from wire.buffer import ByteQueue
from wire.errors import Malformed, Unsupported
from wire.rtmp.handshake import (
    _CLIENT_KEY,
    _KEY_TAIL,
    _SERVER_KEY,
    ClientHandshake,
    ServerHandshake,
    find_digest,
    put_digest,
)


def test_both_roles_meet_byte_by_byte():
    client, server = ClientHandshake(RANDOM), ServerHandshake(RANDOM[::-1])
    to_client, to_server = ByteQueue(), ByteQueue()
    out = bytearray()
    assert not client.step(to_client, out)
    assert len(out) == 1537
    answer = bytearray()
    for at in range(len(out)):
        assert not server.step(to_server, answer)
        to_server.append(out[at : at + 1])
    assert not server.step(to_server, answer)
    assert answer[0] == 3
    assert answer[9:1537] == RANDOM[::-1]
    assert answer[1537:] == out[1:]  # S2 is C1
    c2 = bytearray()
    for at in range(len(answer)):
        assert not client.step(to_client, c2)
        to_client.append(answer[at : at + 1])
    assert client.step(to_client, c2)
    assert c2 == answer[1:1537]  # C2 is S1
    to_server.append(c2 + b"next")
    assert server.step(to_server, answer)
    assert to_server.take(4) == b"next"


@pytest.mark.parametrize("scheme", [8, 772])
def test_a_digest_in_c1_is_answered_with_digests(scheme):
    c1 = bytearray(bytes(4) + b"\x09\x00\x7c\x02" + RANDOM)
    put_digest(c1, scheme, _CLIENT_KEY)
    queue, out = ByteQueue(), bytearray()
    queue.append(b"\x03" + c1)
    ServerHandshake(RANDOM[::-1]).step(queue, out)
    s1, s2 = bytes(out[1:1537]), bytes(out[1537:])
    assert find_digest(s1, _SERVER_KEY) == scheme
    at = scheme + 4 + sum(c1[scheme : scheme + 4]) % 728
    key = hmac.digest(_SERVER_KEY + _KEY_TAIL, c1[at : at + 32], "sha256")
    assert s2[-32:] == hmac.digest(key, s2[:-32], "sha256")


def test_a_version_without_a_digest_is_answered_with_an_echo():
    c1 = bytes(4) + b"\x09\x00\x7c\x02" + RANDOM
    queue, out = ByteQueue(), bytearray()
    queue.append(b"\x03" + c1)
    ServerHandshake(RANDOM).step(queue, out)
    assert out[1537:] == c1


@pytest.mark.parametrize("role", [ServerHandshake, ClientHandshake])
@pytest.mark.parametrize(("first", "error"), [(6, Unsupported), (0x16, Malformed), (ord("G"), Malformed)])
def test_another_protocol_fails_at_its_first_byte(role, first, error):
    queue = ByteQueue()
    queue.append(bytes((first,)))
    with pytest.raises(error, match=f"version {first} is"):
        role(RANDOM).step(queue, bytearray())


def test_the_random_bytes_have_one_size():
    with pytest.raises(ValueError, match="12 random bytes, 1528 are needed"):
        ServerHandshake(bytes(12))
