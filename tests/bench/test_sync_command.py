"""`streamer bench sync`: its arguments, and what it says when it cannot measure."""

from __future__ import annotations

import argparse
import asyncio

import pytest

from bench import sync
from bench.children import ChildError
from bench.cli import main


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sync.add_parser(parser.add_subparsers())
    return parser.parse_args(["sync", *words])


def test_arguments_become_options() -> None:
    args = parse("--via", "ws,http", "--gap", "0.5", "--scenario", "blip", "--flag=--set", "--flag=flv.merge_ms=100")
    assert (args.url, args.via, args.gap, args.scenario) == (None, ("ws", "http"), (0.5, 0.5), "blip")
    assert args.flags == ["--set", "flv.merge_ms=100"]
    assert parse("--gap", "0.2,1").gap == (0.2, 1.0)


@pytest.mark.parametrize("wrong", [["--via", "rtsp"], ["--gap", "2,1"], ["--gap", "x"], ["--scenario", "none"]])
def test_what_it_does_not_know_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*wrong)
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["http://127.0.0.1:9"], "needs --publish and --token"),
        (["http://127.0.0.1:9", "--publish", "rtmp://127.0.0.1:9/live/x", "--token", "t", "--loss", "2"], "own"),
    ],
)
def test_a_node_by_url_needs_the_rest_too(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_what_fails_beside_the_events_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(sentence: str) -> None:
        raise ChildError(sentence)

    async def run(options: object) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail("ws: the page has gone"))
            group.create_task(fail("no answer"))

    monkeypatch.setattr(sync, "_run", run)
    assert main(["sync"]) == 1
    assert "ws: the page has gone; no answer" in capsys.readouterr().err
