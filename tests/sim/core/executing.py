"""What the rest of a node does for consensus: builds, executes and writes blocks, hands decided ones on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consensus import effects as do
from consensus import inputs as on
from consensus.verify import verify_block
from ledger.block import Block, block_id
from ledger.certificate import CommitCertificate, verify_certificate
from ledger.errors import InvalidInput
from ledger.types import Hash32
from tests.sim.core.material import BAD, CHAIN, GENESIS, WALL, make_block, verify

if TYPE_CHECKING:
    from tests.sim.core.process import Process

MAX_SERVED_BLOCKS: Final = 64


class Decided:
    """A committed block with its certificate, or what the adversary says is one."""

    __slots__ = ("block", "certificate", "forged", "id")

    def __init__(self, block: Block, certificate: CommitCertificate, id_: Hash32, *, forged: bool = False) -> None:
        self.block = block
        self.certificate = certificate
        self.id = id_
        self.forged = forged


def on_build(process: Process, effect: do.BuildBlock) -> None:
    """A block is made."""
    cluster = process.cluster
    if effect.height == len(process.chain) + 1:
        parent = process.chain[-1].id if process.chain else GENESIS
        wall = WALL + cluster.now + process.wall_skew_ms
        time_ms = max(wall, effect.after_ms + 1)
        made = make_block(cluster.plan, effect.height, process.key, parent, time_ms, serial=cluster.serial())
        cluster.oracle.memory.found_good(process, block_id(made.header))
        process.give(on.BlockBuilt(effect.height, effect.round, made))


def on_check(process: Process, effect: do.CheckBlock) -> None:
    """A block was executed."""
    header = effect.block.block.header
    height = len(process.chain) + 1
    if effect.height == height:
        ok = (
            header.receipts_root[0] != BAD
            and header.parent == (process.chain[-1].id if process.chain else GENESIS)
            and header.next_validators_hash == process.cluster.plan.at(height + 1).hash
        )
        if ok:
            process.cluster.oracle.memory.found_good(process, effect.block.id)
        process.give(on.BlockChecked(effect.height, effect.block.id, ok, "" if ok else "roots"))


def on_commit(process: Process, effect: do.CommitBlock) -> None:
    """The batch is written: block and certificate are durable together."""
    if effect.certificate.height == len(process.chain) + 1:
        process.cluster.oracle.memory.commits(process, effect.block.id)
        process.decide(effect.block, effect.certificate)


def on_decided(process: Process, blocks: list[Decided]) -> None:
    """A peer sent decided blocks: checked like our own, and without believing any height."""
    life = process.life
    for decided in blocks:
        if decided.certificate.height == len(process.chain) + 1 and process.life == life:
            here = process.cluster.plan.at(decided.certificate.height)
            try:
                verify_certificate(decided.certificate, CHAIN, here.validators, verify)
            except InvalidInput:
                if not decided.forged:
                    raise
                process.cluster.count("forged_decision_refused")
                return
            process.cluster.count("imported")
            process.decide(verify_block(decided.block), decided.certificate)


def on_asked_decided(process: Process, question: tuple[Process, int]) -> None:
    """Somebody wants blocks from a height on."""
    asker, height = question
    if len(process.chain) >= height:
        blocks = process.chain[height - 1 : height - 1 + MAX_SERVED_BLOCKS]
        process.cluster.to_process(process, asker, on_decided, blocks)
