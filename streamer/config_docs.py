"""The page docs/configuration.md, made from the schema, so that it cannot be wrong.

`python -m streamer.config_docs > docs/configuration.md` writes it; a test compares.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from itertools import groupby

from streamer.config_ladder import REQUIRED, format_ladder, rung_settings
from streamer.config_schema import Config, Setting, settings
from streamer.config_value import format_value, type_name
from streamer.ladder import DEFAULT_LADDER

__all__ = ["render_docs"]

INTRODUCTION = """\
# Configuration

Made from the schema by `make docs`: do not edit.

A setting has four sources, and a later one wins: its default, the TOML file (`--config FILE` or `STREAMER_CONFIG`),
the environment (`STREAMER_HTTP_LISTEN` is `http.listen`), and the command line (`--set http.listen=:9000`, or its own
flag). `streamer config` prints every value with its source. A value that does not fit is refused with the key, the
value and the place, and so is a key that does not exist.

SIGHUP (`systemctl reload`) reads the same sources again. A setting with *yes* under "live" changes at once, without
dropping anybody; where it is about a connection or a broadcast and cannot change under it, it counts for the next one.
Any other changed setting is named in the log and waits for a restart. A configuration with a mistake is refused as a
whole, with its sentence in the log, and the node goes on as before.

An address is `HOST:PORT`, `:PORT` for all IPv4 addresses, or `[IPV6]:PORT`. Port 0 picks a free one, which is printed.
"""


TABLE = "| setting | default | allowed | live | meaning |\n|---|---|---|---|---|"
LADDER_TABLE = "| key of a rung | default | allowed | meaning |\n|---|---|---|---|"
LADDER_TEXT = """\
## [[ladder]]

The rungs that are encoded for viewers, per room; how they are chosen and what they cost is in [ladder.md](ladder.md).
Each `[[ladder]]` has `rooms`, patterns as in `record.rooms`, and up to eight `[[ladder.rungs]]`, best first. The first
entry that names a room counts; a room that none names, and one with `rungs = []`, has no ladder. A changed ladder
counts for broadcasts that begin after the reload. `--set 'ladder=[]'` and `STREAMER_LADDER` take the array as TOML.
"""


def render_docs() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    about = {section.name: (type(section.default).__doc__ or "").strip() for section in fields(Config)}
    for section, group in groupby(settings(), key=lambda setting: setting.section):
        parts.append(f"## [{section}]\n\n{about[section]}\n")
        rows = "\n".join(map(_row, group))
        parts.append(f"{TABLE}\n{rows}\n")
    default = "\n".join(format_ladder(DEFAULT_LADDER))
    rows = "\n".join(map(_ladder_row, rung_settings()))
    parts.append(f"{LADDER_TEXT}\n{LADDER_TABLE}\n{rows}\n\nWithout any `[[ladder]]`:\n\n```toml\n{default}\n```\n")
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    live = "yes" if setting.live else ""
    default = format_value(setting.default)
    return f"| `{setting.name}` | `{default}` | {_allowed(setting)} | {live} | {setting.doc} |"


def _ladder_row(setting: Setting) -> str:
    default = "must be given" if setting.key in REQUIRED else f"`{format_value(setting.default)}`"
    return f"| `{setting.key}` | {default} | {_allowed(setting)} | {setting.doc} |"


def _allowed(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices)
    if setting.low is None or setting.high is None:
        return type_name(setting)
    unit = f" {setting.unit}" if setting.unit else ""
    return f"{setting.low:.12g} to {setting.high:.12g}{unit}"


if __name__ == "__main__":
    sys.stdout.write(render_docs())
