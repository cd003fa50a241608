"""Checks a value against the part of JSON Schema that the API's description uses, and refuses any other part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["complaints"]

KNOWN = {"$ref", "type", "description", "enum", "anyOf", "items", "properties", "required", "additionalProperties"}
KNOWN |= {"format"}
TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
}
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def complaints(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Everything that does not fit."""
    unknown = schema.keys() - KNOWN
    assert not unknown, f"{at}: the checker does not know {unknown}"
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        yield from complaints(value, document["components"]["schemas"][name], document, at)
    if "type" in schema and not TYPES[schema["type"]](value):
        yield f"{at}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "anyOf" in schema and all(any(complaints(value, c, document, at)) for c in schema["anyOf"]):
        yield f"{at}: {value!r} fits no choice"
    if schema.get("format") == "date-time" and not DATE_TIME.fullmatch(value):
        yield f"{at}: {value!r} is no date-time"
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from complaints(item, schema["items"], document, f"{at}[{index}]")
    if isinstance(value, dict):
        yield from _members(value, schema, document, at)


def _members(value: dict[str, Any], schema: dict[str, Any], document: dict[str, Any], at: str) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value)
    others = schema.get("additionalProperties", True)
    for name, member in value.items():
        if name in known:
            yield from complaints(member, known[name], document, f"{at}.{name}")
        elif others is False:
            yield f"{at}: {name} is not described"
        elif isinstance(others, dict):
            yield from complaints(member, others, document, f"{at}.{name}")
