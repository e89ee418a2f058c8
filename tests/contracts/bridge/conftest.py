"""Two chains that know each other."""

import pytest

from tests.contracts.bridge.kit import pair


@pytest.fixture
def chains():
    """(business, supervision)."""
    return pair()
