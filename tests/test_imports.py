"""The shape of the house: imports point down, `wire` does no I/O, and `media` knows no web framework."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("streamer", "ingest", "relay", "interaction", "media", "wire", "bench")

# Which other packages each package may import.
ALLOWED = {
    "wire": set(),
    "media": {"wire"},
    "ingest": {"media", "wire"},
    "relay": {"media", "wire"},
    "interaction": {"media", "wire"},
    "streamer": {"ingest", "relay", "interaction", "media", "wire"},
    "bench": {"media", "wire"},
}
# The command dispatches to the load generators; nothing else of the node knows them.
LAZY = {"streamer.cli": {"bench"}}

# Sockets, clocks, tasks and randomness are arguments in `wire`, never imports.
NO_IO = {
    "aiohttp",
    "asyncio",
    "datetime",
    "io",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
    "uvloop",
}
# OpenSSL's DTLS has a clock and randomness of its own: the one module that may hold it. A certificate has dates. SRTP's
# ciphers are somebody else's.
WIRE_EXCEPTIONS: dict[str, set[str]] = {
    "wire.dtls": {"OpenSSL", "cryptography", "datetime"},
    "wire.srtp": {"cryptography", "pylibsrtp"},
}
# What else `wire` may use beside the standard library.
WIRE_THIRD_PARTY: set[str] = set()
NO_WEB = {"aiohttp", "uvloop"}


@dataclass(frozen=True)
class Import:
    module: str
    imported: str
    line: int
    lazy: bool

    @property
    def top(self) -> str:
        return self.imported.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.imported}"


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def _imports(package: str) -> Iterator[Import]:
    for file in _files(package):
        yield from _imports_of(_parse(file), _module(file), is_package=file.name == "__init__.py")


def _imports_of(tree: ast.Module, module: str, *, is_package: bool = False) -> Iterator[Import]:
    inside_functions = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        lazy = id(node) in inside_functions
        if isinstance(node, ast.Import):
            yield from (Import(module, name.name, node.lineno, lazy) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            yield from (Import(module, f"{base}.{name.name}", node.lineno, lazy) for name in node.names)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parents = module.split(".") if is_package else module.split(".")[:-1]
    return ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down(package: str) -> None:
    wrong = [
        entry
        for entry in _imports(package)
        if entry.top in PACKAGES
        and entry.top != package
        and entry.top not in ALLOWED[package]
        and not (entry.lazy and entry.top in LAZY.get(entry.module, ()))
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_wire_does_no_io() -> None:
    wrong = [
        entry
        for entry in _imports("wire")
        if entry.top in NO_IO and entry.top not in WIRE_EXCEPTIONS.get(entry.module, ())
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_wire_needs_the_standard_library_only() -> None:
    known = {*sys.stdlib_module_names, "wire", *WIRE_THIRD_PARTY}
    wrong = [
        entry
        for entry in _imports("wire")
        if entry.top not in known and entry.top not in WIRE_EXCEPTIONS.get(entry.module, ())
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_wire_opens_no_file() -> None:
    calls = [
        f"{_module(file)}:{node.lineno} calls {node.func.id}()"
        for file in _files("wire")
        for node in ast.walk(_parse(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"open", "print", "input", "__import__", "exec", "eval"}
    ]
    assert not calls, "\n".join(calls)


def test_media_knows_no_web_framework() -> None:
    wrong = [entry for entry in _imports("media") if entry.top in NO_WEB]
    assert not wrong, "\n".join(map(str, wrong))


def test_every_package_is_looked_at() -> None:
    assert set(ALLOWED) == set(PACKAGES)
    assert all(_files(package) for package in PACKAGES)


def test_the_walk_sees_every_form_of_import() -> None:
    source = "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\ndef h():\n    import i\n"
    found = [(entry.imported, entry.lazy) for entry in _imports_of(ast.parse(source), "x.y.z")]
    assert found == [("a.b", False), ("c.d", False), ("x.y.e", False), ("x.f.g", False), ("i", True)]
