"""What must always hold, watched from outside while the nodes of one chain run, and once more at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from consensus import effects as fx
from consensus.messages import Message, Prepare, Proposal, RoundChange, decode_message
from consensus.verify import kind_of, signed_bytes
from ledger.block import block_id
from ledger.certificate import VoteKind, verify_certificate
from ledger.chain_store import ChainStore
from ledger.errors import TidegateError
from ledger.keys import key_text
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.transaction import Transaction
from ledger.validators import ValidatorSet
from node.chain import Committed
from node.driver import is_ok
from node.votes import MAX_WAITING

if TYPE_CHECKING:
    from node.core import NodeCore
    from tests.sim.node.machine import Machine, Run
    from tests.sim.node.net import Net

SAME_EVERYWHERE = (Kind.STATE, Kind.TRANSACTIONS, Kind.RECEIPTS, Kind.CHANGES, Kind.TX_INDEX, Kind.BLOCK_INDEX)


class Watch:
    """See the module.

    Attributes:
        decided: block id by height, for ever: what any node committed.
        placed: (height, took effect) of every transaction in a block.
        acknowledged: transaction id → (name of the machine, number of its run) that took it from a client.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.decided: dict[int, bytes] = {}
        self.placed: dict[bytes, tuple[int, bool]] = {}
        self.acknowledged: dict[bytes, Run] = {}
        self._signed: dict[tuple[int, VoteKind, int, bytes], bytes] = {}
        self._seen: set[bytes] = set()
        self._by_key = {bytes(member.validator.public): index for index, member in enumerate(net.stage.members)}
        self.votes: list[bytes] = []
        self.sets: dict[int, ValidatorSet] = {1: net.stage.genesis.validator_set()}

    # --- wiring ---------------------------------------------------------------------------------------------------

    def on_built(self, machine: Machine, run: Run, core: NodeCore) -> None:
        """A node was made and has not started: listens to what it says and does."""
        met = self.net.world.met
        self._found(machine, core)
        state = core.driver._state
        if state.restored is not None and core.chain.tip.height + 1 == state.restored.height:
            met["restart_in_a_height"] += 1
            if state.restored.prepared is not None:
                met["restart_with_prepared_certificate"] += 1
        if core.driver.observing:
            met["observing_from_the_start"] += 1
        peers, driver, synchroniser = core.peers, core.driver, core.synchroniser
        broadcast, send, report = peers.broadcast_vote, peers.send_vote, driver._report
        import_block, on_decided, announced = driver.import_block, synchroniser.on_decided, synchroniser.on_announcement

        def broadcast_vote(payload: bytes, *, repeat: bool) -> None:
            self._said(machine, run, payload)
            broadcast(payload, repeat=repeat)

        def send_vote(to: Any, payload: bytes) -> None:
            self._said(machine, run, payload)
            send(to, payload)

        def reported(effect: Any) -> None:
            self._reported(machine, run, effect)
            report(effect)

        async def imported(*arguments: Any) -> None:
            before = core.chain.tip.height
            await import_block(*arguments)
            met["imported_block"] += core.chain.tip.height > before

        def decided(peer: Any, payload: bytes) -> None:
            met["straggler_push"] += 1
            on_decided(peer, payload)

        def announcement(peer: Any, item: Any) -> Any:
            tip = core.chain.tip.height
            met["announcement_ahead"] += item.block.header.height > tip
            met["early_block"] += item.block.header.height > tip + 1
            return announced(peer, item)

        peers.broadcast_vote, peers.send_vote = broadcast_vote, send_vote  # type: ignore[method-assign]
        driver._report, driver.import_block = reported, imported  # type: ignore[method-assign]
        synchroniser.on_decided, synchroniser.on_announcement = decided, announcement  # type: ignore[method-assign]
        core.listeners.append(lambda committed: self._committed(machine, run, core, committed))

    # --- at every step --------------------------------------------------------------------------------------------

    def _said(self, machine: Machine, run: Run, payload: bytes) -> None:
        if payload in self._seen or run.process.dead:
            return
        self._seen.add(payload)
        message = decode_message(payload)
        if bytes(message.signer) != bytes(machine.member.validator.public):
            return
        if len(self.votes) < 256:
            self.votes.append(payload)
        self._count(machine, message)
        kind = kind_of(message)
        place = (message.height, kind, message.round, bytes(message.signer))
        signed = signed_bytes(message, self.net.stage.genesis.chain_id)
        known = self._signed.setdefault(place, signed)
        if known != signed:
            if machine.amnesiac:
                self.net.world.met["amnesiac_signed_twice"] += 1
                return
            self.net.world.violate(
                f"{machine.name} signed two {kind.name} of height {message.height} round {message.round}"
            )

    def _count(self, machine: Machine, message: Message) -> None:
        met = self.net.world.met
        if isinstance(message, RoundChange):
            met["round_change"] += 1
            met["round_change_prepared"] += message.prepared is not None
        elif isinstance(message, Proposal) and message.round > 0:
            met["later_proposal"] += 1
            met["locked_reproposal"] += message.block.header.proposer != message.signer
        elif isinstance(message, Prepare):
            met["prepare"] += 1
        self.net.world.note(machine.name, f"says {kind_of(message).name} {message.height}/{message.round}")

    def _reported(self, machine: Machine, run: Run, effect: Any) -> None:
        met = self.net.world.met
        if run.process.dead:
            return
        self.net.world.note(machine.name, f"reports {type(effect).__name__}")
        match effect:
            case fx.ReportEvidence():
                index = self._by_key.get(bytes(effect.signer))
                met["evidence"] += 1
                if index is None or not self.net.machines[index].amnesiac:
                    self.net.world.violate(
                        f"{machine.name} accuses the honest {key_text(effect.signer)}: {effect.kind}"
                    )
            case fx.EnterObserve():
                met[f"observe:{effect.reason}"] += 1
                if not machine.amnesiac:
                    self.net.world.violate(f"{machine.name} observes although it forgot nothing: {effect.reason}")
            case fx.LeaveObserve():
                met["signs_again"] += 1
            case fx.RefuseBlock():
                met["block_refused"] += 1
            case fx.ReportSigningRefused():
                met["signing_refused"] += 1
            case _:
                pass

    def _committed(self, machine: Machine, run: Run, core: NodeCore, committed: Committed) -> None:
        if run.process.dead:
            return
        world = self.net.world
        header, height = committed.candidate.block.header, committed.height
        name = block_id(header)
        world.note(machine.name, f"commits {height} {name.hex()[:12]}")
        receipts = committed.candidate.result.receipts
        wires = [transaction.tx_id for transaction in committed.candidate.transactions]
        self._decide(machine, height, name, wires, receipts, committed.certificate.round)
        self._learn_set(height + 1, core.chain.validators)
        if committed.certificate.block_id != name:
            world.violate(f"{machine.name} committed {height} with the certificate of another block")
        self._bounds(machine, core)

    def _found(self, machine: Machine, core: NodeCore) -> None:
        """A node died after a block was on its disk and before it said so."""
        chain, tip = core.chain, core.chain.tip.height
        height = tip
        while height > 0 and height not in self.decided:
            height -= 1
        for missed in range(height + 1, tip + 1):
            self.net.world.met["died_between_disk_and_word"] += 1
            ids = [Transaction.decode(wire).tx_id for wire in chain.store.transactions(missed)]
            certificate = chain.store.certificate(missed)
            name = block_id(chain.store.header(missed))
            self._decide(machine, missed, name, ids, chain.store.receipts(missed), certificate.round)
            self._learn_set(missed, chain.seats_at(missed).validators)
        self._learn_set(tip + 1, chain.validators)

    def _learn_set(self, height: int, validators: ValidatorSet) -> None:
        known = self.sets.get(height)
        if known is None:
            self.sets[height] = validators
            changed = height > 1 and height - 1 in self.sets and self.sets[height - 1] != validators
            self.net.world.met["set_changed"] += changed
        elif known != validators:
            self.net.world.violate(f"two sets for height {height}")

    def _decide(
        self, machine: Machine, height: int, name: bytes, ids: Sequence[bytes], receipts: Sequence[bytes], round_: int
    ) -> None:
        world = self.net.world
        known = self.decided.get(height)
        if known is not None:
            if known != name:
                world.violate(f"two blocks of height {height}: {name.hex()} on {machine.name}, {known.hex()} elsewhere")
            return
        self.decided[height] = name
        world.met["height"] += 1
        world.met["late_round_decision"] += round_ > 0
        world.on_height(self.net, height)
        for tx_id, receipt in zip(ids, receipts, strict=False):
            if tx_id in self.placed:
                world.violate(f"transaction {tx_id.hex()} is in two blocks")
            self.placed[tx_id] = (height, is_ok(receipt))

    def _bounds(self, machine: Machine, core: NodeCore) -> None:
        limits = core.mempool._limits
        sizes = {
            "mempool": (len(core.mempool), limits.max_transactions),
            "mempool bytes": (core.mempool.size_bytes, limits.max_bytes),
            "inputs": (len(core.driver._inputs), MAX_WAITING + 64),
            "fetches": (len(core.gossip._fetcher), 256),
            "candidates": (len(core.chain._candidates), 8),
            "early": (len(core.intake._early), 64),
            "tasks": (len(machine.run.process.live_tasks()) if machine.run else 0, 512),
        }
        for name, (size, most) in sizes.items():
            if size > most:
                self.net.world.violate(f"{machine.name} holds {size} {name}, at most {most}")

    # --- at the end -----------------------------------------------------------------------------------------------

    def check_acknowledged(self) -> None:
        """What a node took from a client, and did not lose with its memory, is in a block or accounted for."""
        for tx_id, run in self.acknowledged.items():
            core = run.core
            if tx_id in self.placed or core is None or run.process.dead:
                continue
            if tx_id not in core.mempool and core.mempool.dropped_code(tx_id) is None:
                self.net.world.violate(f"{run.process.name} took {tx_id.hex()} and knows nothing of it now")

    def check_stores(self) -> None:
        """All nodes have ended: each stored block verifies alone, and everything that roots commit to is equal."""
        stores = [machine.disk.store() for machine in self.net.machines]
        genesis = self.net.stage.genesis
        first: dict[bytes, bytes] | None = None
        for machine, store in zip(self.net.machines, stores, strict=True):
            chain = ChainStore(store, genesis.chain_id, genesis.hash)
            for height in range(1, chain.height + 1):
                self._check_block(machine, chain, height)
            same = _committed_to(store)
            if first is None:
                first = same
            elif first != same:
                differing = sorted(key for key in first.keys() | same.keys() if first.get(key) != same.get(key))
                self.net.world.violate(f"{machine.name} differs from the first node in {differing[0]!r}")

    def _check_block(self, machine: Machine, chain: ChainStore, height: int) -> None:
        header, certificate = chain.header(height), chain.certificate(height)
        name = block_id(header)
        try:
            if certificate is None or certificate.block_id != name or self.decided.get(height) != name:
                self.net.world.violate(f"{machine.name} stores another block of height {height}")
            verify_certificate(certificate, self.net.stage.genesis.chain_id, self.net.validators_at(height))
        except TidegateError as error:
            self.net.world.violate(f"{machine.name} stores block {height} that does not verify: {error}")
        if header.parent != (self.decided[height - 1] if height > 1 else block_id(chain.header(0))):
            self.net.world.violate(f"{machine.name} stores block {height} on another parent")


def _committed_to(store: MemoryStore) -> dict[bytes, bytes]:
    return {key: value for key, value in store._open().items() if key[:1] in SAME_EVERYWHERE}
