"""`streamer key`: what it does and what it prints."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from streamer.config import Config
from streamer.keys import KeyStore, new_secret
from streamer.node import KEYS_FILE

__all__ = ["list_keys", "make_key", "revoke_key"]

_OBS = """\
The stream key of {room}. It is shown once: only its SHA-256 is kept.

  OBS, Settings, Stream, Service "Custom...":
    Server      rtmp://HOST:{port}/live
    Stream key  {room}?key={secret}

  FFmpeg:
    ffmpeg -re -i FILE -c:v libx264 -bf 0 -g 60 -c:a aac -f flv 'rtmp://HOST:{port}/live/{room}?key={secret}'

HOST is this server as the publisher sees it.
"""


def make_key(config: Config, room: str, *, rotate: bool) -> int:
    """Store a new key and print it. Refuses to end a key that is in use unless `rotate`."""
    store = _store(config)
    old = store.rooms().get(room)
    if old and not rotate:
        sys.stderr.write(f"streamer: {room} has a key since {old.created}: --rotate makes a new one and ends the old\n")
        return 1
    secret = new_secret()
    store.put(room, secret, created=datetime.now(UTC).isoformat(timespec="seconds"))
    sys.stdout.write(_OBS.format(room=room, secret=secret, port=config.rtmp.listen.port))
    return 0


def revoke_key(config: Config, room: str) -> int:
    """End the room's key. A node that runs takes notice with its next publisher."""
    if not _store(config).revoke(room):
        sys.stderr.write(f"streamer: {room} has no key\n")
        return 1
    sys.stdout.write(f"The key of {room} has ended.\n")
    return 0


def list_keys(config: Config) -> int:
    """Print each room that has a key, and since when."""
    for room, key in _store(config).rooms().items():
        sys.stdout.write(f"{room}  since {key.created}\n")
    return 0


def _store(config: Config) -> KeyStore:
    store = KeyStore(config.data.dir / KEYS_FILE)
    store.load()
    return store
