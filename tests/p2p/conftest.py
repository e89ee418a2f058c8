"""Fixtures of the overlay's tests; every async test must leave no task and no trio run behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from tests.p2p.gossip_kit import Mesh
from tests.p2p.overlay_kit import Cluster


@pytest.fixture
async def clusters() -> AsyncIterator[list[Cluster]]:
    """Clusters that a test makes; stopped afterwards, and then nothing may be left."""
    made: list[Cluster] = []
    before = asyncio.all_tasks()
    yield made
    for cluster in made:
        await cluster.stop()
    guest = sys.modules.get("p2p.trio_guest")
    assert guest is None or not guest._guests, "a trio run was left behind"
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}, "tasks were left behind"


@pytest.fixture
def overlay(clusters: list[Cluster]) -> Cluster:
    """A cluster of real transports."""
    cluster = Cluster("libp2p")
    clusters.append(cluster)
    return cluster


@pytest.fixture
def memory(clusters: list[Cluster]) -> Cluster:
    """A cluster of in-memory transports."""
    cluster = Cluster("memory")
    clusters.append(cluster)
    return cluster


@pytest.fixture
async def mesh(clusters: list[Cluster]) -> AsyncIterator[Mesh]:
    """Gossiping nodes on the in-memory network."""
    made = Mesh()
    yield made
    await made.stop()
