"""The small relay that the bench is tried against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.flv_relay import Relay, running_relay


@pytest.fixture
def relay() -> Iterator[Relay]:
    with running_relay(Relay()) as running:
        yield running
