"""Stream keys with a real encoder: who may publish, who must wait, and where a key is never seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.encoders import Publisher, film, start_ffmpeg
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer
from tests.support.node import RunningNode, running_node, streamer

pytestmark = pytest.mark.e2e

WRONG = "wrong-key-of-a-stranger"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    settings = ("access.wrong_keys_free=2", "access.backoff_first_s=6", "log.level=debug")
    flags = [word for setting in settings for word in ("--set", setting)]
    with running_node(tmp_path_factory.mktemp("node"), *flags) as node:
        yield node


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "clip.nut", [n * 40 for n in range(50)])


def key_of(node: RunningNode, room: str, *flags: str) -> str:
    printed = streamer("key", room, "--data", node.folder, *flags)
    found = re.search(rf"Stream key +{room}\?key=(\S+)", printed)
    assert found, printed
    return found[1]


def publish(url: str, clip: Path, log: Path) -> Publisher:
    x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25"]
    return start_ffmpeg(["-readrate", "4", "-i", clip, *x264, "-f", "flv", url], log)


def test_a_key_opens_its_room_and_is_never_shown_again(guarded: RunningNode, clip: Path, tmp_path: Path) -> None:
    key, other = key_of(guarded, "mine"), key_of(guarded, "other")
    with RawViewer(guarded.flv("mine")) as viewer:
        with publish(guarded.publish_url("mine", key), clip, tmp_path / "ffmpeg.log") as publisher:
            publisher.finish()
        viewer.wait_for(lambda file: file.pictures, "a picture")
    with publish(guarded.publish_url("mine", other), clip, tmp_path / "ffmpeg.log") as publisher:
        assert publisher.wait() != 0  # the key of another room
    for path in ("/metrics", "/", "/api/v1/streams", "/healthz"):
        body = guarded.get(path)[2]
        assert key not in body
        assert other not in body
    assert key not in guarded.log
    assert other not in guarded.log
    assert key not in (guarded.folder / "keys.json").read_text()


def test_a_rotated_key_ends_the_old_one(guarded: RunningNode, clip: Path, tmp_path: Path) -> None:
    old = key_of(guarded, "turned")
    new = key_of(guarded, "turned", "--rotate")
    with publish(guarded.publish_url("turned", new), clip, tmp_path / "new.log") as publisher:
        publisher.finish()  # a right key also clears the address of what it did wrong before
    with publish(guarded.publish_url("turned", old), clip, tmp_path / "old.log") as publisher:
        assert publisher.wait() != 0
    with publish(guarded.publish_url("turned", new), clip, tmp_path / "new.log") as publisher:
        publisher.finish()


def test_wrong_keys_are_refused_and_cost_a_growing_wait(guarded: RunningNode, clip: Path, tmp_path: Path) -> None:
    key, refused = key_of(guarded, "tried"), guarded.metric("streamer_publish_decisions_total", decision="refused")
    for attempt in range(4):
        with publish(guarded.publish_url("tried", WRONG), clip, tmp_path / f"{attempt}.log") as publisher:
            assert publisher.wait() != 0
    assert guarded.metric("streamer_publish_decisions_total", decision="refused") == refused + 4
    assert "wrong key; must wait 6.0 s" in guarded.log
    assert re.search(r"must wait \d\.\d s after wrong keys", guarded.log)
    assert WRONG not in guarded.log
    # Within the wait the right key is refused as well; after it, it is welcome.
    with publish(guarded.publish_url("tried", key), clip, tmp_path / "early.log") as publisher:
        assert publisher.wait() != 0

    def is_welcome() -> bool:
        with publish(guarded.publish_url("tried", key), clip, tmp_path / "late.log") as publisher:
            return publisher.wait() == 0

    eventually(is_welcome, "the right key opens the room after the wait", within=15)


@pytest.mark.parametrize("path", ["/other/room", "/live/../room", "/live/a%20b", "/live/"])
def test_an_address_that_names_no_room_is_refused(guarded: RunningNode, clip: Path, tmp_path: Path, path: str) -> None:
    with publish(guarded.url(path, "rtmp"), clip, tmp_path / "ffmpeg.log") as publisher:
        assert publisher.wait() != 0
    assert guarded.get("/healthz")[0] == 200
