"""Stream keys, one secret per room, and the operator's: stored as their SHA-256 only."""

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
from dataclasses import asdict, dataclass, field, replace
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


@dataclass(frozen=True, slots=True)
class _Content:
    """What a key file holds."""

    rooms: Mapping[str, StoredKey] = field(default_factory=dict)
    operator: StoredKey | None = None


class KeyStore:
    """The file of keys, read again when it has changed.

    A file that turns unreadable while the node runs is logged, and the keys read before stay good.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._content = _Content()
        self._granted: dict[str, str] = {}
        self._stamp: tuple[int, int, int] | None = None

    def load(self) -> None:
        """Read the file if it changed. No file means no keys. Raises KeyFileError."""
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._content = _parse(self.file) if stamp else _Content()

    def is_valid(self, room: str, secret: str) -> bool:
        """Whether `secret` opens `room` for publishing. Takes the same time for a room that has no key."""
        self._reload()
        given = digest(secret)
        stored = self._content.rooms.get(room)
        known = (stored.sha256 if stored else "", self._granted.get(room, ""))
        return any([hmac.compare_digest(given, sha256) for sha256 in known])  # noqa: C419  no early end

    def has(self, room: str) -> bool:
        """Whether there is a key for `room`."""
        self._reload()
        return room in self._content.rooms or room in self._granted

    def is_operator(self, secret: str) -> bool:
        """Whether `secret` is the operator's. Takes the same time where no such key was made."""
        self._reload()
        stored = self._content.operator
        return hmac.compare_digest(digest(secret), stored.sha256 if stored else "")

    def is_any(self, secret: str) -> bool:
        """Whether `secret` opens any room: then it is no wrong key, only one for something else."""
        self._reload()
        given = digest(secret)
        return given in self._granted.values() or any(key.sha256 == given for key in self._content.rooms.values())

    def grant(self, room: str, secret: str) -> None:
        """Accept one more secret for `room` as long as this process lives."""
        self._granted[room] = digest(secret)

    def put(self, room: str, secret: str, *, created: str) -> None:
        """Store the key of `room`; an older one ends. Raises KeyFileError."""
        self.load()
        key = StoredKey(digest(secret), created)
        self._write(replace(self._content, rooms={**self._content.rooms, check_room_name(room): key}))

    def revoke(self, room: str) -> bool:
        """Forget the key of `room`. False if it had none. Raises KeyFileError."""
        self.load()
        rooms = self._content.rooms
        if room not in rooms:
            return False
        self._write(replace(self._content, rooms={name: key for name, key in rooms.items() if name != room}))
        return True

    @property
    def operator(self) -> StoredKey | None:
        """What is stored of the operator's key."""
        return self._content.operator

    def put_operator(self, secret: str, *, created: str) -> None:
        """Store the operator's key; an older one ends. Raises KeyFileError."""
        self.load()
        self._write(replace(self._content, operator=StoredKey(digest(secret), created)))

    def revoke_operator(self) -> bool:
        """Forget the operator's key. False if there was none. Raises KeyFileError."""
        self.load()
        if self._content.operator is None:
            return False
        self._write(replace(self._content, operator=None))
        return True

    def rooms(self) -> Mapping[str, StoredKey]:
        """What is stored, by room."""
        return dict(sorted(self._content.rooms.items()))

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

    def _write(self, content: _Content) -> None:
        document: dict[str, object] = {
            "format": FORMAT,
            "keys": {room: asdict(key) for room, key in sorted(content.rooms.items())},
        }
        if content.operator:
            document["operator"] = asdict(content.operator)
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


def _parse(file: Path) -> _Content:
    try:
        with file.open("rb") as source:
            content = source.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise KeyFileError(f"{file}: is longer than {MAX_FILE_BYTES} bytes")
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise KeyFileError(f"{file}: has format {document['format']!r}, this version reads {FORMAT}")
        rooms = {check_room_name(room): _stored_key(entry) for room, entry in document["keys"].items()}
        operator = document.get("operator")
        return _Content(rooms, _stored_key(operator) if operator is not None else None)
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
