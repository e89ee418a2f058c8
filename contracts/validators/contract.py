"""Contract ``validators``: the epochs of a chain (DESIGN.md 3). Records: see ``contracts.validators.schedule``."""

from __future__ import annotations

from contracts.interface import Contract, EndContext
from contracts.validators.records import EpochRecord
from contracts.validators.schedule import epoch_key
from ledger.encoding import encode
from ledger.genesis import Genesis


class Validators(Contract):
    """See the module."""

    kind = "validators"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """The first epoch: the validators of the genesis file, from height 1."""
        first = EpochRecord(0, 1, 0, 0, genesis.validator_set().keys)
        context.state.put(epoch_key(first.start), encode(first))
