"""The configuration: one typed tree of settings, and how it is put together."""

from __future__ import annotations

from streamer.address import Address
from streamer.config_load import ConfigError, Given, LoadedConfig, load_config
from streamer.config_schema import (
    AccessSettings,
    Config,
    DataSettings,
    DemoSettings,
    DrainSettings,
    FlvSettings,
    HttpSettings,
    LogSettings,
    RecordSettings,
    RtmpSettings,
    StreamSettings,
    TlsSettings,
    TranscodeSettings,
    WebRtcSettings,
)

__all__ = [
    "AccessSettings",
    "Address",
    "Config",
    "ConfigError",
    "DataSettings",
    "DemoSettings",
    "DrainSettings",
    "FlvSettings",
    "Given",
    "HttpSettings",
    "LoadedConfig",
    "LogSettings",
    "RecordSettings",
    "RtmpSettings",
    "StreamSettings",
    "TlsSettings",
    "TranscodeSettings",
    "WebRtcSettings",
    "load_config",
]
