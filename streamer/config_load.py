"""Defaults, then the TOML file, then the environment, then the flags. Every value remembers where it came from."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from streamer.config_ladder import LADDER, LadderProblem, format_ladder, parse_ladder, place_in
from streamer.config_schema import Config, Setting, settings
from streamer.config_value import format_value, parse_value
from streamer.ladder import Ladder

__all__ = ["ConfigError", "Given", "LoadedConfig", "load_config"]

ENVIRONMENT_PREFIX = "STREAMER_"
FILE_VARIABLE = "STREAMER_CONFIG"
"""Names the TOML file when no flag does; it is no setting itself."""
MAX_FILE_BYTES = 1 << 20
"""A configuration has some kilobytes; more is the wrong file."""
DEFAULT_SOURCE = "default"
HIDDEN = '"..."'
"""What is printed of a secret that is set."""


class ConfigError(Exception):
    """The configuration cannot be used. The message is one sentence that names the key, the value and the place."""


@dataclass(frozen=True, slots=True)
class Given:
    """One value that somebody gave: for which setting, as text or as TOML had it, and where."""

    name: str
    raw: Any
    source: str


@dataclass(frozen=True, slots=True)
class _GivenLadder(Given):
    """The ladder of a file, with the text that its lines are counted in."""

    file: Path
    text: str


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and for each setting's name the place that its value came from."""

    config: Config
    sources: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """The whole configuration as TOML, the source beside each value."""
        section = ""
        for setting in settings():
            if setting.section != section:
                yield f"{'' if not section else chr(10)}[{setting.section}]"
                section = setting.section
            held = getattr(getattr(self.config, section), setting.key)
            value = HIDDEN if setting.secret and held else format_value(held)
            yield f"{setting.key} = {value}  # {self.sources[setting.name]}"
        yield f"\n# {LADDER}: {self.sources[LADDER]}"
        yield from format_ladder(self.config.ladder)


def load_config(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Iterable[Given] = (),
) -> LoadedConfig:
    """Join the sources. A later one wins. Raises ConfigError."""
    environment = environment or {}
    named = environment.get(FILE_VARIABLE)
    file = file or (Path(named) if named else None)
    given = [*(_from_file(file) if file else ()), *_from_environment(environment), *flags]
    return _apply(given)


def _apply(given: Iterable[Given]) -> LoadedConfig:
    known = {setting.name: setting for setting in settings()}
    sources = dict.fromkeys([*known, LADDER], DEFAULT_SOURCE)
    values: dict[str, dict[str, Any]] = {section.name: {} for section in fields(Config) if section.name != LADDER}
    config = Config()
    for entry in given:
        if entry.name == LADDER:
            config = replace(config, ladder=_ladder(entry))
            sources[LADDER] = entry.source
            continue
        setting = known.get(entry.name)
        if setting is None:
            raise ConfigError(f"{entry.source}: there is no setting {entry.name}{_suggestion(entry.name, known)}")
        values[setting.section][setting.key] = _value(setting, entry)
        sources[setting.name] = entry.source
    config = replace(config, **{name: replace(getattr(config, name), **changed) for name, changed in values.items()})
    _check_together(config, sources)
    return LoadedConfig(config, sources)


def _value(setting: Setting, entry: Given) -> Any:
    try:
        return parse_value(setting, entry.raw)
    except ValueError as exc:
        shown = format_value(entry.raw) if isinstance(entry.raw, str | int | float | list) else repr(entry.raw)
        raise ConfigError(f"{entry.source}: {setting.name} = {shown} {_sentence(str(exc))}") from exc


def _ladder(entry: Given) -> Ladder:
    try:
        return parse_ladder(entry.raw)
    except LadderProblem as exc:
        source = entry.source
        if isinstance(entry, _GivenLadder):
            source = f"{entry.file}:{place_in(entry.text, exc)}"
        raise ConfigError(f"{source}: {exc.name} {exc}") from exc


def _sentence(text: str) -> str:
    return text if text.startswith(("needs ", "must ")) else f"is refused: {text}"


def _check_together(config: Config, sources: Mapping[str, str]) -> None:
    """Rules that span two settings."""
    for given, missing in (("cert", "key"), ("key", "cert")):
        if getattr(config.tls, given) and not getattr(config.tls, missing):
            raise ConfigError(f"{sources[f'tls.{given}']}: tls.{given} is set, but tls.{missing} is not")
    if config.drain.grace_s >= config.drain.timeout_s:
        raise ConfigError(
            f"{sources['drain.grace_s']}: drain.grace_s = {config.drain.grace_s:g} must be below"
            f" drain.timeout_s = {config.drain.timeout_s:g}, which includes it"
        )
    if config.access.backoff_first_s > config.access.backoff_max_s:
        raise ConfigError(
            f"{sources['access.backoff_first_s']}: access.backoff_first_s = {config.access.backoff_first_s:g} is above"
            f" access.backoff_max_s = {config.access.backoff_max_s:g}"
        )


def _from_file(file: Path) -> Iterator[Given]:
    text = _read(file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{file}: not valid TOML: {exc}") from exc
    sections = {section.name for section in fields(Config)}
    for section, table in document.items():
        if section == LADDER:
            yield _GivenLadder(LADDER, table, str(file), file, text)
            continue
        where = f"{file}:{_line_of(text, section)}"
        if section not in sections:
            raise ConfigError(f"{where}: there is no section [{section}]{_suggestion(section, sections)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {section} is a section: write [{section}] and its keys below")
        for key, raw in table.items():
            yield Given(f"{section}.{key}", raw, f"{file}:{_line_of(text, section, key)}")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as source:
            content = source.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from exc
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: is longer than {MAX_FILE_BYTES} bytes, so it is no configuration")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file}: byte {exc.start} is not UTF-8") from exc


def _line_of(text: str, section: str, key: str | None = None) -> int:
    """The line that gives `key` in `section`, or names the section. tomllib tells values, not places.

    Good enough for what this schema holds: bare or quoted keys, dotted or under a header. 1 when nothing fits.
    """
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            current = _bare(header[1])
            if key is None and current == section:
                return number
            continue
        name = _bare(line.partition("=")[0])
        full = f"{current}.{name}" if current else name
        if (full == f"{section}.{key}") if key else full.split(".")[0] == section:
            return number
    return 1


def _bare(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _from_environment(environment: Mapping[str, str]) -> Iterator[Given]:
    known = {setting.variable: setting.name for setting in settings()}
    known[f"{ENVIRONMENT_PREFIX}{LADDER.upper()}"] = LADDER
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable not in known:
            raise ConfigError(
                f"the environment has {variable}, but no setting is called so{_suggestion(variable, known)}"
            )
        yield Given(known[variable], environment[variable], variable)


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
