"""What real encoders send is what viewers read, on one timeline: nothing lost, nothing changed, one `t` for good."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.support.encoders import film, read_codes, start_ffmpeg
from tests.support.flv import FlvFile, read_flv
from tests.support.flv_viewer import RawViewer
from tests.support.node import RunningNode, running_node
from wire.flv_audio import AudioFrame, parse_audio
from wire.flv_tag import AUDIO, VIDEO, FlvTag
from wire.flv_video import VideoFrame, parse_video

pytestmark = pytest.mark.e2e

SECONDS = 3
AT_ONCE = 4
"""Broadcasts at the same time: each has a room of its own."""
RATE = "3"
"""Times real time: slow enough for a viewer to join within the first GOP, quick enough for a test."""
PATTERNS = {
    "25": [n * 40 for n in range(SECONDS * 25)],
    "29.97": [n * 1001 // 30 for n in range(SECONDS * 30)],
    "60": [n * 1000 // 60 for n in range(SECONDS * 60)],
    "variable": [n * 40 + (n * 7919 % 23) + (120 if n > 40 else 0) for n in range(SECONDS * 25)],
}
"""When each picture is due, in ms. The variable one never repeats a step for long, and pauses once."""
X264 = "-c:v libx264 -preset ultrafast -threads 1 -g 25"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=error:pools=1:frame-threads=1:keyint=25"
AV1 = "-c:v libsvtav1 -preset 10 -crf 20 -g 25 -svtav1-params lp=1"


@dataclass(frozen=True, slots=True)
class Case:
    """`times` names a pattern, None without a picture; `rate` is the sound's, None without."""

    name: str
    video: str = X264
    audio: str = "-c:a aac"
    times: str | None = "25"
    rate: int | None = 48_000
    channels: int = 2
    codecs: tuple[str, ...] = ("h264", "aac")


CASES = [
    Case("x264 without B-frames", f"{X264} -bf 0", rate=44_100),
    Case("x264 with 3 B-frames", f"{X264} -bf 3 -b_strategy 0"),
    Case("x264 with a B-pyramid and open GOPs", f"{X264} -bf 3 -b_strategy 0 -x264-params open-gop=1:b-pyramid=2"),
    Case("x264 with 2 B-frames, mono", f"{X264} -bf 2 -b_strategy 0", rate=44_100, channels=1),
    Case("x264 at 29.97 a second", f"{X264} -bf 2", times="29.97", channels=1),
    Case("x264 at 60 a second", f"{X264} -bf 0", times="60"),
    Case("x264 at a variable rate", f"{X264} -bf 2 -b_strategy 0 -enc_time_base 1:1000", times="variable"),
    Case("x265", f"{X265}:bframes=0", codecs=("hevc", "aac")),
    Case("x265 with B-frames", f"{X265}:bframes=3:b-adapt=0", rate=44_100, codecs=("hevc", "aac")),
    Case("AV1 with Opus", AV1, "-c:a libopus -b:a 64k", codecs=("av1", "opus")),
    Case("x264 with MP3", X264, "-c:a libmp3lame", rate=44_100, codecs=("h264", "mp3")),
    Case("x264 with Opus", f"{X264} -bf 2", "-c:a libopus -b:a 64k", codecs=("h264", "opus")),
    Case("video only", f"{X264} -bf 2", rate=None, codecs=("h264",)),
    Case("AAC only, 44.1 kHz", times=None, rate=44_100, codecs=("aac",)),
    Case("AAC only, 48 kHz mono", times=None, channels=1, codecs=("aac",)),
    Case("Opus only", audio="-c:a libopus -b:a 64k", times=None, codecs=("opus",)),
]
LARGE = [
    Case(f"{name}, {times} a second, {rate} Hz", video, "-c:a aac", times, rate, channels, (codec, "aac"))
    for name, video, codec in (
        ("x264", f"{X264} -bf 0", "h264"),
        ("x264 with B-frames", f"{X264} -bf 3 -b_strategy 0", "h264"),
        ("x264 with open GOPs", f"{X264} -bf 2 -x264-params open-gop=1", "h264"),
        ("x264 with sliced pictures", f"{X264} -bf 2 -x264-params slices=4", "h264"),
        ("x264 with intra refresh", f"{X264} -bf 0 -x264-params intra-refresh=1", "h264"),
        ("x265", f"{X265}:bframes=0", "hevc"),
        ("x265 with open GOPs", f"{X265}:bframes=3:b-adapt=0:open-gop=1", "hevc"),
        ("AV1", AV1, "av1"),
    )
    for times in ("25", "29.97", "60")
    for rate, channels in ((44_100, 1), (48_000, 2))
]


@dataclass
class Broadcast:
    """`sent` is what FFmpeg's muxer made for the node, written to a file as well; `received` is what a viewer read."""

    case: Case
    sent: FlvFile
    received: bytes
    complaints: str

    @cached_property
    def read(self) -> FlvFile:
        return read_flv(self.received)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    # Without a resume window the viewers are let go as soon as the publisher is.
    with running_node(tmp_path_factory.mktemp("node"), "--open", "--set", "stream.resume_window_s=0") as node:
        yield node


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {name: film(folder / f"{name}.nut", times) for name, times in PATTERNS.items()}


@pytest.fixture(scope="module")
def broadcasts(
    node: RunningNode, films: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Broadcast]]]:
    """All of them begin with the first test; each test waits for its own."""
    wanted = {item.callspec.params["case"].name for item in request.session.items if _is_here(item)}
    folder = tmp_path_factory.mktemp("sent")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            case.name: pool.submit(_broadcast, case, number, node, films, folder)
            for number, case in enumerate([*CASES, *LARGE])
            if case.name in wanted
        }


def _is_here(item: pytest.Item) -> bool:
    return item.path == Path(__file__) and hasattr(item, "callspec") and "case" in item.callspec.params


@pytest.fixture
def broadcast(broadcasts: dict[str, Future[Broadcast]], case: Case) -> Broadcast:
    return broadcasts[case.name].result()


def _broadcast(case: Case, number: int, node: RunningNode, films: dict[str, Path], folder: Path) -> Broadcast:
    room, copy, log = f"matrix{number}", folder / f"{number}.flv", folder / f"{number}.log"
    with (
        RawViewer(f"{node.flv(room)}?rendition=source&audio=source") as viewer,
        start_ffmpeg([*_inputs(case, films), *_outputs(case, copy, node.publish_url(room))], log) as publisher,
    ):
        publisher.finish()
        assert viewer.wait_for_end() == "clean", node.log
        return Broadcast(case, read_flv(copy.read_bytes()), viewer.data, _decode(viewer.data, folder / f"{number}.dec"))


def _inputs(case: Case, films: dict[str, Path]) -> Iterator[str | Path]:
    paced = ["-readrate", RATE, "-readrate_initial_burst", "0.1"]
    if case.times is not None:
        fps = {"25": ["-r", "25"], "29.97": ["-r", "30000/1001"], "60": ["-r", "60"]}.get(case.times, [])
        yield from (*paced, *fps, "-i", films[case.times])
    if case.rate is not None:
        layout = "mono" if case.channels == 1 else "stereo"
        noise = f"anoisesrc=r={case.rate}:a=0.1:seed=1:d={SECONDS},aformat=channel_layouts={layout}"
        yield from (*paced, "-f", "lavfi", "-i", noise)


def _outputs(case: Case, copy: Path, url: str) -> Iterator[str]:
    kinds = [kind for kind, there in (("v", case.times), ("a", case.rate)) if there is not None]
    for index, kind in enumerate(kinds):
        yield from ("-map", f"{index}:{kind}", *(case.video if kind == "v" else case.audio).split())
    yield from ("-fps_mode", "passthrough", "-flags", "+global_header")
    yield from ("-f", "tee", f"[f=flv:flvflags=no_duration_filesize]{copy}|[f=flv]{url}")


def _decode(data: bytes, path: Path) -> str:
    """What FFmpeg's command complains about when it decodes all of it."""
    path.write_bytes(data)
    arguments = ["-loglevel", "error", "-xerror", "-err_detect", "explode", "-i", path, "-f", "null", "-"]
    with start_ffmpeg(arguments, path.with_suffix(".dec.log")) as reader:
        status = reader.wait()
        return f"status {status}: {reader.log}" if status or reader.log else ""


def _payloads(tags: list[FlvTag], kind: int) -> list[bytes]:
    events = [(parse_video if kind == VIDEO else parse_audio)(tag.body) for tag in tags if tag.kind == kind]
    return [event.data for event in events if isinstance(event, VideoFrame | AudioFrame) and event.data]


def _media(file: FlvFile, kind: int) -> list[FlvTag]:
    """Without the markers of a sequence's end."""
    return [tag for tag in file.media if tag.kind == kind and _payloads([tag], kind)]


def _check(broadcast: Broadcast) -> None:
    _check_nothing_is_lost(broadcast)
    _check_times(broadcast)
    _check_prelude(broadcast)
    _check_facts(broadcast)
    if broadcast.case.times is not None:
        _check_bar_codes(broadcast)
    assert broadcast.complaints == ""


def _check_nothing_is_lost(broadcast: Broadcast) -> None:
    """Every picture from the join's keyframe on, bit by bit, and all sound from there on."""
    for kind in (VIDEO, AUDIO):
        sent, read = _payloads(broadcast.sent.tags, kind), _payloads(broadcast.read.tags, kind)
        assert len(read) > len(sent) / 2 or not sent, "the viewer joined too late to prove anything"
        assert read == sent[len(sent) - len(read) :]


def _check_times(broadcast: Broadcast) -> None:
    """One shift for picture and sound, so that lip sync is what the encoder made it; and times only grow."""
    shifts = set()
    for kind in (VIDEO, AUDIO):
        sent, read = _media(broadcast.sent, kind), _media(broadcast.read, kind)
        pairs = zip(sent[len(sent) - len(read) :], read, strict=True)
        shifts |= {after.timestamp - before.timestamp for before, after in pairs}
        times = [tag.timestamp for tag in read]
        assert all(a < b for a, b in pairwise(times))
    assert len(shifts) == 1
    compositions = [parse_video(tag.body).composition_ms for tag in _media(broadcast.read, VIDEO)]
    assert all(composition >= 0 for composition in compositions)


def _check_prelude(broadcast: Broadcast) -> None:
    case, file = broadcast.case, broadcast.read
    assert file.header is not None
    assert (file.header.has_video, file.header.has_audio) == (case.times is not None, case.rate is not None)
    (timeline,), (metadata,) = file.scripts("onTimeline"), file.scripts("onMetaData")
    assert timeline["base_ms"] == metadata["base_ms"] == file.media[0].timestamp
    assert timeline["epoch"] == metadata["epoch"] != ""
    assert ("audiocodecid" in metadata, "videocodecid" in metadata) == (case.rate is not None, case.times is not None)
    if case.times in ("25", "29.97", "60"):
        assert metadata["framerate"] == pytest.approx(float(case.times), abs=0.01)
    elif case.times is not None:
        assert metadata["framerate"] > 0  # FFmpeg's guess, passed on


def _check_facts(broadcast: Broadcast) -> None:
    case = broadcast.case
    with av.open(io.BytesIO(broadcast.received), format="flv") as container:
        for _ in container.demux():
            pass  # what FLV's header does not say is known once packets came
        # FFmpeg makes a data stream of `onTimeline`.
        streams = {stream.type: stream for stream in container.streams if stream.type != "data"}
        found = [s.codec_context.codec.canonical_name for _, s in sorted(streams.items(), reverse=True)]
        assert found == list(case.codecs)
        if case.rate is not None:
            context = streams["audio"].codec_context
            assert (context.sample_rate, context.layout.nb_channels) == (case.rate, case.channels)


def _check_bar_codes(broadcast: Broadcast) -> None:
    with av.open(io.BytesIO(broadcast.received), format="flv") as container:
        shown = read_codes(container)
    assert len(shown) == len(_media(broadcast.read, VIDEO))
    offsets = [picture.offset_ms for picture in shown]
    assert max(offsets) - min(offsets) <= 1
    codes = [picture.code_ms for picture in shown]
    times = PATTERNS[broadcast.case.times or ""]
    assert codes == times[len(times) - len(codes) :]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_viewer_reads_what_the_encoder_sent(broadcast: Broadcast) -> None:
    _check(broadcast)


@pytest.mark.long
@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.name)
def test_a_viewer_reads_what_the_encoder_sent_in_every_combination(broadcast: Broadcast) -> None:
    _check(broadcast)
