"""What a changed configuration changes: the settings that a running node takes up, and those that need a restart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from streamer.config import Config
from streamer.config_ladder import LADDER
from streamer.config_schema import Setting, settings

__all__ = ["Reload", "plan_reload"]


@dataclass(frozen=True, slots=True)
class Reload:
    """`config` is what runs from now on. `applied` are new in it, `waiting` are new and not in it."""

    config: Config
    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def plan_reload(running: Config, wanted: Config) -> Reload:
    """Take from `wanted` what may change in a node that runs with `running`."""
    changed = [setting for setting in settings() if _value(running, setting) != _value(wanted, setting)]
    config = running
    for setting in changed:
        if setting.live:
            section = replace(getattr(config, setting.section), **{setting.key: _value(wanted, setting)})
            config = replace(config, **{setting.section: section})
    applied = [setting.name for setting in changed if setting.live]
    if wanted.ladder != running.ladder:
        config = replace(config, ladder=wanted.ladder)  # read anew by each broadcast that begins
        applied.append(LADDER)
    return Reload(
        config,
        applied=tuple(applied),
        waiting=tuple(setting.name for setting in changed if not setting.live),
    )


def _value(config: Config, setting: Setting) -> Any:
    return getattr(getattr(config, setting.section), setting.key)
