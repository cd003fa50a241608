"""RTCP (RFC 3550, 6): reports, source descriptions and goodbyes here; feedback and XR in their own files.

`parse` reads a compound packet in clear, reduced-size ones (RFC 5506) too, and skips the kinds it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from wire.errors import Truncated
from wire.rtp.feedback import (
    NACK,
    PAYLOAD_FEEDBACK,
    TRANSPORT_FEEDBACK,
    Fir,
    Nack,
    Pli,
    Remb,
    parse_nack,
    parse_payload_feedback,
)
from wire.rtp.rtcp_block import RtcpBlock, blocks, build, read_u32
from wire.rtp.twcc import FEEDBACK_FORMAT as TWCC
from wire.rtp.twcc import TransportFeedback, parse_feedback
from wire.rtp.xr import EXTENDED_REPORT, Dlrr, ReferenceTime, parse_extended_report

__all__ = [
    "Bye",
    "Dlrr",
    "Fir",
    "Nack",
    "Pli",
    "ReceiverReport",
    "ReferenceTime",
    "Remb",
    "ReportBlock",
    "RtcpPacket",
    "Sdes",
    "SenderReport",
    "TransportFeedback",
    "parse",
]

_SENDER_REPORT = 200
_RECEIVER_REPORT = 201
_SDES = 202
_BYE = 203
_CNAME = 1
MAX_TEXT_SIZE = 255
"""RFC 3550, 6.5: the length of an SDES item is one byte."""

_SENDER_INFO = Struct("!QIII")
_REPORT = Struct("!IIIIII")
_REPORT_SIZE = 24


class ReportBlock(NamedTuple):
    """RFC 3550, 6.4.1: what a receiver saw of one SSRC.

    `fraction_lost` is in 1/256; `packets_lost` is signed; `highest_sequence` is extended by its cycles; `jitter` in
    RTP clock ticks; `last_sr` is the middle of an NTP time and `delay_since_sr` in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence: int
    jitter: int
    last_sr: int = 0
    delay_since_sr: int = 0

    def to_bytes(self) -> bytes:
        lost = self.fraction_lost << 24 | (max(-0x800000, min(self.packets_lost, 0x7FFFFF)) & 0xFFFFFF)
        return _REPORT.pack(self.ssrc, lost, self.highest_sequence, self.jitter, self.last_sr, self.delay_since_sr)


@dataclass(frozen=True, slots=True)
class SenderReport:
    """RFC 3550, 6.4.1. `ntp` is 32.32 fixed-point seconds since 1900; the counts are modulo 2^32."""

    ssrc: int
    ntp: int
    rtp_time: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        information = _SENDER_INFO.pack(self.ntp, self.rtp_time, self.packet_count, self.octet_count)
        body = self.ssrc.to_bytes(4, "big") + information + b"".join(report.to_bytes() for report in self.reports)
        return build(_SENDER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RFC 3550, 6.4.2."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        body = self.ssrc.to_bytes(4, "big") + b"".join(report.to_bytes() for report in self.reports)
        return build(_RECEIVER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class Sdes:
    """RFC 3550, 6.5: the canonical name of each SSRC; other items are skipped."""

    names: tuple[tuple[int, str], ...]

    def to_bytes(self) -> bytes:
        return build(_SDES, len(self.names), b"".join(_chunk(ssrc, name) for ssrc, name in self.names))


@dataclass(frozen=True, slots=True)
class Bye:
    """RFC 3550, 6.6: these SSRCs send no more."""

    ssrcs: tuple[int, ...]
    reason: str = ""

    def to_bytes(self) -> bytes:
        body = b"".join(ssrc.to_bytes(4, "big") for ssrc in self.ssrcs)
        if self.reason:
            text = self.reason.encode()[:MAX_TEXT_SIZE]
            body += bytes([len(text)]) + text
        return build(_BYE, len(self.ssrcs), body)


RtcpPacket = (
    SenderReport | ReceiverReport | Sdes | Bye | Nack | Pli | Fir | Remb | TransportFeedback | ReferenceTime | Dlrr
)


def parse(compound: bytes) -> list[RtcpPacket]:
    """All packets of one datagram in clear. Raises `WireError`; then nothing of the datagram is used."""
    packets: list[RtcpPacket] = []
    for block in blocks(compound):
        packets.extend(_parse_block(block))
    return packets


def _parse_block(block: RtcpBlock) -> tuple[RtcpPacket, ...]:
    kind, count, body = block
    if kind == _RECEIVER_REPORT:
        return (ReceiverReport(read_u32(body, 0, "SSRC"), _reports(body, 4, count)),)
    if kind == _SENDER_REPORT:
        return (_parse_sender_report(count, body),)
    if kind == _SDES:
        return (Sdes(_parse_chunks(count, body)),)
    if kind == _BYE:
        return (_parse_bye(count, body),)
    if kind == EXTENDED_REPORT:
        return parse_extended_report(body)
    feedback = _parse_feedback(kind, count, body)
    return () if feedback is None else (feedback,)


def _parse_feedback(kind: int, message: int, body: bytes) -> Nack | Pli | Fir | Remb | TransportFeedback | None:
    if kind == TRANSPORT_FEEDBACK and message == NACK:
        return parse_nack(body)
    if kind == TRANSPORT_FEEDBACK and message == TWCC:
        return parse_feedback(body)
    if kind == PAYLOAD_FEEDBACK:
        return parse_payload_feedback(message, body)
    return None


def _parse_sender_report(count: int, body: bytes) -> SenderReport:
    if len(body) < 24:
        raise Truncated(f"sender report has {len(body)} of 24 bytes")
    ntp, rtp_time, packet_count, octet_count = _SENDER_INFO.unpack_from(body, 4)
    return SenderReport(read_u32(body, 0, "SSRC"), ntp, rtp_time, packet_count, octet_count, _reports(body, 24, count))


def _reports(body: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    if len(body) < at + count * _REPORT_SIZE:
        raise Truncated(f"{count} report blocks in {len(body) - at} bytes")
    found = []
    for ssrc, lost, highest, jitter, last_sr, delay in _REPORT.iter_unpack(body[at : at + count * _REPORT_SIZE]):
        packets_lost = (lost & 0xFFFFFF) - ((lost & 0x800000) << 1)  # 24 bits, signed
        found.append(ReportBlock(ssrc, lost >> 24, packets_lost, highest, jitter, last_sr, delay))
    return tuple(found)


def _chunk(ssrc: int, name: str) -> bytes:
    text = name.encode()
    if len(text) > MAX_TEXT_SIZE:
        raise ValueError(f"canonical name of {len(text)} bytes exceeds {MAX_TEXT_SIZE}")
    item = ssrc.to_bytes(4, "big") + bytes([_CNAME, len(text)]) + text + b"\0"
    return item + bytes(-len(item) % 4)


def _parse_chunks(count: int, body: bytes) -> tuple[tuple[int, str], ...]:
    names: list[tuple[int, str]] = []
    at = 0
    for _ in range(count):
        ssrc = read_u32(body, at, "SDES SSRC")
        name, at = _parse_items(body, at + 4)
        if name is not None:
            names.append((ssrc, name))
    return tuple(names)


def _parse_items(body: bytes, at: int) -> tuple[str | None, int]:
    """The canonical name of one chunk, and where the next chunk begins."""
    name = None
    while at < len(body) and body[at] != 0:
        if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
            raise Truncated(f"SDES item at {at} of {len(body)} bytes")
        text = body[at + 2 : at + 2 + body[at + 1]]
        if body[at] == _CNAME:
            name = text.decode(errors="replace")
        at += 2 + body[at + 1]
    return name, at + 4 - at % 4  # a zero ends the items, and more zeros fill the word


def _parse_bye(count: int, body: bytes) -> Bye:
    ssrcs = tuple(read_u32(body, 4 * number, "BYE SSRC") for number in range(count))
    rest = body[4 * count :]
    if not rest:
        return Bye(ssrcs)
    if len(rest) < 1 + rest[0]:
        raise Truncated(f"BYE reason of {rest[0]} bytes in {len(rest) - 1}")
    return Bye(ssrcs, rest[1 : 1 + rest[0]].decode(errors="replace"))
