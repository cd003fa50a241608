"""`streamer key`: what it does and what it prints."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from streamer.config import Config
from streamer.keys import KeyStore, new_secret
from streamer.node import KEYS_FILE

__all__ = ["list_keys", "make_key", "make_operator_key", "revoke_key", "revoke_operator_key"]

_OBS = """\
The stream key of {room}. It is shown once: only its SHA-256 is kept.

  OBS, Settings, Stream, Service "Custom...":
    Server      rtmp://HOST:{port}/live
    Stream key  {room}?key={secret}

  FFmpeg:
    ffmpeg -re -i FILE -c:v libx264 -bf 0 -g 60 -c:a aac -f flv 'rtmp://HOST:{port}/live/{room}?key={secret}'

HOST is this server as the publisher sees it.
"""

_OPERATOR = """\
The operator's key. It is shown once: only its SHA-256 is kept.

  {secret}

  Pages     http://HOST:{port}/console
  Programs  curl -H 'Authorization: Bearer {secret}' http://HOST:{port}/api/v1/streams
"""


def make_key(config: Config, room: str, *, rotate: bool) -> int:
    """Store a new key and print it. Refuses to end a key that is in use unless `rotate`."""
    store = _store(config)
    old = store.rooms().get(room)
    if old and not rotate:
        sys.stderr.write(f"streamer: {room} has a key since {old.created}: --rotate makes a new one and ends the old\n")
        return 1
    secret = new_secret()
    store.put(room, secret, created=_now())
    sys.stdout.write(_OBS.format(room=room, secret=secret, port=config.rtmp.listen.port))
    return 0


def revoke_key(config: Config, room: str) -> int:
    """End the room's key. A node that runs takes notice with its next publisher."""
    if not _store(config).revoke(room):
        sys.stderr.write(f"streamer: {room} has no key\n")
        return 1
    sys.stdout.write(f"The key of {room} has ended.\n")
    return 0


def make_operator_key(config: Config, *, rotate: bool) -> int:
    """Store a new operator key and print it. Refuses to end the one in use unless `rotate`."""
    store = _store(config)
    if store.operator and not rotate:
        since = store.operator.created
        sys.stderr.write(f"streamer: there is an operator key since {since}: --rotate makes a new one, the old ends\n")
        return 1
    secret = new_secret()
    store.put_operator(secret, created=_now())
    sys.stdout.write(_OPERATOR.format(secret=secret, port=config.http.listen.port))
    return 0


def revoke_operator_key(config: Config) -> int:
    """End the operator's key: nobody can use the API until another is made."""
    if not _store(config).revoke_operator():
        sys.stderr.write("streamer: there is no operator key\n")
        return 1
    sys.stdout.write("The operator's key has ended.\n")
    return 0


def list_keys(config: Config) -> int:
    """Print each room that has a key, and since when; the operator's last."""
    store = _store(config)
    for room, key in store.rooms().items():
        sys.stdout.write(f"{room}  since {key.created}\n")
    if store.operator:
        sys.stdout.write(f"(operator)  since {store.operator.created}\n")
    return 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _store(config: Config) -> KeyStore:
    store = KeyStore(config.data.dir / KEYS_FILE)
    store.load()
    return store
