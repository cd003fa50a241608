"""Whole runs of `streamer bench whep` with a few viewers against a small real server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.clip import CLIP_NUMBER, STAMP_EVERY, Clip, make_clip
from tests.support.link import Conditions
from tests.support.udp_relay import UdpRelay
from tests.support.whep_server import SMALL, ClipServer, running_clip_server
from wire.rtp.rtcp import Nack, ReceiverReport, Remb
from wire.webrtc import PeerClosed

pytestmark = pytest.mark.e2e
Run = Callable[..., dict[str, Any]]
SETTLE = 0.2
WINDOW = 2.5


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(SMALL)


@pytest.fixture
def server(clip: Clip) -> Iterator[ClipServer]:
    with running_clip_server(ClipServer(clip)) as running:
        yield running


@pytest.fixture
def run(server: ClipServer, tmp_path: Path) -> Run:
    """Run the command against the server and read its figures. `status` is what it has to end with."""

    def run(*arguments: str, viewers: int = 4, seconds: float = 1.0, status: int = 0) -> dict[str, Any]:
        stored = tmp_path / "figures.json"
        fixed = ["-n", str(viewers), "-d", str(seconds), "--settle", str(SETTLE), "--json", str(stored)]
        assert main(["whep", server.url, *fixed, *arguments]) == status
        result: dict[str, Any] = json.loads(stored.read_text())
        return result

    return run


def test_every_figure_is_measured(server: ClipServer, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = run("--processes", "2", "--decrypt-every", "2", "--pid", str(os.getpid()), viewers=6, seconds=2.5)
    assert (result["viewers_watching"], result["viewers_lost"], result["checked"]) == (6, {}, 3)
    for name in ("answer_ms", "connected_ms", "first_packet_ms", "first_keyframe_ms"):
        assert result[name]["count"] == 6
    assert result["largest_gap_ms"]["count"] == 3
    joined = [result[name]["p50"] for name in ("answer_ms", "connected_ms", "first_packet_ms", "first_keyframe_ms")]
    assert joined == sorted(joined)
    assert result["bits_per_second_per_viewer"] == pytest.approx(450_000, rel=0.4)
    assert result["pictures"] == result["pictures_shown"] > 150
    assert result["latency_ms"]["count"] == pytest.approx(result["pictures"] / STAMP_EVERY, abs=result["checked"])
    assert (result["packets_missing"], result["packets_unrepaired"], result["packets_dropped_by_viewers"]) == (0, 0, 0)
    assert (result["holes"], result["backward_steps"], result["gops_damaged"]) == (0, 0, 0)
    assert result["gops"] >= 3
    assert 0 < result["latency_ms"]["p50"] < 500
    assert result["srtp_profiles"] == {"SRTP_AEAD_AES_128_GCM": 6}
    assert len(result["timeline_origins"]) == 1
    assert result["timeline_distance_ms"]["count"] == 6
    assert result["server_memory"]["rss"] > 1_000_000
    assert result["floor"]["ratio"] > 0
    assert result["floor"]["packets_per_second_per_viewer"] == pytest.approx(
        result["packets_per_second_per_viewer"], rel=0.3
    )
    assert result["sessions_not_deleted"] == {}
    assert len(server.deleted) == len(set(server.deleted)) == 6
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("server CPU", "server memory", "floor CPU", "GSO", "added latency", "loss"))


@pytest.mark.parametrize("late_ms", [0, 90])
def test_sound_is_decoded_and_lip_sync_measured_by_both_clocks(
    server: ClipServer, run: Run, capsys: pytest.CaptureFixture[str], late_ms: int
) -> None:
    server.sound_late_ms = late_ms
    result = run("--decrypt-every", "2", "--no-floor", viewers=4, seconds=5.0, status=1 if late_ms else 0)
    sound = result["sound"]
    assert sound["expected"] == pytest.approx(4 * 250, rel=0.15)
    assert (sound["missing"], sound["gaps"], sound["steps_back"], sound["undecodable"]) == (0, 0, 0, 0)
    assert sound["decoded"] > 200
    assert -35 < sound["level_db"]["p50"] < -15
    for skew in (sound["skew_ms"], sound["skew_by_timeline_ms"]):
        assert skew["count"] >= 4
        assert skew["max"] == pytest.approx(late_ms, abs=2)
    assert all(flash["number"] == CLIP_NUMBER for flash in sound["flashes"])
    printed = capsys.readouterr().out
    assert ("FAILED: sound and picture are 90 ms apart by sender reports" in printed) is bool(late_ms)


def test_a_foreign_server_without_a_timeline_is_judged_by_its_sender_reports(server: ClipServer, run: Run) -> None:
    server.timeline = False
    sound = run("--no-floor", viewers=1, seconds=4.5)["sound"]
    assert sound["skew_ms"]["count"] >= 2
    assert sound["skew_by_timeline_ms"]["count"] == 0


def test_promised_sound_that_never_comes_fails_the_run(server: ClipServer, run: Run) -> None:
    server.sound = False
    assert run("--no-floor", viewers=2, status=1)["failures"] == ["2 viewers were promised sound and got none"]


@pytest.mark.parametrize(
    ("packet", "failure"), [(b"\xfc\xff\xfe", "the sound is silence"), (b"\xff\xff\0\0", "cannot be decoded")]
)
def test_sound_that_is_none_fails_the_run(server: ClipServer, run: Run, packet: bytes, failure: str) -> None:
    server.opus = packet
    (sentence,) = run("--no-floor", viewers=1, seconds=2.5, status=1)["failures"]
    assert failure in sentence


def test_viewers_say_what_keeps_a_session_alive(server: ClipServer, run: Run) -> None:
    said: dict[str, list[Any]] = {}
    server.leaving = lambda name, viewer: said.__setitem__(name, viewer.said)
    assert run("--no-floor", viewers=2, seconds=2.5)["viewers_watching"] == 2
    for packets in said.values():
        reports = [packet for packet in packets if isinstance(packet, ReceiverReport)]
        assert len(reports) >= 3
        assert len(reports[-1].reports) == 2  # picture and sound
        for block in reports[-1].reports:
            assert (block.packets_lost, block.fraction_lost) == (0, 0)
            assert block.last_sr
            assert block.jitter < 9000
        assert any(isinstance(packet, Remb) and packet.bitrate >= 10_000_000 for packet in packets)
        assert isinstance(packets[-1], PeerClosed)
    assert len(said) == 2


@pytest.fixture
def relay(server: ClipServer) -> Iterator[UdpRelay]:
    """3 % loss, doubled and reordered packets between the viewers and the server."""
    made = UdpRelay(Conditions(loss=0.03, duplication=0.01, delay=0.005, jitter=0.01), seed=4)
    made.upstream = server.udp_port
    loop = server.loop
    asyncio.run_coroutine_threadsafe(made.serve(), loop).result()
    server.advertise = made.port
    yield made
    loop.call_soon_threadsafe(made.close)


def test_loss_is_counted_asked_for_and_repaired(server: ClipServer, relay: UdpRelay, run: Run) -> None:
    said: list[Any] = []
    server.leaving = lambda _, viewer: said.extend(viewer.said)
    result = run("--decrypt-every", "2", "--no-floor", viewers=4, seconds=3.0)
    assert result["viewers_watching"] == 4
    assert result["packets_missing"] / result["packets_expected"] == pytest.approx(0.03, abs=0.025)
    assert result["packets_repaired"] > 0
    assert result["retransmissions"] > 0
    assert result["packets_unrepaired"] <= 2
    assert result["pictures_shown"] >= result["pictures"] - 60
    assert relay.lost > 0
    assert any(isinstance(packet, Nack) for packet in said)
    assert result["latency_ms"]["p50"] > 5


def test_refused_viewers_are_counted_with_the_reason(
    server: ClipServer, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refuse = 503
    result = run(viewers=3, seconds=0.1)
    assert result["viewers_lost"] == {"the server answered POST with 503 Service Unavailable: not today": 3}
    printed = capsys.readouterr().out
    assert "3 viewers were lost" in printed
    assert "no floor" in printed


def test_redirects_relative_locations_and_tokens_are_followed(server: ClipServer, run: Run) -> None:
    server.redirect, server.absolute, server.timeline = True, False, False
    result = run("--token", "SECRET", "--no-floor", viewers=2, seconds=0.2)
    assert result["viewers_watching"] == 2
    assert result["timeline_origins"] == {}
    assert server.tokens == {"Bearer SECRET"}
    assert len(server.deleted) == 2
    assert "SECRET" not in json.dumps(result)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("a=setup:passive", "a=setup:actpass", "the answer has a=setup:actpass, not active or passive"),
        (" udp ", " tcp ", "the answer has no UDP candidate with a numeric IPv4 address"),
        ("v=0", "nonsense", "the answer cannot be read: line 'nonsense'"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:", "is not the announced one"),
    ],
)
def test_wrong_answers_lose_the_viewer_and_end_the_session(
    server: ClipServer, run: Run, old: str, new: str, reason: str
) -> None:
    server.edit = lambda text: text.replace(old, new)
    result = run("--no-floor", viewers=1, seconds=0.1)
    (lost,) = result["viewers_lost"]
    assert reason in lost
    assert len(server.deleted) == 1


def test_a_server_that_dies_loses_its_viewers_and_the_rest_is_still_told(server: ClipServer, run: Run) -> None:
    _once_watched(server, 3, server.die)
    result = run("--no-floor", viewers=3, seconds=5.0)
    assert result["viewers_watching"] == 0
    assert result["viewers_lost"] == {"Connection refused": 3}
    assert result["sessions_not_deleted"] == {"Connection refused": 3}
    assert result["first_keyframe_ms"]["count"] == 3


def test_a_process_that_ends_during_the_run_leaves_the_viewers_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, sleep = tmp_path / "figures.json", time.sleep
    with subprocess.Popen([sys.executable, "-m", "tests.support.whep_server"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[1])

        def kill_when_measuring(seconds: float) -> None:
            if seconds > SETTLE and process.poll() is None:  # the first half of the window
                process.kill()
                process.wait()
            sleep(seconds)

        monkeypatch.setattr("bench.load_run.time.sleep", kill_when_measuring)
        fixed = f"-n 2 -d {WINDOW} --settle {SETTLE} --pid {process.pid}".split()
        assert main(["whep", f"http://127.0.0.1:{port}/whep/clip", *fixed, "--json", str(stored)]) == 0
    result = json.loads(stored.read_text())
    assert result["viewers_lost"] == {"Connection refused": 2}
    assert (result["server_cpu"], result["server_memory"]) == (None, None)
    assert "ended during the run" in capsys.readouterr().out


def test_a_server_that_says_goodbye_is_believed(server: ClipServer, run: Run) -> None:
    _once_watched(server, 2, server.say_goodbye)
    result = run("--no-floor", viewers=2, seconds=5.0)
    assert result["viewers_lost"] == {"the server said goodbye": 2}


def _once_watched(server: ClipServer, viewers: int, then: Callable[[], None]) -> None:
    """Call `then`, from another thread, soon after so many viewers have reported what they receive."""
    everybody = threading.Event()

    def wait() -> None:
        if everybody.wait(30):
            then()

    server.reported = lambda count: everybody.set() if count == viewers else None
    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize("arguments", [["-n", "0"], ["-d", "-1"], ["--decrypt-every", "0"], ["--ramp", "x"]])
def test_options_out_of_range_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["whep", "http://127.0.0.1/whep/x", *arguments])
    assert arguments[1] in capsys.readouterr().err


def test_an_unusable_url_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whep", "rtmp://127.0.0.1/x", "-n", "1"]) == 1
    assert "only http:// and https://" in capsys.readouterr().err


def test_a_process_that_does_not_run_is_named(server: ClipServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whep", server.url, "-n", "1", "--pid", "4194305"]) == 1
    assert "no process 4194305" in capsys.readouterr().err
