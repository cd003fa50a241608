"""One TLS context for HTTPS and RTMPS, which takes up changed certificate files without dropping anybody."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from streamer.config import TlsSettings

__all__ = ["TlsError", "TlsFiles"]

CHECK_INTERVAL_S = 2.0
"""A renewed certificate is taken up within so many seconds; two stat calls each time cost nothing."""

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


class TlsError(Exception):
    """The certificate or its key cannot be used. The message names the files."""


class TlsFiles:
    """A certificate and key on disk, and the server context made of them.

    Connections that are open keep the certificate that they began with; a new handshake gets the newest.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self.cert = cert
        self.key = key
        self.reloads = 0
        self._stamp = self._read_stamp()
        self.context = _new_context(cert, key)

    @classmethod
    def from_settings(cls, settings: TlsSettings) -> TlsFiles | None:
        """None when the settings name no pair. Raises TlsError."""
        return cls(settings.cert, settings.key) if settings.cert and settings.key else None

    def reload_if_changed(self) -> bool:
        """Load the pair again if a file changed. Raises TlsError, and then the old pair stays in use."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        # A pair that does not fit would leave the live context with a certificate and no key, so it is tried first.
        _new_context(self.cert, self.key)
        self.context.load_cert_chain(self.cert, self.key)
        self.reloads += 1
        return True

    async def watch(self) -> None:
        """Reload on change, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                if self.reload_if_changed():
                    _log.info("took up the changed certificate %s", self.cert)
            except TlsError as exc:
                _log.error("%s; the certificate read before stays in use", exc)

    def _read_stamp(self) -> Stamp:
        try:
            states = [file.stat() for file in (self.cert, self.key)]
        except OSError as exc:
            raise TlsError(f"{exc.filename}: cannot be read: {exc.strerror}") from exc
        return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)


def _new_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RTMPS has no name of its own; a client that offers names and finds none in common goes on without.
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as exc:
        raise TlsError(f"{cert} and {key} are no usable PEM pair: {exc.reason or exc}") from exc
    except (OSError, ValueError) as exc:
        raise TlsError(f"{cert} and {key} cannot be loaded: {exc}") from exc
    return context


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal and hold the whole node."""
    raise ValueError("the key is encrypted, and nobody is here to type its password")
