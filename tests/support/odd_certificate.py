"""A DTLS peer whose certificate is of no version that `cryptography` reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

from wire.dtls import DtlsContext, _self_signed

__all__ = ["odd_context"]

TODAY = datetime(2026, 1, 1, tzinfo=UTC)
VERSION_3 = bytes.fromhex("a003020102")


def odd_context(version: int, directory: Path) -> DtlsContext:
    """Its certificate claims this version of X.509, which OpenSSL does not mind."""
    context = DtlsContext(today=TODAY)
    key = ec.generate_private_key(ec.SECP256R1())
    body = _self_signed(key, TODAY).public_bytes(serialization.Encoding.DER)
    assert VERSION_3 in body
    path = directory / "odd.der"
    path.write_bytes(body.replace(VERSION_3, VERSION_3[:-1] + bytes([version - 1]), 1))
    context.openssl.use_certificate_file(str(path), crypto.FILETYPE_ASN1)
    context.openssl.use_privatekey(key)
    return context
