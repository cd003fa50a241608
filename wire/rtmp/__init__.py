"""RTMP for publishers, both ends: `RtmpServer` takes a broadcast, `RtmpClient` sends one. Players are not served."""

from wire.rtmp.client import RtmpClient, RtmpUrl
from wire.rtmp.connection import RtmpServer, ServerState
from wire.rtmp.events import (
    ClientEvent,
    Closed,
    Connected,
    Published,
    PublishRequested,
    Rejected,
    ServerEvent,
    TagReceived,
    Unpublished,
)
from wire.rtmp.limits import RtmpLimits
from wire.rtmp.redact import redact

__all__ = [
    "ClientEvent",
    "Closed",
    "Connected",
    "PublishRequested",
    "Published",
    "Rejected",
    "RtmpClient",
    "RtmpLimits",
    "RtmpServer",
    "RtmpUrl",
    "ServerEvent",
    "ServerState",
    "TagReceived",
    "Unpublished",
    "redact",
]
