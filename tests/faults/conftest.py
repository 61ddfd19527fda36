"""A fork server, two small tables, and what they come to when nothing disturbs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.attempts import ForkServer
from tests.faults.small_tables import ONE_ROW, TWO_ROWS, SmallTable


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Runs command lines as real processes."""
    with ForkServer(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="session")
def two_rows(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> SmallTable:
    """A routed row with gate noise and a PVT, two epochs each, and their table."""
    return SmallTable.undisturbed(server, tmp_path_factory.mktemp("two_rows"), TWO_ROWS)


@pytest.fixture(scope="session")
def one_row(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> SmallTable:
    """A PVT, trained for two steps, and its table."""
    return SmallTable.undisturbed(server, tmp_path_factory.mktemp("one_row"), ONE_ROW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to work in."""
    return tmp_path
