"""The command as a person uses it: what it prints, its status, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamer.cli import main

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("STREAMER_"):
            monkeypatch.delenv(name)


def test_config_prints_each_value_with_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.toml").write_text("[flv]\nbacklog_ms = 2000\n")
    monkeypatch.setenv("STREAMER_FLV_MERGE_MS", "20")
    assert main(["config", "--config", "a.toml", "--http", ":9000", "--open", "--set", "log.level=debug"]) == 0
    out = capsys.readouterr().out
    assert 'listen = "0.0.0.0:9000"  # --http\n' in out
    assert "open = true  # --open\n" in out
    assert 'level = "debug"  # --set log.level\n' in out
    assert "backlog_ms = 2000  # a.toml:2\n" in out
    assert "merge_ms = 20  # STREAMER_FLV_MERGE_MS\n" in out
    assert 'listen = "0.0.0.0:1935"  # default\n' in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["config", "--http", "x"], '--http: http.listen = "x" needs HOST:PORT, for example 0.0.0.0:8080'),
        (["config", "--set", "flv.merge_ms"], "--set flv.merge_ms: needs SECTION.KEY=VALUE"),
        (["config", "--set", "flv.x=1"], "--set flv.x: there is no setting flv.x"),
        (["config", "--config", "none.toml"], "none.toml: cannot be read: No such file or directory"),
        (["serve", "--tls-cert", "c.pem"], "--tls-cert: tls.cert is set, but tls.key is not"),
        (["key"], "which room? streamer key ROOM"),
        (["key", "a/b"], "a room name has letters, digits"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"streamer: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["sing"], ["serve", "--loud"], ["serve", "--conf", "x"]])
def test_an_unknown_command_or_flag_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: streamer" in capsys.readouterr().err


def test_a_key_is_shown_once_and_rotates_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "demo", "--rtmp", ":1999"]) == 0
    first = capsys.readouterr().out
    assert "Server      rtmp://HOST:1999/live" in first
    secret = re.search(r"Stream key  demo\?key=(\S{32})\n", first)
    assert secret
    assert secret[1] not in Path("data/keys.json").read_text()
    assert main(["key", "demo"]) == 1
    assert "--rotate" in capsys.readouterr().err
    assert main(["key", "demo", "--rotate"]) == 0
    assert secret[1] not in capsys.readouterr().out
    assert main(["key", "--list"]) == 0
    assert re.fullmatch(r"demo  since \d{4}-\d\d-\d\dT\S+\n", capsys.readouterr().out)
    assert main(["key", "demo", "--revoke"]) == 0
    assert main(["key", "demo", "--revoke"]) == 1
    assert json.loads(Path("data/keys.json").read_text())["keys"] == {}


def test_the_operators_key_is_shown_once_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "--operator", "--http", ":9999"]) == 0
    first = capsys.readouterr().out
    secret = re.search(r"^  (\S{32})$", first, re.MULTILINE)
    assert secret
    assert "http://HOST:9999/console" in first
    assert secret[1] not in Path("data/keys.json").read_text()
    assert main(["key", "--operator"]) == 1
    assert "--rotate" in capsys.readouterr().err
    assert main(["key", "--operator", "--rotate"]) == 0
    assert secret[1] not in capsys.readouterr().out
    assert main(["key", "--list"]) == 0
    assert capsys.readouterr().out.startswith("(operator)  since ")
    assert main(["key", "--operator", "demo"]) == 2
    assert "name none" in capsys.readouterr().err
    assert main(["key", "--operator", "--revoke"]) == 0
    assert main(["key", "--operator", "--revoke"]) == 1


def test_a_broken_key_file_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    Path("data/keys.json").write_text("{")
    assert main(["key", "demo"]) == 1
    assert "data/keys.json: is no key file" in capsys.readouterr().err


def test_cert_writes_a_pair_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cert", "--name", "show.example", "--name", "10.1.2.3"]) == 0
    out = capsys.readouterr().out
    assert "show.example, 10.1.2.3." in out
    assert "streamer serve --tls-cert cert.pem --tls-key key.pem" in out
    assert main(["cert"]) == 1
    assert main(["cert", "--force"]) == 0


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A real node on free ports; gives its process and its addresses by scheme."""
    listen = [f"--{scheme}=127.0.0.1:0" for scheme in ("http", "rtmp", "udp")]
    command = [sys.executable, "-m", "streamer", "serve", *listen, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout
            addresses = {}
            wanted = {"http", "https"} if "--tls-cert" in arguments else {"http"}
            while not wanted <= addresses.keys():
                line = process.stdout.readline()
                assert line, process.stderr and process.stderr.read()
                scheme, address = line.split()
                addresses[scheme] = address
            yield process, addresses
        finally:
            process.kill()


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_addresses_serves_and_stops_cleanly(number: signal.Signals) -> None:
    with serving("--set", "log.format=json") as (process, addresses):
        with urllib.request.urlopen(f"{addresses['http']}healthz", timeout=10) as response:
            assert json.load(response) == {"status": "ok"}
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert json.loads(err.splitlines()[-1])["message"] == "closed: stopped"
    assert "Traceback" not in err


@pytest.mark.e2e
def test_an_open_node_says_so_loudly() -> None:
    with serving("--open") as (process, _):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert "WARNING streamer.node: OPEN: anyone may publish" in err


@pytest.mark.e2e
def test_a_taken_port_is_a_sentence_and_status_1() -> None:
    with serving() as (_, addresses):
        taken = addresses["http"].removeprefix("http://").rstrip("/")
        result = subprocess.run(
            [sys.executable, "-m", "streamer", "serve", "--http", taken],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert result.returncode == 1
    assert f"streamer: cannot listen on {taken}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.e2e
def test_a_pair_opens_https() -> None:
    assert main(["cert"]) == 0
    with serving("--https", "127.0.0.1:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem") as (_, addresses):
        assert addresses["https"].startswith("https://127.0.0.1:")


def test_the_demo_host_gets_its_address_by_the_environment() -> None:
    """The key in it must not stand on a command line, which every user of the machine can read."""
    from streamer.address import Address
    from streamer.demo import COMMAND, demo_url

    assert demo_url(Address("0.0.0.0", 1935), "demo", "s") == "rtmp://127.0.0.1:1935/live/demo?key=s"
    assert demo_url(Address("::", 1), "demo", "s") == "rtmp://[::1]:1/live/demo?key=s"
    assert not [word for word in COMMAND if "rtmp" in word]
