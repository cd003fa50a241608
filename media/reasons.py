"""Why a publisher or a viewer was disconnected: the numbers that a peer can see.

The numbers are WebSocket close codes of the private range (RFC 6455, 7.4.2), used on every transport that has room
for one. From 4000 to 4099 the client may try again; from 4100 on it must not before something changes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CODEC_CHANGED",
    "DISPLACED",
    "ENDED",
    "FULL",
    "IDLE",
    "KEY_REFUSED",
    "NOT_FOUND",
    "PROTOCOL",
    "RECONNECT",
    "RUNG_SHED",
    "SHUTDOWN",
    "STOPPED",
    "TOKEN_REFUSED",
    "TOO_SLOW",
    "UNAVAILABLE",
    "VANISHED",
    "Reason",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """One numbered reason. `may_retry` says whether the same request may succeed soon."""

    code: int
    name: str
    text: str

    @property
    def may_retry(self) -> bool:
        return self.code < 4100

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


ENDED = Reason(4000, "ended", "the broadcast is over")
SHUTDOWN = Reason(4001, "shutdown", "the server is going away")
VANISHED = Reason(4002, "vanished", "the peer is gone")
IDLE = Reason(4003, "idle", "nothing arrived for too long")
TOO_SLOW = Reason(4008, "too slow", "the connection cannot carry the stream")
FULL = Reason(4009, "full", "a limit of this server is reached")
RECONNECT = Reason(4010, "reconnect", "the stream's tracks have changed: connect again")
CODEC_CHANGED = Reason(4011, "codec changed", "the stream's codec has changed: connect again")
UNAVAILABLE = Reason(4012, "unavailable", "the store of events does not answer: connect again later")
RUNG_SHED = Reason(4013, "rung shed", "this picture size is not made any more: another one may be asked for")
DISPLACED = Reason(4100, "displaced", "another publisher took over")
KEY_REFUSED = Reason(4101, "key refused", "the key is not valid for this room")
PROTOCOL = Reason(4102, "protocol", "the peer broke the protocol")
STOPPED = Reason(4103, "stopped", "an operator stopped it")
NOT_FOUND = Reason(4104, "not found", "there is no such room")
TOKEN_REFUSED = Reason(4105, "token refused", "the token is not valid for this room, or has expired")
