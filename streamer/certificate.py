"""A self-signed certificate, for a phone on the same network: its camera opens on HTTPS only."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CertificateError", "SelfSigned", "local_names", "make_self_signed", "write_pair"]

LIFETIME = timedelta(days=397)
"""Apple's limit for a certificate that it takes at all is 398 days."""
CLOCK_SLACK = timedelta(hours=1)
"""A phone's clock may be behind."""


class CertificateError(Exception):
    """The pair was not written. The message says why."""


@dataclass(frozen=True, slots=True)
class SelfSigned:
    """A PEM certificate and its PEM key."""

    cert: bytes
    key: bytes
    names: tuple[str, ...]


def local_names() -> list[str]:
    """What this machine is called from the inside and on its network: names and addresses, without repetition."""
    host = socket.gethostname()
    return list(dict.fromkeys(["localhost", host, "127.0.0.1", "::1", *_addresses_of(host), *_outgoing_addresses()]))


def make_self_signed(names: Sequence[str], *, now: datetime | None = None) -> SelfSigned:
    """An ECDSA P-256 pair for `names`, host names and IP addresses mixed."""
    now = now or datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])  # RFC 5280, A.1: at most 64
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now - CLOCK_SLACK + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return SelfSigned(
        cert=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        names=tuple(names),
    )


def write_pair(pair: SelfSigned, *, cert: Path, key: Path, force: bool = False) -> None:
    """Write both files, the key for its owner only. Refuses to overwrite unless `force`. Raises CertificateError."""
    for file in (cert, key):
        if file.exists() and not force:
            raise CertificateError(f"{file} exists: --force overwrites it")
    try:
        _write(key, pair.key, mode=0o600)
        _write(cert, pair.cert, mode=0o644)
    except OSError as exc:
        raise CertificateError(f"{exc.filename}: cannot be written: {exc.strerror}") from exc


def _write(file: Path, content: bytes, *, mode: int) -> None:
    """Into a new file of that mode, which then takes the name: at no moment can others read the key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as sink:
        sink.write(content)
    os.replace(fresh, file)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _addresses_of(host: str) -> Iterable[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []  # a machine need not know its own name
    return [str(entry[4][0]).partition("%")[0] for entry in found]


def _outgoing_addresses() -> Iterable[str]:
    """The addresses that this machine would speak from. Connecting a UDP socket sends nothing."""
    # RFC 5737 and RFC 3849: addresses for documentation, never anybody's.
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                yield probe.getsockname()[0].partition("%")[0]
        except OSError:
            continue  # no route in this family: no address to name
