"""What each encoder is told for live pictures: no delay, no B pictures, no keyframes of its own, a bounded rate."""

from __future__ import annotations

from dataclasses import replace

from ingest.processor_time import usable_cores
from ingest.transcode_messages import StartRung
from media.rung import Rung
from media.track import Codec

__all__ = [
    "ENCODERS",
    "PRESETS",
    "PROFILES",
    "SOFTWARE",
    "encoder_options",
    "encoder_threads",
    "family",
    "in_software",
]

SOFTWARE = {Codec.H264: "libx264", Codec.H265: "libx265"}
"""What is always there."""
_SPEEDS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_NVENC = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
_QSV = _SPEEDS[2:4] + _SPEEDS[4:]
_AMF = ("speed", "balanced", "quality")

ENCODERS = {
    Codec.H264: ("libx264", "h264_nvenc", "h264_qsv", "h264_vaapi", "h264_amf"),
    Codec.H265: ("libx265", "hevc_nvenc", "hevc_qsv", "hevc_vaapi", "hevc_amf"),
}
"""Encoders that a rung may name. Those of hardware are probed before they are used."""
PRESETS = {"libx264": _SPEEDS, "libx265": _SPEEDS, "nvenc": _NVENC, "qsv": _QSV, "vaapi": (), "amf": _AMF}
"""By encoder, or by the family after its underscore. Empty: it has no presets, and the rung's is not looked at."""
PROFILES = {Codec.H264: ("baseline", "main", "high"), Codec.H265: ("main",)}
"""Those that every player of the codec has, eight bits deep. `baseline` is what WebRTC calls constrained."""

VBV_SECONDS = 0.5
"""How much of its rate a rung may send at once. A burst of more fills a viewer's queue, and looks to the estimate of
its bandwidth like a network that has become narrow; with less, keyframes get too few bits and the picture pulses."""
NEVER = 1 << 30
"""Pictures between an encoder's own keyframes: the graph alone says where they are. x264's word for infinite."""
ONE_THREAD = 1280 * 720 * 60
"""Pixels a second that one thread encodes with room to spare at the fast presets."""
MAX_THREADS = 4
_FALLBACK_PRESETS = {"libx264": "veryfast", "libx265": "ultrafast"}


def family(encoder: str) -> str:
    """The key in PRESETS."""
    return encoder if encoder in PRESETS else encoder.rpartition("_")[2]


def in_software(rung: Rung) -> Rung:
    """The same rung for a machine on which its encoder does not work; itself where that is one in software."""
    encoder = SOFTWARE[rung.codec]
    if rung.encoder == encoder:
        return rung
    return replace(rung, encoder=encoder, preset=_FALLBACK_PRESETS[encoder])


def encoder_threads(width: int, height: int, frame_rate: float) -> int:
    """One, where one is enough: a rung has a thread of its own already, and slices in parallel cost bits.

    More only while there are cores that other rungs do not need.
    """
    cores = int(usable_cores())
    needed = -(-width * height * round(frame_rate) // ONE_THREAD)
    return max(1, min(needed, cores // 2, MAX_THREADS))


def encoder_options(rung: StartRung, threads: int) -> dict[str, str]:
    """AVOptions by name, for the encoder that the rung names."""
    rate = {"maxrate": str(rung.bitrate), "bufsize": str(round(rung.bitrate * VBV_SECONDS))}
    kind = family(rung.encoder)
    own = _OWN[kind](rung, threads) if kind in _OWN else {}
    preset = {"preset": rung.preset} if rung.preset in PRESETS.get(kind, ()) else {}
    return {"profile": rung.profile, **preset, **rate, "g": str(NEVER), "bf": "0", **own}


def _x264(rung: StartRung, threads: int) -> dict[str, str]:
    params = f"repeat-headers=0:keyint=infinite:scenecut=0:threads={threads}:sliced-threads={int(threads > 1)}"
    return {"tune": "zerolatency", "forced-idr": "1", "x264-params": params}


def _x265(rung: StartRung, threads: int) -> dict[str, str]:
    # Without a pool it encodes in one thread of its own; x265 would else start one for each core and rung.
    pools = "none" if threads == 1 else str(threads)
    params = f"log-level=none:info=0:repeat-headers=0:keyint=-1:scenecut=0:open-gop=0:bframes=0:pools={pools}"
    return {"tune": "zerolatency", "forced-idr": "1", "x265-params": f"{params}:frame-threads=1"}


def _nvenc(rung: StartRung, threads: int) -> dict[str, str]:
    return {"tune": "ull", "rc": "cbr", "zerolatency": "1", "delay": "0", "forced-idr": "1", "no-scenecut": "1"}


def _qsv(rung: StartRung, threads: int) -> dict[str, str]:
    return {"async_depth": "1", "forced_idr": "1", "look_ahead_depth": "0"}


def _amf(rung: StartRung, threads: int) -> dict[str, str]:
    profile = {"profile": "constrained_baseline"} if rung.profile == "baseline" else {}
    return {"usage": "ultralowlatency", "forced_idr": "1", **profile}


_OWN = {"libx264": _x264, "libx265": _x265, "nvenc": _nvenc, "qsv": _qsv, "amf": _amf}
