"""What a node says is checked: answers that are none, a node that is too busy, a node that lies."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import Overloaded, RemoteFault
from node.bundles.exporting import Exporter
from node.bundles.source import ChainSource
from tests.node import traffic
from tests.node.bundles.made import sources, status_of
from tests.node.two_chains import two_chains


class Faulty:
    """A client whose answers to one method are what a test says."""

    def __init__(self, inner: Any, method: str, *answers: Any) -> None:
        self._inner, self._method, self.answers = inner, method, list(answers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def call(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> Any:
        if method == self._method and self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return await self._inner.call(method, params, **more)


async def test_a_node_is_not_believed_and_a_busy_one_is_asked_again() -> None:
    async with two_chains(empty_block_ms=200) as world:
        await traffic.define(world)
        key = world.party("City Hospital").signing
        flow = await traffic.file_note(world.business.gateway, key)
        await status_of(world, flow, "open")
        other = await traffic.file_note(world.business.gateway, key)
        await status_of(world, other, "open")
        await world.calm()
        with tempfile.TemporaryDirectory() as directory:
            async with sources(world, Path(directory)) as (business, supervision):
                good = await business.client.call("proof.block", {"height": 3, "known_height": 0})
                for method, answer in (
                    ("proof.block", good),
                    ("proof.block", {"proof": "00"}),
                    ("proof.block", {"proof": "xyz"}),
                    ("proof.epochs", {"steps": ["00"], "complete": True}),
                    ("events.next", {"blocks": [{"height": 1}]}),
                    ("events.next", None),
                    ("proof.change", {"kind": "ChangeProof"}),
                ):
                    lying = ChainSource(Faulty(business.client, method, *[answer] * 40), business.genesis)  # type: ignore[arg-type]
                    with pytest.raises(RemoteFault):
                        await Exporter(lying, supervision).flow(flow)
                busy = Overloaded("busy", retry_after_ms=10)
                patient = ChainSource(Faulty(business.client, "proof.block", busy, busy, busy), business.genesis)  # type: ignore[arg-type]
                async with asyncio.timeout(60):
                    assert await Exporter(patient, supervision).flow(flow)
