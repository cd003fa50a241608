"""Which of the offered payload types can carry what we have. Payload types are the offer's; none is ever assumed."""

from __future__ import annotations

from wire.sdp.values import MediaSection, RtpCodec

__all__ = ["find_baseline", "find_h264", "find_h265", "find_opus", "find_rtx", "h264_profile", "offered_profiles"]

_DEFAULT_PROFILE = (0x42, 0x00)  # RFC 6184, 8.1: without profile-level-id it is Baseline
_BASELINE = 0x42


def h264_profile(codec: RtpCodec) -> tuple[int, int]:
    """(profile_idc, constraint flags) of `profile-level-id`; a broken one counts as the default."""
    value = codec.parameter("profile-level-id")
    if value is None or len(value) != 6:
        return _DEFAULT_PROFILE
    try:
        number = int(value, 16)
    except ValueError:
        return _DEFAULT_PROFILE
    return number >> 16, number >> 8 & 0xFF


def offered_profiles(section: MediaSection) -> tuple[int, ...]:
    """The profile_idc of each H.264 payload type with fragmentation (packetization mode 1), in the offer's order."""
    return tuple(dict.fromkeys(h264_profile(codec)[0] for codec in _h264(section, "1")))


def find_h264(section: MediaSection, profile_idc: int | None, *, constraints: int = 0) -> RtpCodec | None:
    """The payload type for H.264 of this profile in packetization mode 1; the same constraint flags are preferred.

    None as profile is for receiving: any profile will do, the offer's first one, and then even mode 0, because a
    receiver has nothing to fragment.
    """
    codecs = _h264(section, "1")
    if profile_idc is None:
        return next(iter(codecs or _h264(section, "0")), None)
    matching = [codec for codec in codecs if h264_profile(codec)[0] == profile_idc]
    exact = (codec for codec in matching if h264_profile(codec)[1] == constraints)
    return next(exact, None) or next(iter(matching), None)


def find_baseline(section: MediaSection) -> RtpCodec | None:
    """Constrained Baseline, which every browser offers, or plain Baseline."""
    return find_h264(section, _BASELINE, constraints=0xE0) if _h264(section, "1") else None


def find_h265(section: MediaSection) -> RtpCodec | None:
    """H.265 on one stream. Levels are not compared: Chrome offers 180 whatever it can decode."""
    codecs = (codec for codec in section.codecs if codec.name.upper() == "H265")
    return next((codec for codec in codecs if (codec.parameter("tx-mode") or "SRST") == "SRST"), None)


def find_opus(section: MediaSection) -> RtpCodec | None:
    """RFC 7587, 7: always 48000 and two channels, whatever is inside."""
    return next((codec for codec in section.codecs if codec.name.lower() == "opus" and codec.clock_rate == 48000), None)


def find_rtx(section: MediaSection, codec: RtpCodec) -> RtpCodec | None:
    """The payload type for retransmissions of `codec` (RFC 4588, 8.6)."""
    apt = str(codec.payload_type)
    return next((rtx for rtx in section.codecs if rtx.name.lower() == "rtx" and rtx.parameter("apt") == apt), None)


def _h264(section: MediaSection, mode: str) -> list[RtpCodec]:
    codecs = [codec for codec in section.codecs if codec.name.upper() == "H264"]
    return [codec for codec in codecs if (codec.parameter("packetization-mode") or "0") == mode]
