"""The self-signed pair, and a context that changes its certificate under open connections."""

from __future__ import annotations

import asyncio
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from streamer.address import Address
from streamer.certificate import CertificateError, local_names, make_self_signed, write_pair
from streamer.config import HttpSettings, TlsSettings
from streamer.http import HttpSite, Sources, build_app
from streamer.tls import TlsError, TlsFiles


def pair_in(folder: Path, *names: str, force: bool = False) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    write_pair(make_self_signed(names or ("localhost", "127.0.0.1")), cert=cert, key=key, force=force)
    return cert, key


def test_the_pair_is_for_all_names_of_this_machine() -> None:
    names = local_names()
    assert {"localhost", "127.0.0.1", "::1"} <= set(names)
    certificate = x509.load_pem_x509_certificate(make_self_signed(names).cert)
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in alternatives.get_values_for_type(x509.DNSName)
    assert "127.0.0.1" in map(str, alternatives.get_values_for_type(x509.IPAddress))
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP256R1)


def test_the_pair_is_valid_now_and_shorter_than_browsers_allow() -> None:
    now = datetime(2025, 1, 31, 12, tzinfo=UTC)
    certificate = x509.load_pem_x509_certificate(make_self_signed(["localhost"], now=now).cert)
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(days=398)


def test_the_key_is_for_its_owner_and_nothing_is_overwritten(tmp_path: Path) -> None:
    cert, key = pair_in(tmp_path / "tls")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    with pytest.raises(CertificateError, match=r"cert\.pem exists: --force overwrites it"):
        pair_in(tmp_path / "tls")
    assert key.read_bytes() == before
    pair_in(tmp_path / "tls", force=True)
    assert key.read_bytes() != before
    assert sorted(file.name for file in cert.parent.iterdir()) == ["cert.pem", "key.pem"]


def test_no_pair_means_no_tls(tmp_path: Path) -> None:
    assert TlsFiles.from_settings(TlsSettings()) is None
    assert TlsFiles.from_settings(TlsSettings(*pair_in(tmp_path))) is not None


def test_a_pair_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    cert, key = pair_in(tmp_path)
    with pytest.raises(TlsError, match=r"absent\.pem: cannot be read: No such file"):
        TlsFiles(tmp_path / "absent.pem", key)
    with pytest.raises(TlsError, match=r"cert\.pem and .*cert\.pem are no usable PEM pair"):
        TlsFiles(cert, cert)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(TlsError, match="KEY_VALUES_MISMATCH"):
        TlsFiles(cert, pair_in(other)[1])


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    cert, key = pair_in(tmp_path)
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(TlsError, match="the key is encrypted"):
        TlsFiles(cert, key)


def test_a_half_written_pair_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    cert, key = pair_in(tmp_path)
    files = TlsFiles(cert, key)
    assert not files.reload_if_changed()
    other = tmp_path / "other"
    other.mkdir()
    new_cert, new_key = pair_in(other)
    cert.write_bytes(new_cert.read_bytes())
    with pytest.raises(TlsError):
        files.reload_if_changed()
    assert not files.reload_if_changed(), "said once for each change"
    key.write_bytes(new_key.read_bytes())
    assert files.reload_if_changed()
    assert files.reloads == 1


def test_a_new_certificate_is_used_while_open_connections_stay(tmp_path: Path) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        return await reader.readuntil(b"}")

    def serial(writer: asyncio.StreamWriter) -> int:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    async def scenario() -> None:
        files = TlsFiles(*pair_in(tmp_path))
        settings = HttpSettings(shutdown_timeout_s=0.1)
        async with HttpSite(build_app(settings, Sources()), settings) as site:
            bound = await site.listen(Address("127.0.0.1", 0), tls=files.context)
            old = await asyncio.open_connection("127.0.0.1", bound.port, ssl=client)
            assert b"ok" in await ask(*old)
            pair_in(tmp_path, "localhost", force=True)
            assert files.reload_if_changed()
            new = await asyncio.open_connection("127.0.0.1", bound.port, ssl=client)
            assert serial(new[1]) != serial(old[1])
            assert b"ok" in await ask(*new)
            assert b"ok" in await ask(*old)
            for _, writer in (old, new):
                writer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 20))
