"""Stream keys: one secret per room, stored as its SHA-256 only."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamer.room_name import RoomNameError, check_room_name

__all__ = ["KeyFileError", "KeyStore", "StoredKey", "new_secret"]

KEY_BYTES = 24
"""192 random bits: nobody guesses it, and it is 32 characters in OBS."""
MAX_FILE_BYTES = 16 << 20
"""Some 100,000 rooms."""
FORMAT = 1

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class KeyFileError(Exception):
    """The key file cannot be read or written. The message names it."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is kept of a key: its SHA-256 in hex, and when it was made (ISO 8601, UTC)."""

    sha256: str
    created: str


def new_secret() -> str:
    """A random stream key, safe in an address."""
    return secrets.token_urlsafe(KEY_BYTES)


def digest(secret: str) -> str:
    """SHA-256 in hex. The secret is random and long, so that a slow hash would add nothing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class KeyStore:
    """The file of keys, read again when it has changed.

    A file that turns unreadable while the node runs is logged, and the keys read before stay good.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._keys: dict[str, StoredKey] = {}
        self._granted: dict[str, str] = {}
        self._stamp: tuple[int, int, int] | None = None

    def load(self) -> None:
        """Read the file if it changed. No file means no keys. Raises KeyFileError."""
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._keys = _parse(self.file) if stamp else {}

    def is_valid(self, room: str, secret: str) -> bool:
        """Whether `secret` opens `room` for publishing. Takes the same time for a room that has no key."""
        self._reload()
        given = digest(secret)
        stored = self._keys.get(room)
        known = (stored.sha256 if stored else "", self._granted.get(room, ""))
        return any([hmac.compare_digest(given, sha256) for sha256 in known])  # noqa: C419  no early end

    def grant(self, room: str, secret: str) -> None:
        """Accept one more secret for `room` as long as this process lives."""
        self._granted[room] = digest(secret)

    def put(self, room: str, secret: str, *, created: str) -> None:
        """Store the key of `room`; an older one ends. Raises KeyFileError."""
        self.load()
        self._write({**self._keys, check_room_name(room): StoredKey(digest(secret), created)})

    def revoke(self, room: str) -> bool:
        """Forget the key of `room`. False if it had none. Raises KeyFileError."""
        self.load()
        if room not in self._keys:
            return False
        self._write({name: key for name, key in self._keys.items() if name != room})
        return True

    def rooms(self) -> Mapping[str, StoredKey]:
        """What is stored, by room."""
        return dict(sorted(self._keys.items()))

    def _reload(self) -> None:
        try:
            self.load()
        except KeyFileError as exc:
            _log.error("%s; the keys read before stay good", exc)

    def _file_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise KeyFileError(f"{self.file}: cannot be read: {exc.strerror}") from exc
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _write(self, keys: Mapping[str, StoredKey]) -> None:
        document = {
            "format": FORMAT,
            "keys": {room: {"sha256": key.sha256, "created": key.created} for room, key in sorted(keys.items())},
        }
        try:
            _replace_file(self.file, json.dumps(document, indent=2) + "\n")
        except OSError as exc:
            raise KeyFileError(f"{self.file}: cannot be written: {exc.strerror}") from exc
        self._stamp = None
        self.load()


def _replace_file(file: Path, text: str) -> None:
    """Write beside the file, then rename: a reader sees the old file or the new one, also after a power cut."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def _parse(file: Path) -> dict[str, StoredKey]:
    try:
        with file.open("rb") as source:
            content = source.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise KeyFileError(f"{file}: is longer than {MAX_FILE_BYTES} bytes")
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise KeyFileError(f"{file}: has format {document['format']!r}, this version reads {FORMAT}")
        return {check_room_name(room): _stored_key(entry) for room, entry in document["keys"].items()}
    except OSError as exc:
        raise KeyFileError(f"{file}: cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        reason = str(exc) if isinstance(exc, RoomNameError) else f"{type(exc).__name__}: {exc}"
        raise KeyFileError(f"{file}: is no key file ({reason})") from exc


def _stored_key(entry: Mapping[str, object]) -> StoredKey:
    sha256 = str(entry["sha256"])
    if not _HEX_DIGEST.fullmatch(sha256):
        raise ValueError("a sha256 is not 64 hexadecimal digits")
    return StoredKey(sha256, str(entry["created"]))
