"""One value: from text or TOML to its type, within its bounds, and back to text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamer.address import Address, AddressList
from streamer.config_schema import Setting
from streamer.origins import OriginList, parse_origin

__all__ = ["format_value", "parse_value", "type_name"]

TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "0"})

_PATTERN = re.compile(r"[A-Za-z0-9_.*?-]{1,64}", re.ASCII)


def parse_value(setting: Setting, raw: Any) -> Any:
    """The value of `raw`, which is text or what TOML made of it. Raises ValueError: "needs ...", without the key."""
    if raw == "" and setting.default == "":
        return raw  # empty means "not set" where it is the default
    value = _READERS[setting.annotation](raw)
    if setting.choices and value not in setting.choices:
        raise ValueError(f"needs one of {', '.join(setting.choices)}")
    _check_bounds(setting, value)
    return value


def format_value(value: Any) -> str:
    """The value as TOML would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    return _quoted("" if value is None else str(value))


def type_name(setting: Setting) -> str:
    """What a person calls the type."""
    return _NAMES[setting.annotation]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check_bounds(setting: Setting, value: Any) -> None:
    unit = f" {setting.unit}" if setting.unit else ""
    if setting.low is not None and value < setting.low:
        raise ValueError(f"must be at least {setting.low:.12g}{unit}")
    if setting.high is not None and value > setting.high:
        raise ValueError(f"must be at most {setting.high:.12g}{unit}")


def _read_bool(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if isinstance(raw, str) and word in TRUE_WORDS | FALSE_WORDS:
        return word in TRUE_WORDS
    raise ValueError("needs true or false")


def _read_int(raw: Any) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    try:
        return int(_text(raw), 10)
    except ValueError:
        raise ValueError("needs a whole number") from None


def _read_float(raw: Any) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        value = float(raw)
    else:
        try:
            value = float(_text(raw))
        except ValueError:
            raise ValueError("needs a number") from None
    if math.isnan(value):  # TOML and float() both know nan, which no bound would catch
        raise ValueError("needs a number")
    return value


def _read_str(raw: Any) -> str:
    text = _text(raw)
    if not text:
        raise ValueError("needs a text that is not empty")
    return text


def _read_path(raw: Any) -> Path:
    return Path(_read_str(raw)).expanduser()


def _read_optional_path(raw: Any) -> Path | None:
    return _read_path(raw) if raw != "" else None


def _read_address(raw: Any) -> Address:
    return Address.parse(_text(raw))


def _read_patterns(raw: Any) -> tuple[str, ...]:
    """A TOML array, or names with commas between them, as the environment and flags have it."""
    parts = _text(raw).split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple):
        raise ValueError('needs a list of names, for example ["demo", "vip-*"]')
    patterns = tuple(filter(None, map(_text, parts)))
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f"needs names of letters, digits, - _ . with * and ?, and {pattern!r} is none")
    return patterns


def _read_addresses(raw: Any) -> AddressList:
    """The same for addresses and host names, each with a port or without."""
    parts = _text(raw).split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple):
        raise ValueError('needs a list of addresses, for example ["192.0.2.1", "live.example.com:8189"]')
    return AddressList(tuple(filter(None, map(_text, parts))))


def _read_origins(raw: Any) -> OriginList:
    """The same for origins, or `*`."""
    parts = _text(raw).split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple):
        raise ValueError('needs a list of origins, for example ["https://shop.example"], or ["*"]')
    return OriginList(tuple(map(parse_origin, filter(None, map(_text, parts)))))


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("needs a text in quotes")
    return raw.strip()


_READERS: dict[Any, Callable[[Any], Any]] = {
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_str,
    Path: _read_path,
    Path | None: _read_optional_path,
    Address: _read_address,
    tuple[str, ...]: _read_patterns,
    AddressList: _read_addresses,
    OriginList: _read_origins,
}

_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Path | None: "path, or empty",
    Address: "HOST:PORT",
    tuple[str, ...]: "list of names",
    AddressList: "list of addresses",
    OriginList: "list of origins",
}
