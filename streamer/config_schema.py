# ruff: noqa: RUF009  every default is a dataclass field, only made by a function
"""Every setting: its name, its default, its unit, its bounds, and one sentence about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from interaction.settings import RedisSettings, RoomSettings, ShopSettings
from streamer.address import Address, AddressList
from streamer.ladder import DEFAULT_LADDER, Ladder
from streamer.origins import OriginList

__all__ = [
    "AccessSettings",
    "Config",
    "DataSettings",
    "DemoSettings",
    "DrainSettings",
    "FlvSettings",
    "HttpSettings",
    "LogSettings",
    "RecordSettings",
    "RtmpSettings",
    "Setting",
    "StreamSettings",
    "TlsSettings",
    "TranscodeSettings",
    "WebRtcSettings",
    "describe",
    "setting",
    "settings",
]

KIB = 1024
MIB = 1024 * KIB


def setting(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """`live` settings are applied to a running node by a reload; the others need a restart."""
    return field(
        default=default,
        metadata={"doc": doc, "unit": unit, "low": low, "high": high, "choices": choices, "live": live},
    )


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Pages, HTTP-FLV, WS-FLV, the API and the metrics: everything that speaks HTTP."""

    listen: Address = setting(Address("0.0.0.0", 8080), "Where plain HTTP listens.")
    tls_listen: Address = setting(
        Address("0.0.0.0", 8443), "Where HTTPS listens. It does so only when `tls.cert` and `tls.key` are set."
    )
    header_timeout_s: float = setting(
        10.0,
        "A connection that has not sent a whole request head by then is closed.",
        unit="s",
        low=0.1,
        high=600,
        live=True,
    )
    body_timeout_s: float = setting(
        10.0, "A request whose body is not complete by then is answered 408.", unit="s", low=0.1, high=600
    )
    keepalive_timeout_s: float = setting(
        75.0, "How long an idle connection is kept for a next request.", unit="s", low=1, high=3600, live=True
    )
    max_body_bytes: int = setting(
        64 * KIB, "The largest request body. An SDP offer has about 8 KiB.", unit="bytes", low=KIB, high=64 * MIB
    )
    max_connections: int = setting(
        20_000, "Connections at once, viewers included. One more is answered 503.", low=1, high=1_000_000, live=True
    )
    max_connections_per_address: int = setting(
        5_000, "Connections at once from one address. A whole office may share one.", low=1, high=1_000_000, live=True
    )
    origins: OriginList = setting(
        OriginList(("*",)),
        "The sites whose pages may embed rooms: play, join, and load the SDK. Origins such as `https://shop.example`, "
        "or `*` for all. The node's own pages always may.",
    )
    shutdown_timeout_s: float = setting(
        5.0, "How long requests may take to finish when the node stops.", unit="s", low=0, high=600
    )


@dataclass(frozen=True, slots=True)
class RtmpSettings:
    """Publishers that push by RTMP or RTMPS."""

    listen: Address = setting(Address("0.0.0.0", 1935), "Where RTMP listens.")
    tls_listen: Address = setting(
        Address("0.0.0.0", 1936), "Where RTMPS listens. It does so only when `tls.cert` and `tls.key` are set."
    )
    handshake_timeout_s: float = setting(
        10.0, "A publisher that has not begun to publish by then is closed.", unit="s", low=0.1, high=600, live=True
    )
    idle_timeout_s: float = setting(
        15.0, "A publisher that sends nothing for so long is closed.", unit="s", low=1, high=3600, live=True
    )
    max_connections: int = setting(1_000, "RTMP connections at once.", low=1, high=100_000, live=True)
    max_connections_per_address: int = setting(
        100, "RTMP connections at once from one address.", low=1, high=100_000, live=True
    )
    max_message_bytes: int = setting(
        8 * MIB,
        "The largest RTMP message. A 4K keyframe stays below 4 MiB; the format ends at 16777215.",
        unit="bytes",
        low=64 * KIB,
        high=16 * MIB - 1,
        live=True,
    )


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The certificate for HTTPS and RTMPS. Changed files are taken up within seconds; nobody is disconnected."""

    cert: Path | None = setting(None, "The certificate chain, PEM. `streamer cert` makes a self-signed pair.")
    key: Path | None = setting(None, "The private key, PEM.")


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may publish."""

    open: bool = setting(False, "Let anyone publish to any room, without a key. For tests only.", live=True)
    wrong_keys_free: int = setting(
        3,
        "Wrong keys from one address before it has to wait. An IPv6 address counts by its /64.",
        low=0,
        high=1000,
        live=True,
    )
    backoff_first_s: float = setting(
        1.0, "The first wait. It doubles with each further wrong key.", unit="s", low=0.1, high=3600, live=True
    )
    backoff_max_s: float = setting(300.0, "The longest wait.", unit="s", low=1, high=86_400, live=True)
    backoff_forget_s: float = setting(
        900.0, "An address without a wrong key for so long starts anew.", unit="s", low=1, high=604_800, live=True
    )
    backoff_max_addresses: int = setting(
        10_000,
        "Addresses remembered; beyond it, the one that was wrong longest ago is forgotten.",
        low=1,
        high=1_000_000,
        live=True,
    )


@dataclass(frozen=True, slots=True)
class FlvSettings:
    """Viewers that pull by HTTP-FLV or WS-FLV."""

    merge_ms: int = setting(
        0,
        "How much media one write carries. 0 writes with each picture; 100 halves the CPU and adds 100 ms.",
        unit="ms",
        low=0,
        high=2_000,
        live=True,
    )
    backlog_ms: int = setting(
        1_500, "A viewer further behind than this skips to a keyframe.", unit="ms", low=100, high=60_000, live=True
    )
    stalled_timeout_s: float = setting(
        10.0, "A viewer that takes no byte for so long is closed.", unit="s", low=1, high=600, live=True
    )
    join_wait_s: float = setting(
        10.0, "How long a player that is early waits for its stream.", unit="s", low=0, high=300, live=True
    )
    max_viewers: int = setting(
        10_000, "FLV viewers at once. One more is answered 503.", low=1, high=1_000_000, live=True
    )


@dataclass(frozen=True, slots=True)
class WebRtcSettings:
    """WHIP in and WHEP out: one UDP port, and the same number in TCP for networks without UDP."""

    listen: Address = setting(
        Address("::", 8189), "Where media is exchanged, by UDP and by TCP. `[::]` takes IPv4 and IPv6."
    )
    public_addresses: AddressList = setting(
        AddressList(()),
        "What peers are told to send to: addresses or names, each with `:PORT` where it is another one. "
        "Empty: the addresses of this machine. Behind NAT, give the outer address.",
    )
    join_wait_s: float = setting(
        10.0, "How long a player that is early waits for its stream.", unit="s", low=0, high=300, live=True
    )
    max_viewers: int = setting(
        5_000, "WHEP viewers at once. One more is answered 503.", low=1, high=1_000_000, live=True
    )
    max_publishers: int = setting(
        200, "WHIP publishers at once. One more is answered 503.", low=1, high=100_000, live=True
    )
    publisher_timeout_s: float = setting(
        15.0, "A WHIP publisher that sends no media for so long is closed.", unit="s", low=1, high=600, live=True
    )
    max_half_open: int = setting(2_000, "Peers at once whose handshake is not over.", low=1, high=1_000_000, live=True)
    max_half_open_per_address: int = setting(500, "The same from one address.", low=1, high=1_000_000, live=True)
    max_tcp_connections: int = setting(2_000, "ICE-TCP connections at once.", low=1, high=1_000_000, live=True)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What a live stream keeps."""

    resume_window_s: float = setting(
        30.0,
        "After its publisher is gone, a stream waits so long for the next one.",
        unit="s",
        low=0,
        high=3600,
        live=True,
    )
    max_gop_s: float = setting(
        12.0,
        "A GOP longer than this is not kept: joiners wait for the next keyframe.",
        unit="s",
        low=1,
        high=120,
        live=True,
    )
    max_gop_bytes: int = setting(
        32 * MIB,
        "The GOPs kept for joiners, of one rendition, are at most so large.",
        unit="bytes",
        low=MIB,
        high=1024 * MIB,
        live=True,
    )
    max_streams: int = setting(200, "Streams at once. One more publisher is refused.", low=1, high=100_000, live=True)


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """A host with a test picture (clock, bar code, a flash with a beep each second) and a scripted show around it."""

    enabled: bool = setting(
        False, "Start a demo host together with the node. Viewers without a token may then buy, as with shop.anonymous."
    )
    room: str = setting("demo", "The room that it publishes to.")


@dataclass(frozen=True, slots=True)
class TranscodeSettings:
    """What is made for viewers of what publishers send: sound in other codecs, and the rungs of `[[ladder]]`."""

    linger_s: float = setting(
        5.0,
        "How long sound and rungs are made on after the last viewer who wanted them has left. A change counts for "
        "broadcasts that begin after it.",
        unit="s",
        low=0,
        high=600,
        live=True,
    )
    max_workers: int = setting(
        200,
        "Worker processes at once: one for each broadcast that something is made of.",
        low=0,
        high=10_000,
        live=True,
    )
    max_rungs: int = setting(
        200,
        "Rungs encoded at once, of all broadcasts together; the processors mostly bound them sooner.",
        low=0,
        high=10_000,
        live=True,
    )
    max_pixels: int = setting(
        4096 * 2304,
        "The largest source picture, width times height, that is decoded for rungs. An 8K one has 33177600.",
        unit="pixels",
        low=100_000,
        high=8192 * 8192,
    )


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """Recordings, in the folder `recordings` of `data.dir`: `ROOM/EPOCH.flv`, playable while it grows."""

    rooms: tuple[str, ...] = setting(
        (),
        'The rooms to record: names, where `*` stands for any letters and `?` for one. `["*"]` records all.',
        live=True,
    )


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """How the node stops after SIGTERM or SIGINT. A second signal ends it at once."""

    grace_s: float = setting(
        0.0,
        "How long viewers may go on watching, while nobody new is taken. It ends early with the last viewer.",
        unit="s",
        low=0,
        high=86_400,
        live=True,
    )
    timeout_s: float = setting(
        10.0,
        "The whole stop takes no longer, the grace included; what is not closed by then is cut.",
        unit="s",
        low=1,
        high=90_000,
        live=True,
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is written to stderr. Keys, tickets and query strings never are."""

    level: str = setting(
        "info", "The least important line to write.", choices=("debug", "info", "warning", "error"), live=True
    )
    format: str = setting("text", "A line for people, or one JSON object a line.", choices=("text", "json"), live=True)


@dataclass(frozen=True, slots=True)
class DataSettings:
    """What outlives the process."""

    dir: Path = setting(Path("data"), "The folder of keys and recordings. Made when needed.")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. One attribute is one section, but `ladder`, which is a table of its own."""

    http: HttpSettings = HttpSettings()
    rtmp: RtmpSettings = RtmpSettings()
    tls: TlsSettings = TlsSettings()
    access: AccessSettings = AccessSettings()
    flv: FlvSettings = FlvSettings()
    webrtc: WebRtcSettings = WebRtcSettings()
    stream: StreamSettings = StreamSettings()
    transcode: TranscodeSettings = TranscodeSettings()
    record: RecordSettings = RecordSettings()
    drain: DrainSettings = DrainSettings()
    redis: RedisSettings = RedisSettings()
    rooms: RoomSettings = RoomSettings()
    shop: ShopSettings = ShopSettings()
    demo: DemoSettings = DemoSettings()
    log: LogSettings = LogSettings()
    data: DataSettings = DataSettings()
    ladder: Ladder = DEFAULT_LADDER


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known about one setting before it has a value. `annotation` is its Python type."""

    section: str
    key: str
    annotation: Any
    default: Any
    doc: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool = False
    secret: bool = False

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        return f"STREAMER_{self.section}_{self.key}".upper()


def settings() -> Iterator[Setting]:
    """All settings, in the order of the schema. The ladder is none: it is a table, read by `config_ladder`."""
    for section in fields(Config):
        kind: Any = type(section.default)
        if kind is Ladder:
            continue
        hints = get_type_hints(kind)
        for entry in fields(kind):
            yield describe(section.name, entry, hints[entry.name])


def describe(section: str, entry: Field[Any], annotation: Any) -> Setting:
    """The setting of a dataclass field that `setting` made."""
    return Setting(section, entry.name, annotation, entry.default, **entry.metadata)
