"""The checks that a body's fields are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

__all__ = ["BodyError", "choice", "currency", "identifier", "integer", "line", "parse_body", "schema", "url"]

Check = Callable[[Any], Any]
IDENTIFIER = re.compile(r"[A-Za-z0-9._:\-]{1,64}")
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
    CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY
    TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 - a list of so many would take a line each
)
"""ISO 4217, the codes that money is counted in."""
_REQUIRED = object()


class BodyError(ValueError):
    """A field is missing, unknown, of the wrong type or out of bounds. The message names it, with the numbers."""


@dataclass(frozen=True, slots=True)
class _Rule:
    check: Check
    schema: Mapping[str, Any]


def line(longest: int, *, default: Any = _REQUIRED) -> Any:
    """Text of 1 to `longest` characters without control characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise BodyError(f"must be text, not {type(value).__name__}")
        if not 1 <= len(value) <= longest:
            raise BodyError(f"has {len(value)} characters, allowed are 1 to {longest}")
        if not value.isprintable() and any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise BodyError("has control characters")
        return value

    return _field(check, {"type": "string", "minLength": 1, "maxLength": longest}, default)


def identifier(*, default: Any = _REQUIRED) -> Any:
    """1 to 64 of letters, digits and `._:-`."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
            raise BodyError("must be 1 to 64 of A-Z a-z 0-9 . _ : -")
        return value

    return _field(check, {"type": "string", "pattern": f"^{IDENTIFIER.pattern}$"}, default)


def integer(low: int, high: int, *, default: Any = _REQUIRED) -> Any:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BodyError(f"must be an integer, not {type(value).__name__}")
        if not low <= value <= high:
            raise BodyError(f"is {value}, allowed are {low} to {high}")
        return value

    return _field(check, {"type": "integer", "minimum": low, "maximum": high}, default)


def currency(*, default: Any = _REQUIRED) -> Any:
    """A code of ISO 4217, in capitals."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in CURRENCIES:
            raise BodyError("must be a currency of ISO 4217, as CNY")
        return value

    return _field(check, {"type": "string", "pattern": "^[A-Z]{3}$"}, default)


def choice(*values: Any, default: Any = _REQUIRED) -> Any:
    """One of `values`."""

    def check(value: Any) -> Any:
        if not any(value == allowed and type(value) is type(allowed) for allowed in values):
            raise BodyError(f"must be one of {', '.join(map(str, values))}")
        return value

    return _field(check, {"enum": list(values)}, default)


def url(*, default: Any = _REQUIRED) -> Any:
    """An https, http or root-relative address of at most 512 characters: never `javascript:`."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > 512 or not re.fullmatch(r"(https?://|/(?!/))[!-~]*", value):
            raise BodyError("must be an http, https or root-relative address of at most 512 characters")
        return value

    return _field(check, {"type": "string", "maxLength": 512, "pattern": "^(https?://|/(?!/))[!-~]*$"}, default)


def parse_body(form: type, value: Any) -> dict[str, Any]:
    """A peer's body, checked against the dataclass `form`. Optional fields that are absent stay so.

    Raises BodyError.
    """
    if not isinstance(value, Mapping):
        raise BodyError(f"the body must be a map, not {type(value).__name__}")
    known = {entry.name: entry for entry in fields(form)}
    if unknown := [str(key) for key in value if key not in known]:
        raise BodyError(f"there is no field {unknown[0][:64]}")
    body: dict[str, Any] = {}
    for name, entry in known.items():
        given = value.get(name)
        if given is None:
            if entry.default is MISSING:
                raise BodyError(f"{name} is missing")
            if entry.default is not None:
                body[name] = entry.default
            continue
        body[name] = _checked(name, entry.metadata["rule"], given)
    return body


def schema(form: type) -> dict[str, Any]:
    """The same as JSON Schema, for the documentation and for other tools."""
    return {
        "type": "object",
        "properties": {entry.name: dict(entry.metadata["rule"].schema) for entry in fields(form)},
        "required": [entry.name for entry in fields(form) if entry.default is MISSING],
        "additionalProperties": False,
    }


def _checked(name: str, rule: _Rule, value: Any) -> Any:
    try:
        return rule.check(value)
    except BodyError as exc:
        raise BodyError(f"{name} {exc}") from exc


def _field(check: Check, described: Mapping[str, Any], default: Any) -> Any:
    metadata = {"rule": _Rule(check, described)}
    return field(metadata=metadata) if default is _REQUIRED else field(default=default, metadata=metadata)
