"""The invariants of DESIGN.md 10, asserted where things happen, by rules written apart from the product's.

It sees everything that an honest process ever said, over all its lives.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from consensus import effects as do
from consensus.messages import Commit, Message, Prepare, Proposal, RoundChange
from consensus.state import MAX_CHECKS, MAX_KEPT_BLOCKS
from consensus.verified import VerifiedBlock
from consensus.verify import signed_bytes
from ledger.block import block_id
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from tests.sim.core.justified import is_justified
from tests.sim.core.material import BAD, CHAIN, GENESIS, NAMES, SetPlan, proposer
from tests.sim.core.memory import Memory
from tests.sim.outcome import Violation

if TYPE_CHECKING:
    from tests.sim.core.cluster import Cluster
    from tests.sim.core.process import Process

KIND = {Proposal: 0, Prepare: 1, Commit: 2, RoundChange: 3}


def content(message: Message) -> object:
    """What two messages of one signer, height, round and kind must have in common."""
    match message:
        case Proposal():
            return message.block, message.justification
        case RoundChange():
            return None if message.prepared is None else (message.prepared.round, message.prepared.block_id)
        case _:
            return message.block_id


def named(message: Message) -> str:
    """The message in words."""
    return f"{type(message).__name__} ({message.height}, {message.round}) of {NAMES.get(message.signer, '?')}"


class Oracle:
    """See the module.

    Attributes:
        record: (height, round, kind) to signer to message: what the honest said.
        decisions: height to block id: ever, by any honest process.
        bodies: block id to block, of every proposal that an honest process made or the adversary let it see.
        faulty: keys that evidence may name.
    """

    def __init__(self, cluster: Cluster, plan: SetPlan) -> None:
        self.cluster = cluster
        self.plan = plan
        self.record: defaultdict[tuple[int, int, type[Any]], dict[bytes, Message]] = defaultdict(dict)
        self.decisions: dict[int, bytes] = {}
        self.times: dict[int, int] = {}
        self.bodies: dict[bytes, Any] = {}
        self.faulty: set[bytes] = set()
        self.memory = Memory()
        self.digests: dict[tuple[VoteKind, int, int, bytes], bytes] = {}

    # --- what leaves a process --------------------------------------------------------------------------------------

    def said(self, process: Process, message: Message, *, repeat: bool = False) -> None:
        """No honest equivocation; nothing leaves before it is durable; nobody goes back; the right form."""
        kind = type(message)
        by_signer = self.record[message.height, message.round, kind]
        known = by_signer.get(message.signer)
        if known is message:
            return
        if process.suspect:
            by_signer[message.signer] = message
            return
        if known is not None:
            if content(known) != content(message):
                raise Violation(f"equivocation of an honest validator: {named(message)}")
            return
        if message.signer != process.key:
            raise Violation(f"{process.name} broadcast as its own: {named(message)}")
        by_signer[message.signer] = message
        place, before = (message.height, message.round), process.spoke
        if place < before and not repeat:  # what a crash kept back goes out with what followed it
            raise Violation(f"{process.name} spoke at {before} and now {named(message)}")
        process.spoke = max(place, before)
        if message.round > 1 + (before[1] if before[0] == message.height else 0):
            self.cluster.count("round_jump")
        vote = process.disk.votes.get((KIND[kind], *place))
        if vote is None or vote.signature != message.signature:
            raise Violation(f"left before it was durable: {named(message)}")
        here = self.plan.at(message.height)
        if message.signer not in here.validators or message.epoch != here.epoch.number:
            raise Violation(f"not a validator of that height or epoch: {named(message)}")
        if process.state.observing is not None and not process.syncing and self.cluster.sync_ms == 0:
            raise Violation(f"an observer signed: {named(message)}")
        self._check_form(process, message)

    def _check_form(self, process: Process, message: Message) -> None:
        match message:
            case Proposal():
                self._check_proposal(message)
            case Prepare():
                self._check_prepare(process, message)
            case Commit():
                self._check_commit(process, message)
            case RoundChange():
                self._check_round_change(process, message)

    def _check_proposal(self, message: Proposal) -> None:
        here = self.plan.at(message.height)
        self.bodies[block_id(message.block.header)] = message.block
        if proposer(here, message.height, message.round) != message.signer:
            raise Violation(f"proposed out of turn: {named(message)}")
        if not is_justified(message, here):
            raise Violation(f"an honest proposal is not justified: {named(message)}")
        if message.round:
            again = bool(message.justification.prepares)
            self.cluster.count("locked_reproposal" if again else "fresh_reproposal")
            if again and message.block.header.proposer != message.signer:
                self.cluster.count("reproposal_of_anothers_block")

    def _check_prepare(self, process: Process, message: Prepare) -> None:
        current = process.state.current
        taken = None if current is None else current.proposal
        if taken is None or current is None or (current.height, current.round) != (message.height, message.round):
            return  # said in a batch whose later steps have left the round
        if taken.block.id != message.block_id:
            raise Violation(f"prepared something else than was proposed: {named(message)}")
        block = taken.message.block
        header, here = block.header, self.plan.at(message.height)
        # By height: a block may have been imported while the PREPARE waited for its sync.
        parent = process.chain[message.height - 2].id if message.height > 1 else GENESIS
        if header.receipts_root[0] == BAD or header.parent != parent or header.validators_hash != here.hash:
            raise Violation(f"prepared a block that execution refuses: {named(message)}")
        if taken.message.signer != proposer(here, message.height, message.round):
            raise Violation(f"prepared what another than the proposer proposed: {named(message)}")
        if not is_justified(taken.message, here):
            raise Violation(f"prepared an unjustified proposal: {named(message)}")

    def _check_commit(self, process: Process, message: Commit) -> None:
        lock = process.disk.locks.get((message.height, message.round))
        if lock is None or lock.certificate.block_id != message.block_id:
            raise Violation(f"no durable certificate behind {named(message)}")
        if block_id(lock.block.header) != message.block_id:
            raise Violation(f"the body beside the certificate is another block's: {named(message)}")
        digest = self._digest(VoteKind.PREPARE, message.height, message.round, message.block_id)
        self._check_seals(message, lock.certificate.prepares, digest)

    def _check_seals(self, message: Message, seals: tuple[tuple[bytes, bytes], ...], digest: bytes) -> None:
        here = self.plan.at(message.height)
        good = {key for key, signature in seals if key in here.validators and signature == key + digest}
        if len(good) < here.quorum or len(good) != len(seals):
            raise Violation(f"a certificate without a quorum behind {named(message)}")

    def _check_round_change(self, process: Process, message: RoundChange) -> None:
        self.cluster.count("round_change")
        lock = process.disk.lock_below(message.height, message.round)
        if lock is not None:
            self.cluster.count("round_change_with_lock")
            if message.prepared != lock.certificate:
                raise Violation(f"a forgotten lock of round {lock.certificate.round}: {named(message)}")
        elif message.prepared is not None:
            raise Violation(f"names a certificate that is not durable: {named(message)}")

    def _digest(self, kind: VoteKind, height: int, round_: int, name: bytes) -> bytes:
        place = (kind, height, round_, name)
        found = self.digests.get(place)
        if found is None:
            found = self.digests[place] = vote_digest(
                CHAIN, self.plan.at(height).epoch.number, kind, height, round_, name
            )
        return found

    # --- decisions --------------------------------------------------------------------------------------------------

    def decided(self, process: Process, block: VerifiedBlock, certificate: CommitCertificate) -> None:
        """One decision a height ever; the block verifies alone, with the set of its height."""
        if process.faulty:
            return
        height, name = certificate.height, block.id
        here = self.plan.at(height)
        known = self.decisions.setdefault(height, name)
        if known != name:
            raise Violation(f"two decisions at height {height}: {known.hex()[:8]} and {name.hex()[:8]}")
        header = block.block.header
        if certificate.block_id != name or header.height != height or height != len(process.chain) + 1:
            raise Violation(f"{process.name} commits a block that its certificate does not name")
        if header.receipts_root[0] == BAD or header.parent != (process.chain[-1].id if process.chain else GENESIS):
            raise Violation(f"{process.name} commits a block that does not verify, at height {height}")
        if header.epoch != here.epoch.number or header.validators_hash != here.hash:
            raise Violation(f"{process.name} commits a block of another set, at height {height}")
        digest = self._digest(VoteKind.COMMIT, height, certificate.round, name)
        good = {key for key, seal in certificate.seals if key in here.validators and seal == key + digest}
        if len(good) < here.quorum or certificate.epoch != here.epoch.number:
            raise Violation(f"{process.name} commits height {height} with {len(good)} good seals")
        if certificate.round:
            self.cluster.count("decided_in_a_later_round")
        self.times.setdefault(height, self.cluster.now)

    # --- evidence, observing, bounds --------------------------------------------------------------------------------

    def evidence(self, process: Process, effect: do.ReportEvidence) -> None:
        """Names only the faulty, and proves what it says."""
        self.cluster.count(f"evidence_{effect.kind.value}")
        first, second = effect.first, effect.second
        if effect.signer not in self.faulty:
            raise Violation(f"evidence ({effect.kind.value}) against the honest {NAMES[effect.signer]}")
        signed = [signed_bytes(one, CHAIN) for one in (first, second) if one is not None]
        if any(one.signature != effect.signer + digest for one, digest in zip((first, second), signed, strict=False)):
            raise Violation(f"evidence with a wrong signature against {NAMES[effect.signer]}")
        if effect.kind is do.EvidenceKind.UNJUSTIFIED_PROPOSAL:
            proved = isinstance(first, Proposal) and not is_justified(first, self.plan.at(first.height))
        elif second is None:
            proved = False
        elif effect.kind is do.EvidenceKind.CONFLICTING_MESSAGES:
            proved = (first.height, first.round, type(first)) == (second.height, second.round, type(second))
            proved = proved and content(first) != content(second)
        else:
            proved = _is_forgotten_lock(first, second) or _is_forgotten_lock(second, first)
        if not proved:
            raise Violation(f"evidence ({effect.kind.value}) that proves nothing: {named(first)}")

    def observes(self, process: Process, effect: do.EnterObserve) -> None:
        """An honest validator mistrusts its memory only when it has reason to."""
        self.cluster.count(f"observer_{effect.reason.value}")
        if effect.reason is do.ObserveReason.SIGNER_STATE_ROLLED_BACK and not (process.suspect or process.faulty):
            raise Violation(f"{process.name} thinks that its signer state was rolled back, and it was not")

    def check_bounds(self, process: Process) -> None:
        """Every buffer of the state machine is bounded by the size of the set."""
        state = process.state
        current = state.current
        if current is None:
            return
        count = len(current.validators)
        both = count + len(self.plan.at(current.height + 1).validators)
        sizes = (
            ("early", len(state.early), both * 6 + 4),
            ("prepares", len(current.prepares), count * 4),
            ("commits", len(current.commits), count * 4),
            ("blocks", len(current.blocks), MAX_KEPT_BLOCKS + 4),
            ("checks", len(current.checks), MAX_CHECKS),
            ("accused", len(current.accused), count * 5),
            ("heard", len(state.heard), count),
            ("latest", len(state.latest), count),
            ("stale", len(state.stale), count),
            ("guard", len(state.guard.records()), 16 * 4),
        )
        for name, size, bound in sizes:
            if size > bound:
                raise Violation(f"{process.name} keeps {size} {name}, at most {bound} are allowed")
        if not (process.syncing or process.inbox or process.late) and process.fuse < 0:
            self._check_timers(process)

    def _check_timers(self, process: Process) -> None:
        core = process.state.timers
        for kind, effect in process.timers.items():
            if core.get(kind) != (effect.height, effect.round, effect.at_ms):
                raise Violation(f"{process.name}'s timer {kind.name} is not the one that the core believes set")
        for kind in core:
            if kind not in process.timers:
                raise Violation(f"{process.name}'s timer {kind.name} was lost")


def _is_forgotten_lock(commit: Message, change: Message) -> bool:
    if not isinstance(commit, Commit) or not isinstance(change, RoundChange):
        return False
    prepared = -1 if change.prepared is None else change.prepared.round
    return commit.height == change.height and commit.round < change.round and prepared < commit.round
