"""The ladder in the configuration: what it says, and how one that makes no sense is refused."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.rung import Rung
from media.track import Codec
from streamer.config import Config, ConfigError, Given, load_config
from streamer.config_ladder import MAX_RUNGS, LadderProblem, format_ladder, parse_ladder
from streamer.ladder import DEFAULT_LADDER, DEFAULT_RUNGS, Ladder, LadderEntry
from streamer.reload import plan_reload

VIP = """\
# the shop's own
[[ladder]]
rooms = ["vip-*", "main"]

[[ladder.rungs]]
name = "720p"
height = 720
bitrate = 3_000_000
profile = "high"
encoder = "h264_nvenc"
preset = "p4"

[[ladder.rungs]]
name = "480p-hevc"
codec = "h265"
height = 480
bitrate = 800_000
frame_rate = 25

[log]
level = "info"

[[ladder]]
rooms = ["quiet"]
rungs = []
"""


def load(tmp_path: Path, text: str) -> Ladder:
    file = tmp_path / "a.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file=file).config.ladder


def test_the_default_holds_for_every_room_and_is_in_order() -> None:
    assert Config().ladder.for_room("any") == DEFAULT_RUNGS
    assert [rung.name for rung in DEFAULT_RUNGS] == ["1080p", "720p", "480p", "360p"]


def test_rungs_are_read_and_completed(tmp_path: Path) -> None:
    ladder = load(tmp_path, VIP)
    assert ladder.for_room("vip-1") == ladder.for_room("main") == (
        Rung("720p", Codec.H264, 720, 3_000_000, preset="p4", profile="high", encoder="h264_nvenc"),
        Rung("480p-hevc", Codec.H265, 480, 800_000, 25.0, "ultrafast", "main", 2.0, "libx265"),
    )  # fmt: skip
    assert ladder.for_room("quiet") == ladder.for_room("other") == ()


def test_the_first_entry_that_names_a_room_counts() -> None:
    first, second = LadderEntry(("a*",), DEFAULT_RUNGS[:1]), LadderEntry(("*",), DEFAULT_RUNGS[1:])
    ladder = Ladder((first, second))
    assert ladder.for_room("ab") == DEFAULT_RUNGS[:1]
    assert ladder.for_room("b") == DEFAULT_RUNGS[1:]


def test_what_is_printed_is_read_again(tmp_path: Path) -> None:
    for ladder in (load(tmp_path, VIP), DEFAULT_LADDER, Ladder(())):
        assert load(tmp_path, "\n".join(format_ladder(ladder))) == ladder
    whole = load_config(flags=[Given("ladder", "[]", "--set ladder")])
    assert whole.config.ladder == Ladder(())
    assert "# ladder: --set ladder" in "\n".join(whole.lines())


def test_the_environment_and_flags_take_toml() -> None:
    text = '[{rooms=["x"], rungs=[{name="s", height=240, bitrate=200000}]}]'
    assert load_config(environment={"STREAMER_LADDER": text}).config.ladder.for_room("x")[0].preset == "veryfast"
    with pytest.raises(ConfigError, match=r"^STREAMER_LADDER: ladder needs TOML"):
        load_config(environment={"STREAMER_LADDER": "[{"})
    with pytest.raises(ConfigError, match=r"^--set ladder: ladder\[0\]\.rungs\[0\]\.height = 241 must be even$"):
        load_config(flags=[Given("ladder", text.replace("240", "241"), "--set ladder")])


RUNG = '[[ladder.rungs]]\nname = "{}"\nheight = {}\nbitrate = {}\n'
TOP = RUNG.format("720p", 720, 2_000_000)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (TOP + RUNG.format("720p", 480, 1_000_000), 6, r'rungs\[1\]\.name = "720p" is there twice'),
        (RUNG.format("source", 720, 2_000_000), 2, r'name = "source" is taken'),
        (RUNG.format("Opus", 720, 2_000_000), 2, r'name = "Opus" is taken'),
        (RUNG.format("Auto", 720, 2_000_000), 2, r'name = "Auto" is taken: it means what a network carries'),
        (TOP + RUNG.format("720P", 480, 1_000_000), 6, r'rungs\[1\]\.name = "720P" is too much like "720p"'),
        (
            TOP + "frame_rate = 15\n" + RUNG.format("b", 480, 99_999) + "frame_rate = 60\n",
            10,
            r"60 must be at most the 15",
        ),
        (TOP + "frame_rate = 15\n" + RUNG.format("b", 480, 99_999), 6, r"frame_rate = 0 must be at most the 15"),
        (TOP + 'codec = "h265"\n', 5, r'rungs\[0\]\.codec = "h265", as of all rungs here'),
        (RUNG.format("a b", 720, 2_000_000), 2, r'name = "a b" needs letters'),
        (TOP + 'codec = "av1"\n', 5, r'codec = "av1" needs one of h264, h265'),
        (TOP + 'encoder = "libx265"\n', 5, r'encoder = "libx265" needs one of libx264, h264_nvenc'),
        (TOP + 'preset = "p4"\n', 5, r'preset = "p4" needs one of ultrafast'),
        (TOP + 'encoder = "h264_vaapi"\npreset = "fast"\n', 6, r'preset = "fast" must be empty'),
        (TOP + 'profile = "high10"\n', 5, r'profile = "high10" needs one of baseline, main, high'),
        (TOP + 'codec = "h265"\nprofile = "high"\n', 6, r'profile = "high" needs one of main'),
        (RUNG.format("a", 721, 2_000_000), 3, r"height = 721 must be even"),
        (RUNG.format("a", 90, 2_000_000), 3, r"height = 90 must be at least 96"),
        (RUNG.format("a", 8640, 2_000_000), 3, r"height = 8640 must be at most 4320"),
        (RUNG.format("a", 720, 2), 4, r"bitrate = 2 must be at least 50000 b/s"),
        (RUNG.format("a", 720, "'2M'"), 4, r'bitrate = "2M" needs a whole number'),
        (TOP + "frame_rate = 0.5\n", 5, r"frame_rate = 0\.5 must be 0, or at least 1"),
        (TOP + "keyframe_interval = 20\n", 5, r"keyframe_interval = 20 must be at most 10 s"),
        (TOP + "fps = 20\n", 5, r"fps is no key: there are name, codec, height"),
        (TOP + RUNG.format("b", 1080, 1_000_000), 7, r"rungs\[1\]\.height = 1080 is above the 720 of 720p"),
        (TOP + RUNG.format("b", 480, 2_000_000), 8, r"rungs\[1\]\.bitrate = 2000000 must be below the 2000000 of 720p"),
        (TOP + '[[ladder.rungs]]\nname = "b"\n', 5, r"rungs\[1\] has no height"),
        (TOP * (MAX_RUNGS + 1), 33, r"are 9, and at most 8"),
        ('rungs = "720p"\n', 1, r"rungs needs tables"),
        ("rooms = []\n", 1, r"rooms = \[\] names no room"),
        ('rooms = ["a/b"]\n', 1, r"rooms = .* needs names"),
        ("room = 'x'\n", 1, r"room is no key"),
    ],
)
def test_a_ladder_without_sense_is_refused_with_its_line(tmp_path: Path, text: str, line: int, expected: str) -> None:
    """Below another entry, so that places are counted from the right one."""
    above = VIP + "[[ladder]]\n" + ("" if text.startswith("room") else 'rooms = ["*"]\n')
    line += above.count("\n")
    with pytest.raises(
        ConfigError, match=rf"a\.toml:{line}: ladder\[2\]\.?{expected if '[' in expected[:8] else '.*' + expected}"
    ):
        load(tmp_path, above + text)


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        (["*"], ["vip"], True),
        (["vip-*", "main"], ["vip-1*", "main"], True),
        (["vip-*"], ["vip-1", "main"], False),
        (["room?"], ["room*"], False),
        (["room?"], ["room?"], True),
    ],
)
def test_an_entry_that_never_counts_is_refused(
    tmp_path: Path, first: list[str], second: list[str], is_refused: bool
) -> None:
    text = f"[[ladder]]\nrooms = {first}\n[[ladder]]\nrooms = {second}\n"
    if not is_refused:
        assert len(load(tmp_path, text).entries) == 2
        return
    with pytest.raises(ConfigError, match=r"a\.toml:4: ladder\[1\]\.rooms = .* never counts"):
        load(tmp_path, text)


@pytest.mark.parametrize("text", ["ladder = 1", "[ladder]\nrooms = []", 'ladder = ["720p"]'])
def test_a_ladder_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.toml:1: ladder needs entries"):
        load(tmp_path, text)


def test_a_new_ladder_is_taken_up_by_a_reload() -> None:
    wanted = replace(Config(), ladder=Ladder(()))
    plan = plan_reload(Config(), wanted)
    assert (plan.config, plan.applied, plan.waiting) == (wanted, ("ladder",), ())


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["rooms", "rungs", "name", "height", "bitrate", "codec"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_anything_is_a_ladder_or_a_problem(raw: object) -> None:
    try:
        ladder = parse_ladder(raw)
    except LadderProblem:
        return
    assert parse_ladder(tomllib.loads("\n".join(format_ladder(ladder)))["ladder"]) == ladder
