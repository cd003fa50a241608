"""The ladder in the configuration: read from TOML, checked as a whole, and written again."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, get_type_hints

from ingest.encoder_options import ENCODERS, PRESETS, PROFILES, SOFTWARE, family
from media.rung import Rung
from media.track import SOURCE, Codec
from relay.renditions import AUTO
from streamer.config_schema import Setting, describe, setting
from streamer.config_value import format_value, parse_value
from streamer.ladder import Ladder, LadderEntry

__all__ = [
    "LADDER",
    "REQUIRED",
    "LadderProblem",
    "RungSettings",
    "format_ladder",
    "parse_ladder",
    "place_in",
    "rung_settings",
]

LADDER = "ladder"
"""Its name in the file, in `--set ladder=...` and, in capitals, in the environment."""
MAX_ENTRIES = 100
MAX_RUNGS = 8
"""Of one room. Each costs a part of a core; players' menus and their switching know what to do with some five."""
FAST_BELOW = 720
"""Heights from which on the preset is a faster one, where none is given: they cost most and show least of it."""
REQUIRED = ("name", "height", "bitrate")
"""Keys that every rung must have."""
_RESERVED = frozenset({SOURCE, *Codec})
_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", re.ASCII)


class LadderProblem(ValueError):
    """The ladder makes no sense. `entry` and `rung` count from 0, None where it is about all of them."""

    def __init__(self, sentence: str, entry: int | None = None, rung: int | None = None, key: str | None = None):
        super().__init__(sentence)
        self.entry, self.rung, self.key = entry, rung, key

    @property
    def name(self) -> str:
        """The key as a person would look for it."""
        parts = [LADDER if self.entry is None else f"{LADDER}[{self.entry}]"]
        if self.rung is not None:
            parts.append(f"rungs[{self.rung}]")
        return ".".join([*parts, self.key] if self.key else parts)


@dataclass(frozen=True, slots=True)
class RungSettings:
    """One `[[ladder.rungs]]`. Only `name`, `height` and `bitrate` have to be given."""

    name: str = setting("", "What viewers ask for, as in `?rendition=720p`. Letters, digits, - and _.")
    codec: str = setting("h264", "Every browser plays H.264; few play H.265.", choices=("h264", "h265"))
    height: int = setting(
        0, "Rows; of an upright picture columns. Even. A higher rung than the source is left out.", low=96, high=4320
    )
    bitrate: int = setting(0, "The aim, and the bound over half a second.", unit="b/s", low=50_000, high=100_000_000)
    frame_rate: float = setting(0.0, "At most so many pictures a second. 0 takes all of the source's.", low=0, high=300)
    preset: str = setting(
        "", "The encoder's. Empty: `veryfast`, from 720 rows on `superfast`, and for H.265 `ultrafast`."
    )
    profile: str = setting("", "`baseline`, `main` or `high`; for H.265 `main`. Empty: `baseline`, which WebRTC needs.")
    keyframe_interval: float = setting(
        2.0, "The longest time between keyframes. All rungs of a room keep the shortest.", unit="s", low=0.5, high=10
    )
    encoder: str = setting("", "FFmpeg's name. Empty: `libx264` or `libx265`. Hardware is tried at the start.")


def rung_settings() -> Iterator[Setting]:
    """All keys of a rung."""
    hints = get_type_hints(RungSettings)
    for entry in fields(RungSettings):
        yield describe(f"{LADDER}.rungs", entry, hints[entry.name])


def parse_ladder(raw: Any) -> Ladder:
    """What TOML made of `[[ladder]]`, or TOML text of its value. LadderProblem."""
    if isinstance(raw, str):
        try:
            raw = tomllib.loads(f"{LADDER} = {raw}")[LADDER]
        except tomllib.TOMLDecodeError as exc:
            raise LadderProblem(f"needs TOML, for example []: {exc}") from exc
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise LadderProblem("needs entries: write [[ladder]], and [[ladder.rungs]] below it")
    if len(raw) > MAX_ENTRIES:
        raise LadderProblem(f"has {len(raw)} entries, and at most {MAX_ENTRIES} are allowed")
    entries = tuple(_entry(table, number) for number, table in enumerate(raw))
    _check_order(entries)
    return Ladder(entries)


def format_ladder(ladder: Ladder) -> Iterator[str]:
    """As TOML."""
    if not ladder.entries:
        yield f"{LADDER} = []"
    for entry in ladder.entries:
        yield f"[[{LADDER}]]"
        yield f"rooms = {format_value(entry.rooms)}"
        if not entry.rungs:
            yield "rungs = []"
        for rung in entry.rungs:
            yield f"[[{LADDER}.rungs]]"
            for name in RungSettings.__dataclass_fields__:
                value = getattr(rung, name)
                yield f"{name} = {format_value(0.0 if value is None else value)}"


def place_in(text: str, problem: LadderProblem) -> int:
    """The line of a TOML file that the problem is about, or the nearest one above it. 1 when nothing fits.

    tomllib tells values, not places: this finds tables under their own headers, and of an array in brackets its start.
    """
    wanted = (problem.entry or 0, -1 if problem.rung is None else problem.rung)
    entry = rung = -1
    is_ours, nearest = False, 1
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            name = header[1].replace(" ", "")
            is_ours = name in (LADDER, f"{LADDER}.rungs")
            entry, rung = (entry + 1, -1) if name == LADDER else (entry, rung + 1) if is_ours else (entry, rung)
        key = line.partition("=")[0].strip().strip("\"'")
        if (entry < 0 and key == LADDER) or (is_ours and (entry, rung) == wanted and key == problem.key):
            return number
        if is_ours and (header or key == "rungs") and (entry, rung) <= wanted:
            nearest = number
    return nearest


def _entry(table: Mapping[str, Any], number: int) -> LadderEntry:
    _check_keys(table, ("rooms", "rungs"), number, None)
    rooms = _value(_ROOMS, table.get("rooms", ["*"]), number, None)
    if not rooms:
        raise LadderProblem('= [] names no room: ["*"] names all', number, None, "rooms")
    raw = table.get("rungs", [])
    if not isinstance(raw, list) or not all(isinstance(rung, dict) for rung in raw):
        raise LadderProblem("needs tables: write [[ladder.rungs]], or rungs = [] for none", number, None, "rungs")
    if len(raw) > MAX_RUNGS:
        raise LadderProblem(f"are {len(raw)}, and at most {MAX_RUNGS} are allowed", number, MAX_RUNGS, None)
    rungs = tuple(_rung(rung, number, index) for index, rung in enumerate(raw))
    _check_together(rungs, number)
    if rungs and all(rung.codec is Codec.H265 for rung in rungs):
        sentence = '= "h265", as of all rungs here: players without it need one of H.264 as well'
        raise LadderProblem(sentence, number, 0, "codec")
    return LadderEntry(rooms, rungs)


def _check_order(entries: Sequence[LadderEntry]) -> None:
    """The first entry that names a room counts, so none may stand behind others that name all of its rooms."""
    before: list[str] = []
    for number, entry in enumerate(entries):
        if all(any(_covers(wider, pattern) for wider in before) for pattern in entry.rooms):
            sentence = f"= {format_value(entry.rooms)} never counts: entries before it name these rooms"
            raise LadderProblem(sentence, number, None, "rooms")
        before += entry.rooms


def _covers(wider: str, pattern: str) -> bool:
    """Does `wider` name every room that `pattern` names? False where that is hard to say."""
    return wider == pattern or (not set(wider) & set("?[") and fnmatchcase(pattern, wider))


def _rung(table: Mapping[str, Any], entry: int, number: int) -> Rung:
    known = {setting.key: setting for setting in rung_settings()}
    _check_keys(table, tuple(known), entry, number)
    for key in REQUIRED:
        if key not in table:
            raise LadderProblem(f"has no {key}", entry, number, None)
    values = {key: setting.default for key, setting in known.items()}
    values |= {key: _value(known[key], raw, entry, number) for key, raw in table.items()}
    _check_name(values["name"], entry, number)
    if values["height"] % 2:
        raise LadderProblem(f"= {values['height']} must be even", entry, number, "height")
    if values["frame_rate"] and values["frame_rate"] < 1:
        raise LadderProblem(f"= {values['frame_rate']:g} must be 0, or at least 1", entry, number, "frame_rate")
    return _complete(values, entry, number)


def _complete(values: dict[str, Any], entry: int, number: int) -> Rung:
    """With what depends on the codec and the encoder."""
    codec = Codec(values["codec"])
    encoder = values["encoder"] or SOFTWARE[codec]
    _check_choice(encoder, ENCODERS[codec], (entry, number, "encoder"))
    presets = PRESETS[family(encoder)]
    if values["preset"]:
        _check_choice(values["preset"], presets, (entry, number, "preset"))
    profile = values["profile"] or PROFILES[codec][0]
    _check_choice(profile, PROFILES[codec], (entry, number, "profile"))
    usual = "ultrafast" if codec is Codec.H265 else "superfast" if values["height"] >= FAST_BELOW else "veryfast"
    return Rung(
        values["name"],
        codec,
        values["height"],
        values["bitrate"],
        frame_rate=values["frame_rate"] or None,
        preset=values["preset"] or (usual if usual in presets else ""),
        profile=profile,
        keyframe_interval=values["keyframe_interval"],
        encoder=encoder,
    )


def _check_together(rungs: Sequence[Rung], entry: int) -> None:
    """Rules that span rungs: no name twice, and best first, within each codec, in height, bitrate and frame rate."""
    seen: dict[str, int] = {}
    last: dict[Codec, Rung] = {}
    for number, rung in enumerate(rungs):
        twin = seen.setdefault(rung.name.lower(), number)
        if twin != number:
            what = "is there twice" if rungs[twin].name == rung.name else f'is too much like "{rungs[twin].name}"'
            raise LadderProblem(f'= "{rung.name}" {what}', entry, number, "name")
        above = last.get(rung.codec)
        if above is not None and rung.height > above.height:
            sentence = (
                f"= {rung.height} is above the {above.height} of {above.name} before it: the best rung comes first"
            )
            raise LadderProblem(sentence, entry, number, "height")
        if above is not None and rung.bitrate >= above.bitrate:
            sentence = f"= {rung.bitrate} must be below the {above.bitrate} of {above.name} before it"
            raise LadderProblem(sentence, entry, number, "bitrate")
        if above is not None and above.frame_rate and (rung.frame_rate or math.inf) > above.frame_rate:
            sentence = f"= {rung.frame_rate or 0:g} must be at most the {above.frame_rate:g} of {above.name} before it"
            raise LadderProblem(sentence, entry, number, "frame_rate")
        last[rung.codec] = rung


def _check_name(name: str, entry: int, number: int) -> None:
    if name.lower() == AUTO:
        raise LadderProblem(f'= "{name}" is taken: it means what a network carries', entry, number, "name")
    if name.lower() in _RESERVED:
        raise LadderProblem(f'= "{name}" is taken: it means what the publisher sends', entry, number, "name")
    if not _NAME.fullmatch(name):
        raise LadderProblem(f'= "{name}" needs letters, digits, - and _, at most 32', entry, number, "name")


def _check_choice(value: str, choices: Sequence[str], where: tuple[int, int, str]) -> None:
    if value not in choices:
        allowed = f"needs one of {', '.join(choices)}" if choices else "must be empty: this encoder has none"
        raise LadderProblem(f'= "{value}" {allowed}', *where)


def _check_keys(table: Mapping[str, Any], known: Sequence[str], entry: int, rung: int | None) -> None:
    for key in table:
        if key not in known:
            raise LadderProblem(f"is no key: there are {', '.join(known)}", entry, rung, key)


def _value(setting: Setting, raw: Any, entry: int, rung: int | None) -> Any:
    try:
        return parse_value(setting, raw)
    except ValueError as exc:
        shown = format_value(raw) if isinstance(raw, str | int | float | list) else repr(raw)
        raise LadderProblem(f"= {shown} {exc}", entry, rung, setting.key) from exc


_ROOMS = Setting(LADDER, "rooms", tuple[str, ...], ("*",), "The rooms.", unit="", low=None, high=None, choices=())
