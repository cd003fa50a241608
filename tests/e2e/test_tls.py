"""RTMPS in, HTTPS and WSS out, and a certificate that is replaced while somebody watches."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer, connect
from tests.support.node import RunningNode, running_node, streamer

pytestmark = pytest.mark.e2e


def certify(folder: Path, *flags: str) -> ssl.SSLContext:
    """Make the pair; a context that trusts it and nothing else."""
    streamer("cert", "--cert", folder / "cert.pem", "--key", folder / "key.pem", *flags)
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return certify(tmp_path)


@pytest.fixture
def secure(tmp_path: Path, tls: ssl.SSLContext) -> Iterator[RunningNode]:
    files = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    with running_node(tmp_path, "--open", *files, tls=True) as node:
        yield node


def certificate_of(node: RunningNode, scheme: str) -> bytes:
    """What a new connection is shown."""
    with connect(node.url("/", scheme), _trusting()) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        return sock.getpeercert(binary_form=True) or b""


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_a_replaced_certificate_serves_newcomers_and_disturbs_nobody(
    secure: RunningNode, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    with (
        DemoProcess(secure.publish_url("safe", scheme="rtmps"), tmp_path / "demo.log"),
        RawViewer(secure.flv("safe", "https"), tls=tls) as over_http,
        RawViewer(secure.flv("safe", "wss"), tls=tls) as over_websocket,
    ):
        old = over_http.peer_certificate
        for viewer in (over_http, over_websocket):
            viewer.wait_for_more(10)
        new_tls = certify(tmp_path, "--force")
        for scheme in ("https", "rtmps"):
            eventually(lambda scheme=scheme: certificate_of(secure, scheme) != old, f"a new certificate on {scheme}")
        with RawViewer(secure.flv("safe", "https"), tls=new_tls) as newcomer:
            newcomer.wait_for_more(10)
            assert newcomer.peer_certificate != old
        for viewer in (over_http, over_websocket):
            viewer.wait_for_more(10)
            assert viewer.ended is None
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(secure.url("/", "https"), tls)


def test_half_a_certificate_keeps_the_old_one(secure: RunningNode, tls: ssl.SSLContext, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nbroken\n")
    eventually(lambda: "cert.pem" in secure.log, "a sentence about the certificate in the log")
    connect(secure.url("/", "https"), tls).close()
