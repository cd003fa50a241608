"""`streamer bench ladder`, small: both encode the same graph, and everything is measured."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.cli import main
from bench.ladder_bench import BenchProblem, LadderOptions, find_ffmpeg, reference_command, run_ladder_bench

RUNGS = "a=h264:180:400k:ultrafast,b=h265:96:150k:ultrafast"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.flv"
    source = "-f lavfi -i testsrc2=s=320x180:r=30 -t 2 -c:v libx264 -preset ultrafast -bf 2 -g 30"
    subprocess.run([find_ffmpeg(), "-v", "error", *source.split(), str(path)], check=True)
    return path


def test_worker_and_ffmpeg_make_the_same_ladder(clip: Path) -> None:
    result = run_ladder_bench(LadderOptions(RUNGS, pairs=1, clip=clip, paced_s=0.5))
    assert len(result.worker) == len(result.reference) == len(result.ratios) == 1
    assert result.worker[0].cpu_s > 0
    assert result.reference[0].fps > 0
    assert (result.keyframes_aligned, result.keyframes) == (True, 2)
    assert round(result.reorder_ms) == 67
    assert {name: rung.size for name, rung in result.rungs.items()} == {"a": "320x180", "b": "170x96"}
    for rung in result.rungs.values():
        assert rung.frames == 60
        assert rung.latency_ms.count == 15
        assert abs(rung.psnr - rung.reference_psnr) < 1.0
        assert rung.ssim > 0.8
    assert json.loads(json.dumps(result.to_json()))["rungs"]["a"]["latency_ms"]["count"] == 15


def test_the_command_prints_and_writes_every_figure(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--clip", str(clip), "--pairs", "1", "--paced", "0", "--rungs", "a=h264:180:400k:ultrafast"]
    assert main(["ladder", *arguments, "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "CPU, worker / FFmpeg" in printed
    assert "the same in all rungs" in printed
    assert len(json.loads(file.read_text())["ratios"]) == 1


def test_a_clip_that_is_none_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.flv"
    bad.write_bytes(b"FLV" + bytes(100))
    with pytest.raises(BenchProblem, match="cannot be read"):
        run_ladder_bench(LadderOptions(RUNGS, pairs=1, clip=bad))
    assert main(["ladder", "--clip", str(bad), "--pairs", "1"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_the_reference_scales_in_a_cascade() -> None:
    rung = {"encoder": "libx264", "bitrate": 1, "options": {"preset": "fast"}}
    rungs = {"s": {**rung, "width": 320, "height": 180}, "l": {**rung, "width": 640, "height": 360}}
    command = reference_command("ffmpeg", Path("c.flv"), Path("out"), rungs)
    assert command[command.index("-filter_complex") + 1] == (
        "[0:v]scale=640:360,format=yuv420p,split=2[out0][next0];[next0]scale=320:180,format=yuv420p[out1]"
    )
