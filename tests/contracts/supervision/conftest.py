import pytest

from tests.contracts.supervision.world import World


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)
