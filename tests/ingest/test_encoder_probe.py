"""Encoders are tried, and software takes the place of those that do not work."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace

import pytest

from ingest.encoder_options import ENCODERS, PRESETS, PROFILES, SOFTWARE, encoder_threads
from ingest.encoder_probe import PROBE_TIMEOUT, probe, usable
from media.rung import Rung
from media.track import Codec

SMALL = Rung("180p", Codec.H264, 180, 300_000, preset="ultrafast")


@pytest.mark.parametrize("preset", PRESETS["libx264"])
@pytest.mark.parametrize("profile", PROFILES[Codec.H264])
def test_every_preset_and_profile_of_x264_works(preset: str, profile: str) -> None:
    rung = replace(SMALL, preset=preset, profile=profile)
    assert probe(rung).rung == rung
    assert probe(rung).problem == ""


@pytest.mark.parametrize("preset", PRESETS["libx265"][:4])
def test_fast_presets_of_x265_work(preset: str) -> None:
    rung = replace(SMALL, codec=Codec.H265, preset=preset, profile="main", encoder="libx265")
    assert probe(rung).problem == ""


@pytest.mark.parametrize(("codec", "encoder"), [
    (codec, encoder) for codec in ENCODERS for encoder in ENCODERS[codec] if encoder != SOFTWARE[codec]
])  # fmt: skip
def test_hardware_that_is_not_there_gives_way_to_software(
    caplog: pytest.LogCaptureFixture, codec: Codec, encoder: str
) -> None:
    rung = replace(SMALL, codec=codec, encoder=encoder, profile=PROFILES[codec][0], preset="")
    result = probe(rung)
    if not result.problem:
        pytest.fail(f"{encoder} works here, so that this proves nothing")
    assert result.problem.startswith(f"{encoder} does not begin at 320 x 180: ")
    assert result.rung.encoder == SOFTWARE[codec]
    assert probe(result.rung).problem == ""
    with caplog.at_level(logging.WARNING):
        assert usable([rung, SMALL]) == (result.rung, SMALL)
    (record,) = caplog.records
    assert record.getMessage() == f"rung 180p is encoded by {SOFTWARE[codec]}: {result.problem}"


def test_a_rung_that_nothing_encodes_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    broken = replace(SMALL, preset="", profile="no such profile")
    assert usable([broken, SMALL]) == (SMALL,)
    assert caplog.records[0].getMessage().startswith("rung 180p is left out: libx264 does not begin")


@pytest.mark.parametrize(
    ("code", "timeout", "expected"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", PROBE_TIMEOUT, "ended its process with SIGSEGV"),
        ("raise SystemExit(3)", PROBE_TIMEOUT, "ended its process with exit code 3"),
        ("import time; time.sleep(60)", 5.0, "did not answer within 5 s"),
    ],
)
def test_a_driver_that_crashes_or_hangs_is_a_problem_like_any_other(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, code: str, timeout: float, expected: str
) -> None:
    monkeypatch.setattr("ingest.encoder_probe.PROBE_TIMEOUT", timeout)
    driver = f"import json, sys\nif json.loads(sys.argv[1])['encoder'] == 'h264_nvenc':\n    {code}\n"
    kept = usable([replace(SMALL, encoder="h264_nvenc", preset="p1")], (sys.executable, "-c", driver))
    assert [rung.encoder for rung in kept] == ["libx264"]
    assert f"h264_nvenc {expected}" in caplog.text


def test_one_thread_is_enough_for_what_the_default_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.encoder_options.usable_cores", lambda: 2.0)
    assert {encoder_threads(1920, 1080, 60), encoder_threads(640, 360, 30)} == {1}
    monkeypatch.setattr("ingest.encoder_options.usable_cores", lambda: 16.0)
    assert encoder_threads(1280, 720, 30) == 1
    assert encoder_threads(1920, 1080, 60) == 3
    assert encoder_threads(3840, 2160, 60) == 4
