"""DTLS beyond the happy path, which test_webrtc drives: other certificates, other profiles, record edges, limits."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from tests.support.odd_certificate import odd_context
from tests.support.webrtc_pair import contexts
from wire.dtls import (
    HANDSHAKE_TIMEOUT,
    MTU,
    DtlsConnection,
    DtlsContext,
    DtlsRole,
    DtlsState,
    Fingerprint,
    HandshakeFailed,
    SrtpProfile,
    _datagrams,
    _fingerprint,
    _self_signed,
)
from wire.errors import LimitExceeded, Malformed

TODAY = datetime(2026, 1, 1, tzinfo=UTC)


def join(one: DtlsConnection, two: DtlsConnection, now: float = 0.0) -> None:
    for connection in (one, two):
        connection.start(now)
    for _ in range(10):
        for sender, receiver in ((one, two), (two, one)):
            for datagram in sender.datagrams_to_send():
                receiver.receive_datagram(datagram, now)


def pair(
    server: DtlsContext, client: DtlsContext, *, server_expects: Fingerprint | None = None
) -> tuple[DtlsConnection, DtlsConnection]:
    return (
        DtlsConnection(server, DtlsRole.SERVER, fingerprints=(server_expects or client.fingerprint,)),
        DtlsConnection(client, DtlsRole.CLIENT, fingerprints=(server.fingerprint,)),
    )


def rsa_context() -> DtlsContext:
    """As GStreamer 1.22 has it."""
    return DtlsContext(today=TODAY, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.mark.parametrize("rsa_is_server", [True, False])
def test_a_peer_with_an_rsa_certificate_connects(*, rsa_is_server: bool) -> None:
    ours, theirs = contexts()[0], rsa_context()
    server, client = pair(theirs, ours) if rsa_is_server else pair(ours, theirs)
    join(server, client)
    assert (server.state, client.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)


@pytest.mark.parametrize("profile", list(SrtpProfile))
def test_a_peer_with_one_profile_gets_it(profile: SrtpProfile) -> None:
    only = DtlsContext(today=TODAY)
    only.openssl.set_tlsext_use_srtp(profile.encode())
    server, client = pair(contexts()[0], only)
    join(server, client)
    assert server.keys is not None
    assert client.keys is not None
    assert server.keys.profile is client.keys.profile is profile
    assert server.keys.local_salt == client.keys.remote_salt
    assert len(server.keys.local_salt) == profile.salt_size


def test_a_peer_without_srtp_is_refused() -> None:
    other = DtlsContext(today=TODAY)
    plain = SSL.Context(SSL.DTLS_METHOD)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key, TODAY)
    plain.use_certificate(certificate)
    plain.use_privatekey(key)
    other.openssl, other.fingerprint = plain, _fingerprint(certificate, "sha-256")
    server, client = pair(contexts()[0], other)
    with pytest.raises(HandshakeFailed, match="no SRTP profile"):
        join(server, client)


@pytest.mark.parametrize("algorithm", ["sha-256", "SHA-256", "sha-384", "sha-512"])
def test_fingerprints_of_several_hashes_are_checked(algorithm: str) -> None:
    server_context, client_context = contexts()
    probe, client = pair(server_context, client_context)
    join(probe, client)
    seen = probe._connection.get_peer_certificate(as_cryptography=True)
    assert isinstance(seen, x509.Certificate)
    expected = _fingerprint(seen, algorithm.lower())
    server, client = pair(server_context, client_context, server_expects=Fingerprint(algorithm, expected.value.lower()))
    join(server, client)
    assert server.state is DtlsState.CONNECTED


def test_a_fingerprint_of_an_old_hash_is_not_believed() -> None:
    server_context, client_context = contexts()
    server, client = pair(server_context, client_context, server_expects=Fingerprint("sha-1", "AA:BB"))
    with pytest.raises(HandshakeFailed, match="not the announced one"):
        join(server, client)
    assert server.state is DtlsState.CLOSED
    assert server.keys is None


@pytest.mark.parametrize("version", [2, 4])
def test_a_certificate_that_is_not_of_version_3_fails_the_handshake(version: int, tmp_path: Path) -> None:
    server, client = pair(contexts()[0], odd_context(version, tmp_path))
    with pytest.raises(HandshakeFailed, match="certificate cannot be read"):
        join(server, client)
    assert server.state is DtlsState.CLOSED
    assert server.keys is None


def test_flights_are_cut_on_record_edges_within_the_mtu() -> None:
    record = b"\x16\xfe\xfd" + bytes(8) + (500).to_bytes(2, "big") + bytes(500)
    assert [len(datagram) for datagram in _datagrams(5 * record)] == [1026, 1026, 513]
    assert _datagrams(b"") == []
    large = b"\x16\xfe\xfd" + bytes(8) + (1500).to_bytes(2, "big") + bytes(1500)
    assert [len(datagram) for datagram in _datagrams(record + large)] == [513, 1513]


def test_every_datagram_of_a_handshake_fits_the_mtu() -> None:
    server, client = pair(rsa_context(), rsa_context())
    client.start(0.0)
    server.start(0.0)
    sizes = []
    for _ in range(6):
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.datagrams_to_send():
                sizes.append(len(datagram))
                receiver.receive_datagram(datagram, 0.0)
    assert server.state is DtlsState.CONNECTED
    assert max(sizes) <= MTU


def test_a_lost_flight_is_repeated_byte_for_byte_ever_slower() -> None:
    client = pair(*contexts())[1]
    client.start(0.0)
    first = client.datagrams_to_send()
    times = []
    now = 0.0
    while now < 2.0:
        due = client.next_timeout(now)
        assert due is not None
        now = due
        client.handle_timeout(now)
        assert client.datagrams_to_send() == first
        times.append(round(now, 2))
    assert times == [0.1, 0.3, 0.7, 1.1, 1.5, 1.9, 2.3]


def test_a_handshake_that_never_ends_is_given_up() -> None:
    server = pair(*contexts())[0]
    server.start(5.0)
    assert server.next_timeout(5.0) == 5.0 + HANDSHAKE_TIMEOUT
    server.handle_timeout(5.0 + HANDSHAKE_TIMEOUT - 0.01)
    with pytest.raises(HandshakeFailed, match="30 s"):
        server.handle_timeout(5.0 + HANDSHAKE_TIMEOUT)
    assert server.next_timeout(99.0) is None


def test_what_is_not_dtls_or_too_large_raises() -> None:
    server = pair(*contexts())[0]
    with pytest.raises(Malformed):
        server.receive_datagram(b"\x80" * 20, 0.0)
    with pytest.raises(LimitExceeded, match="3000"):
        server.receive_datagram(b"\x16" * 3000, 0.0)


def test_mutated_flights_never_raise_anything_else() -> None:
    client = pair(*contexts())[1]
    client.start(0.0)
    hello = client.datagrams_to_send()[0]
    for at in range(len(hello)):
        for value in (0, 0xFF, hello[at] ^ 1):
            server = pair(*contexts())[0]
            server.start(0.0)
            try:
                server.receive_datagram(hello[:at] + bytes([value]) + hello[at + 1 :], 0.0)
            except (HandshakeFailed, Malformed):
                continue


def test_the_certificate_is_ecdsa_and_the_fingerprint_is_its_own() -> None:
    server, client = pair(*contexts())
    join(server, client)
    certificate = client._connection.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    assert str(contexts()[0].fingerprint) == "sha-256 " + certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    assert certificate.public_key().curve.name == "secp256r1"  # type: ignore[union-attr]
