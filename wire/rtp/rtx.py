"""Retransmissions on their own SSRC (RFC 4588, 4): the original sequence number goes in front of the payload."""

from __future__ import annotations

from dataclasses import replace

from wire.errors import Truncated
from wire.rtp.packet import RtpPacket

__all__ = ["unwrap", "wrap_payload"]


def wrap_payload(sequence: int, payload: bytes) -> bytes:
    """The RTX payload of the packet with this sequence number."""
    return sequence.to_bytes(2, "big") + payload


def unwrap(packet: RtpPacket, *, payload_type: int, ssrc: int) -> RtpPacket | None:
    """The packet that was sent again, or None for the empty ones that browsers probe the bandwidth with.

    Raises `WireError`.
    """
    payload = packet.payload
    if not payload:
        return None
    if len(payload) < 2:
        raise Truncated(f"RTX payload of {len(payload)} byte")
    sequence = payload[0] << 8 | payload[1]
    return replace(packet, payload_type=payload_type, ssrc=ssrc, sequence=sequence, payload=payload[2:])
