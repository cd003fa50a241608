"""DTLS-SRTP (RFC 5764) on OpenSSL's memory BIOs: datagrams in, datagrams out, and at the end the keys.

One `DtlsContext` holds the certificate for all peers. OpenSSL keeps a clock of its own for retransmissions, the only
one in this package: its first timer is a second long, so a lost flight is repeated earlier here, by `now`, byte for
byte (a receiver drops the records it already has: RFC 6347, 4.1.2.6). OpenSSL's timer stays the fallback.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hmac import compare_digest
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from wire.errors import LimitExceeded, Malformed, WireError

__all__ = [
    "HANDSHAKE_TIMEOUT",
    "MAX_DATAGRAM_SIZE",
    "DtlsConnection",
    "DtlsContext",
    "DtlsRole",
    "DtlsState",
    "Fingerprint",
    "HandshakeFailed",
    "SrtpKeys",
    "SrtpProfile",
    "is_dtls",
]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

MTU = 1200
"""Bytes of one outgoing datagram: fits every tunnel and IPv6's minimum of 1,280 with its headers."""
MAX_DATAGRAM_SIZE = 2048
"""Nobody's MTU for DTLS is over 1,500; larger datagrams are not handshakes."""
HANDSHAKE_TIMEOUT = 30.0
"""Seconds before an unfinished handshake is given up."""
_REPEAT_AFTER = 0.1
_REPEAT_AT_MOST = 0.4
_LAST_FLIGHT_REPEATS = 16  # a peer under heavy loss needs two or three; a forger gets no more than these

_SELF_SIGNED_YEARS = 10
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"
)
_DTLS_1_2 = 0xFEFD  # RFC 6347, 4.1; pyOpenSSL has no name for it
_EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"  # RFC 5764, 4.2
_RELEASE_BUFFERS = 0x10  # SSL_MODE_RELEASE_BUFFERS: an idle viewer keeps no record buffers
_RECORD_HEADER_SIZE = 13
_HANDSHAKE = 22
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha-256": hashes.SHA256,
    "sha-384": hashes.SHA384,
    "sha-512": hashes.SHA512,
}


class HandshakeFailed(WireError):
    """The DTLS connection cannot be used: a bad peer, a bad fingerprint or no common SRTP profile."""


class SrtpProfile(StrEnum):
    """The protection profiles (RFC 5764, 4.1.2; RFC 7714, 14.2), by OpenSSL's names, best first."""

    AEAD_AES_128_GCM = "SRTP_AEAD_AES_128_GCM"
    AES128_CM_SHA1_80 = "SRTP_AES128_CM_SHA1_80"

    @property
    def salt_size(self) -> int:
        return 12 if self is SrtpProfile.AEAD_AES_128_GCM else 14


_KEY_SIZE = 16


class DtlsRole(StrEnum):
    """As `a=setup` names it (RFC 5763, 5): the active side is the DTLS client."""

    CLIENT = "active"
    SERVER = "passive"


class DtlsState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A certificate's hash as in `a=fingerprint` (RFC 8122, 5): `value` is upper-case hex with colons."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """Master keys and salts of both directions (RFC 5764, 4.2)."""

    profile: SrtpProfile
    local_key: bytes
    local_salt: bytes
    remote_key: bytes
    remote_salt: bytes

    def __repr__(self) -> str:
        return f"<SrtpKeys {self.profile}>"  # never the keys: reprs end in logs


def is_dtls(datagram: bytes) -> bool:
    """RFC 7983, 7."""
    return len(datagram) >= _RECORD_HEADER_SIZE and 20 <= datagram[0] <= 63


class DtlsContext:
    """What all connections share: a self-signed certificate and OpenSSL's settings.

    `today` is wall-clock time, for the validity dates that nobody checks but some peers parse. Without a `key` a new
    ECDSA P-256 one is made.
    """

    def __init__(self, *, today: datetime, key: PrivateKey | None = None) -> None:
        key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, today)
        self.fingerprint = _fingerprint(certificate, "sha-256")
        # the version-flexible method, so that one context serves both roles; pinned to DTLS 1.2 below
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_max_proto_version(_DTLS_1_2)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_cipher_list(_CIPHERS)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(_RELEASE_BUFFERS)
        # every certificate is self-signed: it is judged by its fingerprint after the handshake
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_any_chain)
        context.set_tlsext_use_srtp(b":".join(profile.encode() for profile in SrtpProfile))
        self.openssl = context


class DtlsConnection:
    """One handshake. After each call: drain `datagrams_to_send()`, look at `state`, set a timer for `next_timeout()`.

    `fingerprints` are those of the peer's description; the certificate must match one of them.
    """

    def __init__(self, context: DtlsContext, role: DtlsRole, *, fingerprints: tuple[Fingerprint, ...]) -> None:
        self.role = role
        self.state = DtlsState.CONNECTING
        self.keys: SrtpKeys | None = None
        self._fingerprints = fingerprints
        self._connection = SSL.Connection(context.openssl, None)
        self._connection.set_ciphertext_mtu(MTU)
        self._out: list[bytes] = []
        self._flight: list[bytes] = []
        self._repeat_at: float | None = None
        self._repeat_after = _REPEAT_AFTER
        self._give_up_at: float | None = None
        self._last_flight_repeats = 0
        if role is DtlsRole.CLIENT:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    def __repr__(self) -> str:
        return f"<DtlsConnection {self.role} {self.state}>"

    def start(self, now: float) -> None:
        """Begin: the client sends its first flight. Call once, when the address of the peer is verified."""
        self._give_up_at = now + HANDSHAKE_TIMEOUT
        if self.role is DtlsRole.CLIENT:
            self._handshake(now)

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Feed one datagram. Raises `WireError`; after `HandshakeFailed` the state is CLOSED."""
        if len(datagram) > MAX_DATAGRAM_SIZE:
            raise LimitExceeded(f"DTLS datagram of {len(datagram)} bytes exceeds {MAX_DATAGRAM_SIZE}")
        if not is_dtls(datagram):
            raise Malformed(f"not DTLS: {len(datagram)} bytes")
        if self.state is DtlsState.CLOSED:
            return
        self._connection.bio_write(datagram)
        if self.state is DtlsState.CONNECTING:
            self._handshake(now)
        else:
            self._read(datagram, now)

    def datagrams_to_send(self) -> list[bytes]:
        """What to send to the verified address, in order; the list is emptied."""
        out, self._out = self._out, []
        return out

    def next_timeout(self, now: float) -> float | None:
        """When to call `handle_timeout`, on the clock of `now`; None when nothing is pending."""
        if self.state is not DtlsState.CONNECTING or self._give_up_at is None:
            return None
        due = self._give_up_at if self._repeat_at is None else min(self._give_up_at, self._repeat_at)
        remaining = self._connection.DTLSv1_get_timeout()
        return due if remaining is None else min(due, now + remaining)

    def handle_timeout(self, now: float) -> None:
        """Repeat what may be lost. Raises `HandshakeFailed` when the handshake has taken too long."""
        if self.state is not DtlsState.CONNECTING or self._give_up_at is None:
            return
        if now >= self._give_up_at:
            self._fail(f"no DTLS handshake within {HANDSHAKE_TIMEOUT:.0f} s")
        try:
            fired = self._connection.DTLSv1_handle_timeout()
        except SSL.Error as exc:
            self._fail(f"DTLS retransmission: {_reason(exc)}", exc)
        if fired:
            self._collect(now)
        elif self._repeat_at is not None and now >= self._repeat_at:
            self._out.extend(self._flight)
            self._schedule_repeat(now)

    def close(self) -> None:
        """Say goodbye (close_notify, best effort); the datagram is in `datagrams_to_send()`."""
        if self.state is DtlsState.CONNECTED:
            try:
                self._connection.shutdown()
            except SSL.Error:
                self._out.clear()  # OpenSSL has closed it already and has nothing to say
            self._out.extend(self._drain())
        self.state = DtlsState.CLOSED
        self._flight = []

    def _handshake(self, now: float) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._collect(now)
            return
        except SSL.Error as exc:
            self._collect(now)  # the alert that says why
            self._fail(f"DTLS handshake: {_reason(exc)}", exc)
        self._collect(now)
        self._repeat_at = None
        self.keys = self._finish()
        self.state = DtlsState.CONNECTED

    def _read(self, datagram: bytes, now: float) -> None:
        try:
            while self._connection.recv(MAX_DATAGRAM_SIZE):
                pass  # application data: no data channel was negotiated
        except SSL.WantReadError:
            pass
        except (SSL.ZeroReturnError, SSL.Error):
            self.state = DtlsState.CLOSED
        fresh = self._drain()
        self._out.extend(fresh)
        if datagram[0] == _HANDSHAKE and not fresh and self.role is DtlsRole.SERVER:
            self._repeat_last_flight()

    def _repeat_last_flight(self) -> None:
        # RFC 6347, 4.2.4: the server speaks last, so a client that still shakes hands has not heard it
        if self._last_flight_repeats < _LAST_FLIGHT_REPEATS:
            self._last_flight_repeats += 1
            self._out.extend(self._flight)

    def _collect(self, now: float) -> None:
        fresh = self._drain()
        if not fresh:
            return
        self._out.extend(fresh)
        self._flight = fresh
        self._repeat_after = _REPEAT_AFTER / 2
        self._schedule_repeat(now)

    def _schedule_repeat(self, now: float) -> None:
        self._repeat_after = min(2 * self._repeat_after, _REPEAT_AT_MOST)
        self._repeat_at = now + self._repeat_after

    def _drain(self) -> list[bytes]:
        chunks = []
        while True:
            try:
                chunks.append(self._connection.bio_read(65536))
            except SSL.WantReadError:
                return _datagrams(b"".join(chunks))

    def _finish(self) -> SrtpKeys:
        self._check_fingerprint()
        name = self._connection.get_selected_srtp_profile().decode()
        if not name:
            self._fail("the peer offers no SRTP profile in common")
        profile = SrtpProfile(name)
        material = self._connection.export_keying_material(_EXPORTER_LABEL, 2 * (_KEY_SIZE + profile.salt_size))
        return _split_keys(profile, material, self.role)

    def _check_fingerprint(self) -> None:
        try:
            certificate = self._connection.get_peer_certificate(as_cryptography=True)
        except Exception as exc:  # noqa: BLE001  OpenSSL took it already; what `cryptography` minds has many names
            self._fail(f"the peer's certificate cannot be read: {exc}", exc)
        if certificate is None:
            self._fail("the peer sent no certificate")
        for expected in self._fingerprints:
            algorithm = expected.algorithm.lower()
            if algorithm in _HASHES and _matches(expected, _fingerprint(certificate, algorithm)):
                return
        self._fail(f"the peer's certificate {_fingerprint(certificate, 'sha-256')} is not the announced one")

    def _fail(self, reason: str, cause: Exception | None = None) -> NoReturn:
        self.state = DtlsState.CLOSED
        self._flight = []
        raise HandshakeFailed(reason) from cause


def _accept_any_chain(*_: object) -> bool:
    return True


def _self_signed(key: PrivateKey, today: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "streamer")])
    start = today.astimezone(UTC) - timedelta(days=1)  # a peer's clock may be behind
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * _SELF_SIGNED_YEARS))
        .sign(key, hashes.SHA256())
    )


def _fingerprint(certificate: x509.Certificate, algorithm: str) -> Fingerprint:
    return Fingerprint(algorithm, certificate.fingerprint(_HASHES[algorithm]()).hex(":").upper())


def _matches(expected: Fingerprint, actual: Fingerprint) -> bool:
    return compare_digest(expected.value.upper().encode(), actual.value.encode())


def _split_keys(profile: SrtpProfile, material: bytes, role: DtlsRole) -> SrtpKeys:
    # RFC 5764, 4.2: client key, server key, client salt, server salt
    salt_at = 2 * _KEY_SIZE
    client_key, server_key = material[:_KEY_SIZE], material[_KEY_SIZE:salt_at]
    client_salt, server_salt = material[salt_at : salt_at + profile.salt_size], material[salt_at + profile.salt_size :]
    if role is DtlsRole.CLIENT:
        return SrtpKeys(profile, client_key, client_salt, server_key, server_salt)
    return SrtpKeys(profile, server_key, server_salt, client_key, client_salt)


def _datagrams(flight: bytes) -> list[bytes]:
    """Whole records, packed into datagrams of at most `MTU` bytes: a cut record would be lost (RFC 6347, 4.1.1)."""
    datagrams: list[bytes] = []
    start = at = 0
    while at < len(flight):
        end = at + _RECORD_HEADER_SIZE + int.from_bytes(flight[at + 11 : at + 13], "big")
        if end - start > MTU and at > start:
            datagrams.append(flight[start:at])
            start = at
        at = end
    if flight:
        datagrams.append(flight[start:])
    return datagrams


def _reason(error: SSL.Error) -> str:
    """OpenSSL's words for what went wrong."""
    queue = error.args[0] if error.args else ()
    return ", ".join(str(entry[-1]) for entry in queue) if isinstance(queue, (list, tuple)) and queue else repr(error)
