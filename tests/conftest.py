"""What all tests share: the switch that allows no skip, patience with slow examples, the browser and the pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
NO_SKIP = bool(os.environ.get("TEST_NO_SKIP"))

# By default an example that takes 200 ms fails its test: on a busy machine any may, whatever it tests.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _no_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: Any) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _no_skip(report)


def _no_skip(report: Report) -> Report:
    """With TEST_NO_SKIP a skip is a failure; an expected failure is not one."""
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, where TEST_NO_SKIP allows none: {reason}"
    return report


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium")
    return path


@pytest.fixture(scope="session")
def built_pages() -> None:
    """The pages and the SDK, as `make web` builds them."""
    from streamer.http_static import BUILT_PAGES  # not above: what else is here also serves tests without this project

    if not (BUILT_PAGES / "watch.html").exists():
        pytest.skip("the pages are not built: make web")
