"""The ladder of a file: what is written plays, and what is wrong is said."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from ingest.transcode_file import main, parse_rungs, transcode_file
from tests.support.encoded import video_flv
from tests.support.encoders import film, read_codes, start_ffmpeg

TIMES = [n * 40 for n in range(50)]


@pytest.fixture(
    scope="module", params=["libx264 -bf 2 -g 25", "libx265 -x265-params log-level=error:keyint=25:pools=1"]
)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    source, path = film(folder / "film.nut", TIMES), folder / "clip.flv"
    arguments = ["-i", source, "-c:v", *request.param.split(), "-preset", "ultrafast", path]
    with start_ffmpeg(arguments, folder / "log") as encoder:
        encoder.finish()
    return path


def test_every_rung_is_a_file_that_plays(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rungs = "180p=h264:180:400k:ultrafast:high,90p=h265:96:100k:ultrafast"
    assert main([str(clip), str(tmp_path / "out"), "--rungs", rungs]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["units"], told["frames"], told["undecodable"], told["hidden"]) == (50, 50, 0, 0)
    for name, size in (("180p", (320, 180)), ("90p", (170, 96))):
        rung = told["rungs"][name]
        assert (rung["width"], rung["height"], rung["frames"], rung["problem"]) == (*size, 50, "")
        assert len(rung["spent_us"]) == 50
        with av.open(tmp_path / "out" / f"{name}.mp4") as container:
            assert [shown.code_ms for shown in read_codes(container)] == TIMES
    assert told["rungs"]["180p"]["keyframes"] == told["rungs"]["90p"]["keyframes"]


def test_paced_it_takes_as_long_as_the_film(clip: Path) -> None:
    outcome, problems = transcode_file(clip, parse_rungs("a=h264:96:100k:ultrafast"), None, is_paced=True, seconds=0.4)
    assert problems == []
    assert outcome.units == 10
    assert outcome.wall_s >= 0.36


@pytest.mark.parametrize("text", ["", "a", "a=vp8:1:1", "a=h264:x:1", "a=h264:96:1G", "a b=h264:96:1k"])
def test_rungs_in_another_form_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["x", "y", "--rungs", text])
    assert caught.value.code == 2


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = tmp_path / "none.flv"
    sound.write_bytes(b"nothing")
    for path in (sound, tmp_path / "missing.flv"):
        assert main([str(path), str(tmp_path / "out"), "--rungs", "a=h264:96:100k"]) == 1
        assert "cannot be read" in capsys.readouterr().err


def test_a_cut_file_is_encoded_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = video_flv("libx264", 160, 96)
    path = tmp_path / "cut.flv"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    outcome, problems = transcode_file(path, parse_rungs("a=h264:96:100k:ultrafast"), tmp_path)
    assert 0 < outcome.units < 24
    assert len(outcome.rungs["a"].pts) == outcome.units - 1
    assert problems[-1] == f"unit {outcome.units}: undecodable: empty unit"
