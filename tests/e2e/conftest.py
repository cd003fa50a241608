"""What the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.node import RunningNode, running_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that anyone may publish to. Each test takes rooms of its own."""
    with running_node(tmp_path_factory.mktemp("node"), "--open", "--set", "flv.join_wait_s=15") as node:
        yield node
