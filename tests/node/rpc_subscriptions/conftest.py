"""The recorded chain, made before any test's event loop runs."""

from __future__ import annotations

import pytest

from tests.node.rpc_subscriptions.recorded import recorded


@pytest.fixture(scope="session", autouse=True)
def _recorded_chain() -> None:
    recorded()
