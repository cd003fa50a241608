"""From measurements to plain sentences: what is wrong with a stream, and what its host can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ingest.health_values import AudioHealth, Finding, Health, Severity, VideoHealth
from media.ticks import TICKS_PER_SECOND
from media.timeline import FORWARD_LIMIT

__all__ = ["by_severity", "judge"]

INFO, WARNING, PROBLEM = Severity.INFO, Severity.WARNING, Severity.PROBLEM

MIN_OBSERVED = 3.0
"""Seconds before anything is judged: encoders start with a burst."""
SILENT = 2.0
"""Seconds without media after which viewers have run out of it."""
MISSING_SHARE, MANY_MISSING_SHARE = 0.01, 0.05
"""Share of the frames that are missing: an attentive viewer sees one in a hundred, anybody one in twenty."""
IRREGULAR_SHARE = 0.1
"""Share of steps that fit no rhythm, for the frame rate to be called variable: a few are timers that wobble."""
LOW_FRAME_RATE = 15.0
"""Below this, movement is seen as single pictures."""
DECLARED_SHARE = 0.9
"""An encoder that makes less of the frame rate it declares cannot keep up."""
LONG_KEYFRAME_INTERVAL = 4.0
"""Seconds: whoever joins gets the last keyframe's group first, and WebRTC viewers and skips wait for the next one."""
GOOD_KEYFRAME_INTERVAL = 2
"""Seconds: what is advised. Shorter costs quality at the same bitrate."""
LOST_KEYFRAME_INTERVAL = 12.0
"""Seconds: longer groups are not kept for joiners, who then see nothing until the next keyframe."""
SKEW = 200.0
"""ms. Lips look wrong from 45 to 125 ms on (ITU-R BT.1359), but encoders send sound in blocks of up to 100 ms."""
CLOCKS_APART = 1000.0 * FORWARD_LIMIT / TICKS_PER_SECOND
"""ms. Beyond this the timeline takes the two clocks for unrelated and aligns the two by arrival."""
JITTER, MUCH_JITTER = 200.0, 1000.0
"""ms. WebRTC players hold up to about 200 ms, HTTP-FLV players about a second."""
PAUSE, LONG_PAUSE = 500.0, 2000.0
"""ms. A pause that is seen by WebRTC viewers, and one that empties every player."""
BURSTS = 3
"""Pauses within the window that make a pattern."""
LAG = 500.0
"""ms that media may come later than at best within a minute: jitter and clock drift stay far below."""
HEADROOM = 0.8
"""Share of what a connection carries that the encoder may fill."""
AHEAD = 1000.0
"""ms that media may run ahead of the clock: encoders may empty a buffer when they begin."""
LOW_BITS_PER_PIXEL = 0.02
"""Moving pictures in H.264 look blurred below; 1280 x 720 at 30 a second gets there at 550 kbit/s."""
HIGH_BITRATE = 12_000_000.0
"""bit/s that many mobile viewers cannot receive."""
PLAYABLE_AUDIO = ("aac", "opus")

_ORDER = (PROBLEM, WARNING, INFO, Severity.OK)


def judge(health: Health) -> tuple[Finding, ...]:
    """Everything there is to say about the measurements, the worst first. Never empty."""
    if health.observed_s < MIN_OBSERVED:
        return (
            Finding("measuring", Severity.OK, f"Watched for {health.observed_s:.1f} s, which is too short to judge."),
        )
    if health.idle_s > SILENT:
        return (_nothing_arrives(health),)
    findings = [finding for rule in _RULES for finding in rule(health)]
    if all(finding.severity is INFO for finding in findings):
        findings.append(Finding("healthy", Severity.OK, _summary(health)))
    return by_severity(findings)


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def _nothing_arrives(health: Health) -> Finding:
    text = f"Nothing has arrived for {health.idle_s:.1f} s."
    return Finding("nothing-arrives", PROBLEM, text, "Check the network and whether the encoder still runs.")


def _summary(health: Health) -> str:
    video, audio = health.video, health.audio
    parts: list[str] = []
    if video is not None and video.frame_rate is not None:
        parts.append(f"{video.frame_rate:g} frames a second")
    if video is not None and video.bitrate is not None:
        parts.append(f"picture at {_rate(video.bitrate)}")
    if audio is not None and audio.bitrate is not None:
        parts.append(f"sound at {_rate(audio.bitrate)}")
    if video is not None and video.keyframe_interval is not None:
        parts.append(f"a keyframe every {video.keyframe_interval:.1f} s")
    return f"The stream is fine: {', '.join(parts)}." if parts else "The stream is fine."


def _kinds(health: Health) -> Iterator[Finding]:
    if health.video is None:
        yield Finding("no-video", INFO, "There is no picture, only sound.", "Add a picture if there should be one.")
    elif health.video.silent_s > SILENT and health.audio is not None:
        text = f"No picture has arrived for {health.video.silent_s:.1f} s, while sound goes on."
        yield Finding("video-stalled", PROBLEM, text, "Check the camera and whether the encoder is overloaded.")
    if health.audio is None:
        yield Finding("no-audio", WARNING, "There is no sound.", "Add a microphone, or a silent track on purpose.")
    elif health.audio.silent_s > SILENT and health.video is not None:
        text = f"No sound has arrived for {health.audio.silent_s:.1f} s, while the picture goes on."
        yield Finding("audio-stalled", PROBLEM, text, "Check the microphone and the encoder's sound settings.")


def _frame_rate(health: Health) -> Iterator[Finding]:
    video = health.video
    if video is None or video.frame_rate is None:
        return
    expected = video.frames + video.missing_frames
    if video.missing_frames > MISSING_SHARE * expected:
        yield _missing_frames(video, expected)
    elif video.irregular_frames > IRREGULAR_SHARE * video.frames:
        text = (
            f"The frame rate is not constant: {video.frame_rate_low:.1f} to {video.frame_rate_high:.1f} frames a "
            f"second, {video.frame_rate:.1f} on average."
        )
        severity = WARNING if (video.frame_rate_low or 0) < LOW_FRAME_RATE else INFO
        yield Finding("frame-rate-variable", severity, text, "Set a constant frame rate, and light the scene well.")
    declared = video.declared_frame_rate
    if declared is not None and video.frame_rate < DECLARED_SHARE * declared:
        text = f"The encoder says {declared:g} frames a second and sends {video.frame_rate:.1f}."
        yield Finding("frame-rate-short", WARNING, text, "Choose a faster encoder preset or a smaller picture.")
    elif video.frame_rate < LOW_FRAME_RATE:
        text = f"The frame rate is {video.frame_rate:.1f} a second, so movement looks jerky."
        yield Finding("frame-rate-low", WARNING, text, "Set it to 25 or 30.")


def _missing_frames(video: VideoHealth, expected: int) -> Finding:
    text = f"{video.missing_frames} of the last {expected} frames are missing."
    severity = PROBLEM if video.missing_frames > MANY_MISSING_SHARE * expected else WARNING
    advice = "Lower the bitrate if the encoder reports dropped frames, else choose a faster preset."
    return Finding("frames-missing", severity, text, advice)


def _keyframes(health: Health) -> Iterator[Finding]:
    video = health.video
    if video is None or video.keyframe_interval_longest is None:
        return
    longest = video.keyframe_interval_longest
    advice = f"Set the keyframe interval to {GOOD_KEYFRAME_INTERVAL} s: viewers wait less when they join."
    severity = PROBLEM if longest > LOST_KEYFRAME_INTERVAL else WARNING
    if video.keyframes_automatic:
        text = f"The keyframe interval is automatic: a keyframe comes every {longest:.1f} s at the latest."
        yield Finding("keyframes-automatic", severity if longest > LONG_KEYFRAME_INTERVAL else INFO, text, advice)
    elif longest > LONG_KEYFRAME_INTERVAL:
        rare = f"Keyframes come every {longest:.1f} s"
        text = f"{rare}." if video.keyframes_regular else f"{rare} at the latest, at irregular intervals."
        if video.keyframe_interval is None:
            text = f"There has been no keyframe for {longest:.1f} s."
        yield Finding("keyframe-interval", severity, text, advice)


def _oversized(health: Health) -> Iterator[Finding]:
    if health.counters.oversized_gops:
        text = f"{health.counters.oversized_gops} groups of pictures were too large to keep for those who join."
        yield Finding("group-too-large", WARNING, text, "Shorten the keyframe interval, or lower the bitrate.")


def _b_frames(health: Health) -> Iterator[Finding]:
    video = health.video
    if video is not None and video.b_frames:
        text = (
            f"The picture has B-frames ({video.reorder_depth} deep), which add {video.decode_delay_ms:.0f} ms and "
            "which WebRTC players cannot show."
        )
        yield Finding("b-frames", WARNING, text, "Set B-frames to 0, or choose the tuning for zero latency.")


def _skew(health: Health) -> Iterator[Finding]:
    skew = health.clock.arrival_skew_ms
    if skew is None or abs(skew) <= SKEW:
        return
    if abs(skew) > CLOCKS_APART:
        text = f"The clocks of sound and picture are {abs(skew) / 1000:.1f} s apart, so they are matched by arrival."
        yield Finding("av-clocks-apart", WARNING, text, "Check the lips, and restart the encoder if they are off.")
        return
    order = "after" if skew > 0 else "before"
    text = f"Sound arrives {abs(skew):.0f} ms {order} the picture it belongs to by its timestamps."
    yield Finding("av-skew", WARNING, text, "Check the sync offset of the microphone and the delay of the camera.")


def _timestamps(health: Health) -> Iterator[Finding]:
    clock = health.clock
    if clock.recent_jumps:
        largest = clock.largest_recent_jump_ms / 1000
        text = f"Timestamps jumped {_times(clock.recent_jumps)} within a minute, by {largest:+.1f} s at most."
        yield Finding("timestamp-jumps", WARNING, text, "Restart the encoder; do not loop files as a source.")
    if clock.backward_steps:
        text = f"Timestamps ran backwards {_times(clock.backward_steps)} by a little since the encoder connected."
        yield Finding("timestamps-backward", INFO, text, "Update the encoder if the picture stutters.")


def _arrival(health: Health) -> Iterator[Finding]:
    arrival = health.arrival
    if arrival.lag_ms > LAG:
        yield _too_slow(health)
        return
    if arrival.ahead_ms > AHEAD:
        text = f"Media runs ahead of the clock: {arrival.ahead_ms / 1000:.1f} s within the last minute."
        yield Finding("too-fast", WARNING, text, "Send a file at its own speed, with FFmpeg by -re.")
        return
    jitter, pause = arrival.jitter_ms or 0.0, arrival.longest_pause_ms
    if arrival.pauses >= BURSTS:
        text = f"Media comes in bursts: {arrival.pauses} pauses in 10 s, {pause / 1000:.1f} s at the longest."
    elif pause > PAUSE:
        text = f"Media paused for {pause / 1000:.1f} s."
    elif jitter > JITTER:
        text = f"Media arrives irregularly: 5 % of it is more than {jitter:.0f} ms late."
    else:
        return
    severity = PROBLEM if pause > LONG_PAUSE or jitter > MUCH_JITTER else WARNING
    yield Finding("irregular-arrival", severity, text, "Use a cable instead of Wi-Fi, and stop other uploads.")


def _too_slow(health: Health) -> Finding:
    arrival = health.arrival
    made = sum(kind.bitrate or 0.0 for kind in (health.video, health.audio) if kind is not None)
    text = f"The upload is too slow: media arrives {arrival.lag_ms / 1000:.1f} s late"
    if arrival.lag_growth_ms > 0:
        text += f", {arrival.lag_growth_ms:.0f} ms more each second"
    advice = "Lower the bitrate, or use a better connection."
    if arrival.bitrate and made > arrival.bitrate:
        text += f"; the connection carries {_rate(arrival.bitrate)} and the encoder makes {_rate(made)}"
        advice = f"Lower the bitrate to {_rate(HEADROOM * arrival.bitrate)}, or use a better connection."
    return Finding("upload-too-slow", PROBLEM, f"{text}.", advice)


def _bitrate(health: Health) -> Iterator[Finding]:
    video = health.video
    if video is None or video.bitrate is None:
        return
    if video.bitrate > HIGH_BITRATE:
        text = f"The picture has {_rate(video.bitrate)}, which many viewers on phones cannot receive."
        yield Finding("bitrate-high", WARNING, text, "Lower the bitrate to 6 Mbit/s or less.")
    elif video.width and video.height and video.frame_rate:
        needed = LOW_BITS_PER_PIXEL * video.width * video.height * video.frame_rate
        if video.bitrate < needed:
            size = f"{video.width} x {video.height} at {video.frame_rate:g}"
            text = f"The picture has {_rate(video.bitrate)}, which is little for {size} a second."
            yield Finding("bitrate-low", INFO, text, f"If movement looks blurred, set {_rate(3 * needed)}.")


def _formats(health: Health) -> Iterator[Finding]:
    if health.video is not None:
        yield from _picture_format(health.video)
    if health.audio is not None:
        yield from _sound_format(health.audio)


def _picture_format(video: VideoHealth) -> Iterator[Finding]:
    odd = []
    if video.interlaced:
        odd.append("interlaced")
    if video.chroma_format in ("4:2:2", "4:4:4"):
        odd.append(f"in {video.chroma_format}")
    if video.bit_depth is not None and video.bit_depth > 8 and video.codec == "h264":
        odd.append(f"{video.bit_depth} bits deep")
    if odd:
        text = f"The picture is {' and '.join(odd)}, which browsers cannot show well."
        yield Finding("picture-format", WARNING, text, "Encode progressive pictures in 8 bits and 4:2:0 (NV12).")
    if video.codec != "h264":
        text = f"The picture is {video.codec.upper()}, which not every browser can show."
        yield Finding("video-codec", INFO, text, "H.264 reaches everybody.")


def _sound_format(audio: AudioHealth) -> Iterator[Finding]:
    if audio.codec not in PLAYABLE_AUDIO:
        text = f"The sound is {audio.codec.upper()}, which many players cannot play in a live stream."
        yield Finding("audio-codec", WARNING, text, "Encode AAC.")
    elif audio.channels is not None and audio.channels > 2:
        text = f"The sound has {audio.channels} channels."
        yield Finding("audio-channels", INFO, text, "Most viewers hear stereo at best.")


def _drops(health: Health) -> Iterator[Finding]:
    drops = {reason: count for reason, count in health.counters.drops.items() if count}
    if drops:
        listed = ", ".join(f"{reason} {count}" for reason, count in sorted(drops.items()))
        text = f"{sum(drops.values())} units were left out since the broadcast began ({listed})."
        yield Finding("units-dropped", INFO, text, "A few at each start or take-over are normal.")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _rate(bits: float) -> str:
    return f"{bits / 1e6:.1f} Mbit/s" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit/s"


_RULES: tuple[Callable[[Health], Iterator[Finding]], ...] = (
    _arrival,
    _kinds,
    _frame_rate,
    _keyframes,
    _oversized,
    _b_frames,
    _skew,
    _timestamps,
    _bitrate,
    _formats,
    _drops,
)
