"""JSON Schema (draft 2020-12, as OpenAPI 3.1 has it) of frozen dataclasses."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from inspect import cleandoc
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from streamer.api_answers import Timestamp

__all__ = ["schemas_of"]

Schema = dict[str, Any]
_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    dict: {"type": "object"},
    Timestamp: {"type": "string", "format": "date-time"},
}


def schemas_of(*roots: type) -> dict[str, Schema]:
    """By class name: the roots, and every dataclass and enumeration within them. TypeError for a type it cannot say."""
    found: dict[str, Schema] = {}
    for root in roots:
        _schema(root, found)
    return dict(sorted(found.items()))


def _schema(hint: Any, found: dict[str, Schema]) -> Schema:
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, StrEnum)):
        return _named(hint, found)
    arguments = get_args(hint)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(choice, found) for choice in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and arguments[1:] == (...,):
        return {"type": "array", "items": _schema(arguments[0], found)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1], found)}
    raise TypeError(f"{hint!r} has no schema")


def _named(kind: type, found: dict[str, Schema]) -> Schema:
    if kind.__name__ not in found:
        found[kind.__name__] = {}
        found[kind.__name__] = _enumeration(kind) if issubclass(kind, StrEnum) else _object(kind, found)
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _enumeration(kind: type[StrEnum]) -> Schema:
    return {"type": "string", "description": cleandoc(kind.__doc__ or ""), "enum": [str(member) for member in kind]}


def _object(kind: Any, found: dict[str, Schema]) -> Schema:
    hints = get_type_hints(kind)
    return {
        "type": "object",
        "description": cleandoc(kind.__doc__ or ""),
        "properties": {entry.name: _schema(hints[entry.name], found) for entry in fields(kind)},
        "required": [entry.name for entry in fields(kind) if entry.default is MISSING],
        "additionalProperties": False,
    }
