"""The Lua scripts: one file per atomic step, called by hash.

Every script must be idempotent: the store repeats a call whose answer was lost. A line `-- use NAME` stands for the
file `NAME.lua`: what several scripts share.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Script", "load_script"]

USE = re.compile(r"^-- use (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """Lua source and the SHA-1 that Redis knows it by."""

    name: str
    source: str
    sha: str

    def __repr__(self) -> str:
        return f"Script({self.name} {self.sha[:8]})"


@cache
def load_script(name: str, package: str = "interaction.scripts") -> Script:
    """The script in `NAME.lua` of `package`. Raises FileNotFoundError."""
    source = USE.sub(lambda used: _source(used[1], package), _source(name, package))
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _source(name: str, package: str) -> str:
    return files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")
