"""Contract ``validators``: the epochs of a chain, how governance changes them, proven misbehaviour (DESIGN.md 3).

Records: see ``contracts.validators.schedule`` and ``contracts.validators.evidence``. A validator comes and goes by
decision of the governors only (PROTOCOL.md 2.4); nothing here looks at who is alive.
"""

from __future__ import annotations

from contracts.codes import METHOD_UNKNOWN, Refusal
from contracts.interface import CallContext, Contract, EndContext, method, view
from contracts.validators import calls, rotation
from contracts.validators import evidence as proven
from contracts.validators.calls import CHANGE_SET, change_set_codec
from contracts.validators.changes import begin_epoch, changed_keys, last_epoch
from contracts.validators.records import AHEAD, EpochRecord, epoch_codec
from contracts.validators.rotation_calls import Rotation, RotationQuery
from contracts.validators.schedule import EPOCH_PREFIX, epoch_key
from ledger.encoding import encode
from ledger.errors import NotFound
from ledger.genesis import Genesis
from ledger.misbehaviour import Misbehaviour


class Validators(Contract):
    """See the module."""

    kind = "validators"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """The first epoch: the validators of the genesis file, or the first committee of them, from height 1."""
        first = EpochRecord(0, 1, rotation.begin(context, genesis), 0, genesis.validator_set().keys)
        context.state.put(epoch_key(first.start), encode(first))

    def govern(self, context: CallContext, action: str, data: bytes) -> None:
        """``change_set``: see ``calls.ChangeSet``; where a committee rotates also what ``rotation_calls`` has."""
        rules = rotation.find_rules(context)
        if rules is not None:
            rotation.govern(context, rules, action, data)
            return
        if action != CHANGE_SET:
            raise Refusal(METHOD_UNKNOWN, f"{self.address} has nothing to govern such as {action!r}")
        keys = changed_keys(context, last_epoch(context).keys, change_set_codec.decode(data))
        begin_epoch(context, context.block.height + AHEAD, keys)

    def end_block(self, context: EndContext) -> None:
        """Where a committee rotates, and its epoch ends with the next block: writes the coming epoch down."""
        rotation.rotate(context)

    @method
    def report(self, context: CallContext, arguments: Misbehaviour) -> proven.EvidenceSummary:
        """Records a validator's misbehaviour that the evidence proves; once for each validator, height and kind."""
        return proven.report(context, arguments)

    @view
    def epoch(self, context: EndContext, arguments: calls.EpochQuery) -> EpochRecord:
        """Who decides a height, or the block that is being decided."""
        height = arguments.height or context.block.height
        for _, data in context.state.iterate(EPOCH_PREFIX, start=epoch_key(height), limit=1):
            return epoch_codec.decode(data)
        raise NotFound(f"no epoch has height {height}", height=height)

    @view
    def epochs(self, context: EndContext, arguments: calls.EpochsQuery) -> calls.EpochPage:
        """The epochs, newest first, the coming one included; page by page."""
        start = epoch_key(arguments.before - 1) if arguments.before else None
        rows = context.state.iterate(EPOCH_PREFIX, start=start, limit=arguments.limit)
        return calls.EpochPage(tuple(epoch_codec.decode(data) for _, data in rows))

    @view
    def rotation(self, context: EndContext, arguments: RotationQuery) -> Rotation:
        """How the committee rotates, and among whom."""
        del arguments
        return rotation.shown(context)

    @view
    def evidence(self, context: EndContext, arguments: proven.EvidenceQuery) -> proven.EvidenceRecord:
        """One recorded fault with its proof."""
        return proven.find(context, arguments.id)

    @view
    def evidence_page(self, context: EndContext, arguments: proven.EvidencePageQuery) -> proven.EvidencePage:
        """The recorded faults by number, without their proofs."""
        return proven.page(context, arguments)
