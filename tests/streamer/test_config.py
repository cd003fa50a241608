"""The configuration: where each value comes from, and how a wrong one is refused."""

from __future__ import annotations

import dataclasses
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.address import Address, peer_group
from streamer.config import Config, ConfigError, Given, load_config
from streamer.config_docs import render_docs
from streamer.config_schema import settings

ROOT = Path(__file__).parent.parent.parent


def write(folder: Path, text: str) -> Path:
    file = folder / "streamer.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(**sources: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(**sources)  # type: ignore[arg-type]
    return str(caught.value)


def test_defaults_need_no_source() -> None:
    loaded = load_config()
    assert loaded.config == Config()
    assert set(loaded.sources.values()) == {"default"}


def test_later_sources_win_and_are_remembered(tmp_path: Path) -> None:
    file = write(tmp_path, "[flv]\nmerge_ms = 50\nbacklog_ms = 900\njoin_wait_s = 3\n")
    loaded = load_config(
        file=file,
        environment={"STREAMER_FLV_MERGE_MS": "60", "STREAMER_FLV_BACKLOG_MS": "800", "PATH": "/bin"},
        flags=[Given("flv.merge_ms", "70", "--set flv.merge_ms")],
    )
    assert dataclasses.astuple(loaded.config.flv)[:4] == (70, 800, 10.0, 3.0)
    assert [loaded.sources[f"flv.{key}"] for key in ("merge_ms", "backlog_ms", "join_wait_s", "max_viewers")] == [
        "--set flv.merge_ms",
        "STREAMER_FLV_BACKLOG_MS",
        f"{file}:4",
        "default",
    ]


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[log]\nlevel = 'debug'\n")
    assert load_config(environment={"STREAMER_CONFIG": str(file)}).config.log.level == "debug"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[http]\n\nlisten = 8080\n", ":3: http.listen = 8080 needs a text in quotes"),
        (
            "[http]\nlisten = '::1:80'\n",
            ':2: http.listen = "::1:80" is refused: an IPv6 host needs brackets: [::1]:PORT',
        ),
        ("[http]\nlisten = ':99999'\n", ":2: http.listen = \":99999\" is refused: port '99999' is not a number"),
        ("# x\n[rtmp]\nidle_timeout_s = 0\n", ":3: rtmp.idle_timeout_s = 0 must be at least 1 s"),
        (
            "[rtmp]\nmax_message_bytes = 99999999\n",
            ":2: rtmp.max_message_bytes = 99999999 must be at most 16777215 bytes",
        ),
        ("rtmp.max_connections = 1.5\n", ":1: rtmp.max_connections = 1.5 needs a whole number"),
        ("[rtmp]\nidle_timeout_s = nan\n", ":2: rtmp.idle_timeout_s = nan needs a number"),
        ("[access]\nopen = 1\n", ":2: access.open = 1 needs true or false"),
        ("[log]\nlevel = 'loud'\n", ':2: log.level = "loud" needs one of debug, info, warning, error'),
        ("[data]\ndir = ''\n", ':2: data.dir = "" needs a text that is not empty'),
        ("[flv]\nmerge_ms = [1]\n", ":2: flv.merge_ms = [1] needs a whole number"),
        ("[flv]\n'merge_sm' = 1\n", ":2: there is no setting flv.merge_sm; did you mean flv.merge_ms?"),
        ("\n[fvl]\nmerge_ms = 1\n", ":2: there is no section [fvl]; did you mean flv?"),
        ("flv = 3\n", ":1: flv is a section: write [flv] and its keys below"),
        ("[flv\n", "not valid TOML: "),
        ("[tls]\ncert = 'a.pem'\n", ":2: tls.cert is set, but tls.key is not"),
        ("[access]\nbackoff_first_s = 400\n", ":2: access.backoff_first_s = 400 is above access.backoff_max_s = 300"),
    ],
)
def test_a_bad_file_is_refused_with_key_value_and_line(tmp_path: Path, text: str, expected: str) -> None:
    sentence = refusal(file=write(tmp_path, text))
    assert expected in sentence
    assert "\n" not in sentence


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(file=tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"a = '\xff'")
    assert "byte 5 is not UTF-8" in refusal(file=binary)
    binary.write_bytes(b"#" * ((1 << 20) + 1))
    assert "longer than 1048576 bytes" in refusal(file=binary)


def test_unknown_variables_and_flags_are_refused_with_a_suggestion() -> None:
    sentence = refusal(environment={"STREAMER_HTP_LISTEN": "x"})
    assert sentence == (
        "the environment has STREAMER_HTP_LISTEN, but no setting is called so; did you mean STREAMER_HTTP_LISTEN?"
    )
    assert refusal(flags=[Given("nothing.like", "1", "--set nothing.like")]).startswith(
        "--set nothing.like: there is no"
    )


def test_a_bad_variable_is_named() -> None:
    assert refusal(environment={"STREAMER_FLV_MERGE_MS": "fast"}) == (
        'STREAMER_FLV_MERGE_MS: flv.merge_ms = "fast" needs a whole number'
    )


@pytest.mark.parametrize("word", ["true", "YES", "on", "1"])
def test_words_for_true(word: str) -> None:
    assert load_config(environment={"STREAMER_ACCESS_OPEN": word}).config.access.open


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8080", Address("0.0.0.0", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:1935", Address("::1", 1935)),
        ("[fe80::1%eth0]:1", Address("fe80::1%eth0", 1)),
        ("10.0.0.1:65535", Address("10.0.0.1", 65535)),
    ],
)
def test_addresses_round_trip(text: str, expected: Address) -> None:
    assert Address.parse(text) == expected
    assert Address.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "8080", "host", "host:", "host:-1", "host:65536", "::1:80", "h:٣", "h:1e3", "h:000080"]
)
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= Address.parse(text).port <= 65535


def test_peers_are_counted_by_ipv4_address_and_ipv6_network() -> None:
    assert peer_group("10.1.2.3") == "10.1.2.3"
    assert peer_group("::ffff:10.1.2.3") == "10.1.2.3"
    assert peer_group("2001:db8:1:2:3::9") == peer_group("2001:db8:1:2::1%eth0") == "2001:db8:1:2::/64"
    assert peer_group("") == ""


def test_the_printed_configuration_is_toml_that_gives_itself(tmp_path: Path) -> None:
    loaded = load_config(flags=[Given("data.dir", 'a"b\\c', "--data"), Given("flv.stalled_timeout_s", "2.5", "--set")])
    text = "\n".join(loaded.lines())
    assert "stalled_timeout_s = 2.5  # --set" in text
    assert load_config(file=write(tmp_path, text)).config == loaded.config
    sections = tomllib.loads(text)
    assert len(sections.pop("ladder")) == 1
    assert sum(map(len, sections.values())) == len(list(settings()))


def test_secrets_are_not_printed() -> None:
    loaded = load_config(
        flags=[Given("redis.url", "redis://:hush@db", "--set"), Given("rooms.token_keys", "hush", "--set")]
    )
    assert loaded.config.redis.url == "redis://:hush@db"
    assert "hush" not in "\n".join(loaded.lines())


def test_every_setting_is_described_and_within_its_own_bounds() -> None:
    for setting in settings():
        assert setting.doc.endswith("."), setting.name
        assert (setting.low is None) == (setting.high is None), setting.name
        if setting.low is not None and setting.high is not None:
            assert setting.low <= setting.default <= setting.high, setting.name
        if setting.key.endswith(("_s", "_ms", "_bytes")):
            assert setting.unit == setting.key.rpartition("_")[2], setting.name


def test_the_documentation_is_up_to_date() -> None:
    page = ROOT / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == render_docs(), "run `make docs`"


def test_patterns_are_a_list_in_toml_and_have_commas_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[record]\nrooms = ["demo", "vip-*"]\n')
    assert load_config(file=file).config.record.rooms == ("demo", "vip-*")
    given = [Given("record.rooms", " demo, vip-? ,", "--set record.rooms")]
    assert load_config(flags=given).config.record.rooms == ("demo", "vip-?")
    assert load_config(flags=[Given("record.rooms", "", "--set")]).config.record.rooms == ()


@pytest.mark.parametrize("value", ["true", "[1]", '["a/b"]', '["../x"]', '["[a]"]', '[""  , "a b"]'])
def test_patterns_that_name_no_room_are_refused(tmp_path: Path, value: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f"[record]\nrooms = {value}\n")
    with pytest.raises(ConfigError, match=r"a\.toml:2: record\.rooms = .* needs "):
        load_config(file=file)


def test_a_grace_that_the_whole_stop_has_no_time_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set: drain.grace_s = 60 must be below drain.timeout_s = 10"):
        load_config(flags=[Given("drain.grace_s", "60", "--set")])
