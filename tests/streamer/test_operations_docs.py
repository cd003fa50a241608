"""What operators read names what there is: health codes, requests, the unit's limits."""

from __future__ import annotations

import re
from pathlib import Path

from streamer.api_operations import OPERATIONS, PREFIX
from streamer.config import Config
from streamer.config_schema import settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
UNIT = (ROOT / "packaging" / "streamer.service").read_text(encoding="utf-8")


def test_every_health_code_is_explained() -> None:
    source = (ROOT / "ingest" / "health_findings.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source))
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_every_request_is_listed() -> None:
    for operation in OPERATIONS:
        path = PREFIX + operation.path.replace("{room}", "ROOM").replace("{id}", "ID")
        assert re.search(rf"{operation.method}[^|]*{re.escape(path)}", PAGE), f"{operation.method} {path}"


def test_every_setting_that_is_named_exists() -> None:
    known = {setting.name for setting in settings()}
    sections = "|".join({setting.section for setting in settings()})
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)(?: = [^`]+)?`", PAGE))
    assert len(named) >= 10
    assert named - known == set()


def test_the_unit_stops_reloads_and_limits_as_the_node_expects() -> None:
    unit = dict(line.split("=", 1) for line in UNIT.splitlines() if "=" in line and line[0] != "#")
    assert float(unit["TimeoutStopSec"]) > Config().drain.timeout_s
    assert int(unit["LimitNOFILE"]) > 2 * Config().flv.max_viewers + Config().rtmp.max_connections
    assert unit["Type"] == "notify"
    assert unit["KillSignal"] == "SIGTERM"
    assert "-HUP $MAINPID" in unit["ExecReload"]
