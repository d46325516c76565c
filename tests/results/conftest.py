from collections.abc import Iterator
from typing import Any

import pytest

from results.reader import Reader, connect
from results.store import Store
from tests.results.technique_facts import techniques


@pytest.fixture
def ask(kept: Store) -> Iterator[Any]:
    """Rows that a query gives, of the store that the module keeps."""
    readers: list[Reader] = []

    def asked(query: str) -> list[tuple[Any, ...]]:
        readers.append(connect(kept.path))
        return readers[-1].sql(query).fetchall()

    yield asked
    for reader in readers:
        reader.close()


@pytest.fixture(scope="session")
def technique_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A campaign of techniques, which no test changes."""
    return techniques(tmp_path_factory.mktemp("techniques") / "s.duckdb")
