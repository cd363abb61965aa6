from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.databases import Databases, databases


@pytest.fixture(scope="session")
def world_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Databases for worlds, on a PostgreSQL server of their own, which is restarted under them."""
    with databases(tmp_path_factory.mktemp("run")) as made:
        yield made
