"""Both chains of a consortium, committees rotating on one: a client believes neither's nodes and follows both."""

from __future__ import annotations

import pytest

from ledger.block import block_id
from ledger.errors import PeerMisbehaved
from ledger.rotation import RotationDoc
from ledger.state import contract_prefix
from node.client import Client
from node.proof_file import KIND_TRANSACTION, fetch_proof, verify_file
from node.rpc.methods_chain import ChainMethods
from node.rpc.methods_transactions import TransactionMethods
from node.rpc.proofs import ProofMethods
from tests.node.client.conftest import Serve
from tests.node.client.stage import Door
from tests.node.two_chains import Net, two_chains


def door_of(net: Net) -> Door:
    core = net.core(0)
    areas = (
        ChainMethods(core.chain, core.gateway),
        TransactionMethods(core.chain, core.gateway),
        ProofMethods(core.chain),
    )
    return Door({method.name: method for area in areas for method in area.table()})


async def test_what_happened_on_both_chains_is_proved_from_their_genesis_files(serve: Serve):
    rotation = RotationDoc(committee=4, epoch_blocks=4)
    async with two_chains(supervision_validators=5, rotation=rotation) as world:
        await world.calm()
        for net, record in ((world.business, "flow"), (world.supervision, "supervision")):
            chain, door = net.core(0).chain, door_of(net)
            async with Client(await serve(door), genesis=net.genesis) as client:
                latest = await client.follow()
                assert latest.block_id == block_id(chain.store.header(latest.height))
                blocks = [height for height in range(1, latest.height + 1) if chain.store.transactions(height)]
                for height in blocks[::5]:
                    block = await client.block(height=height)
                    for tx_id in map(bytes.fromhex, block["transactions"]):
                        proved = await client.proved_transaction(tx_id)
                        assert proved.header.height == height
                        assert proved.outcome == await client.outcome(tx_id)
                assert any(True for _ in chain.state.iterate(contract_prefix(record), limit=1))
                key, _ = next(chain.state.iterate(contract_prefix("admission")))
                assert (await client.proved_key(key)).value == chain.state.get(key)
            data = await fetch_proof(Asking(door), net.genesis, KIND_TRANSACTION, {"tx_id": tx_id.hex()})
            assert verify_file(data, net.genesis).facts["tx_id"] == tx_id.hex()
        changes = Changes(world.supervision).count()
        assert changes >= 2, "committees rotated while the consortium was set up"
        async with Client(await serve(door_of(world.supervision)), genesis=world.business.genesis) as client:
            with pytest.raises(PeerMisbehaved) as found:
                await client.follow()
            assert found.value.code.startswith("client_")


class Changes:
    """How often a chain's set has changed."""

    def __init__(self, net: Net) -> None:
        self.chain = net.core(0).chain

    def count(self) -> int:
        headers = [self.chain.store.header(height) for height in range(self.chain.tip.height + 1)]
        return sum(header.validators_hash != header.next_validators_hash for header in headers)


class Asking:
    """Asks a door without its socket."""

    def __init__(self, door: Door) -> None:
        self.door = door

    async def call(self, method: str, params=None, *, wait_s: float = 0.0):
        del wait_s
        return await self.door.answer(method, params or {})
