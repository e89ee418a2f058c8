"""Both stores, for every test that takes ``make_store`` or the chain ``built`` over one."""

import sys
from pathlib import Path

import pytest

from ledger.store_leveldb import LevelStore
from ledger.store_memory import MemoryStore

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["memory", "leveldb"])
def kind(request):
    return request.param


@pytest.fixture
def make_store(kind, tmp_path):
    made = []

    def make(name="store"):
        made.append(MemoryStore() if kind == "memory" else LevelStore(str(tmp_path / name)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def built(make_store):
    """A builder whose chain has six blocks; ``made`` is what they are of."""
    from chains import Builder

    builder = Builder(make_store()).initialise()
    builder.made = builder.grow(6)
    return builder
