"""The extension in C, which is there where it was built."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["load_native"]


def load_native() -> ModuleType | None:
    """The extension module; None where it was not built, or cannot be loaded."""
    try:
        return import_module("relay._fanout")
    except ImportError:
        return None
