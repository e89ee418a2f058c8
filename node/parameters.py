"""Which parameters hold for which height: those of the genesis file, as governance has changed them since."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.governance.parameters import PARAMETERS_PREFIX, in_force, parameters_at
from contracts.rules import Rules
from ledger.genesis import Genesis, Parameters
from ledger.state import StateReader, contract_prefix
from node.seats import touched


class ParameterBook:
    """The parameters of the two heights above the tip; no later one's are settled.

    Args:
        genesis: of the chain.
        rules: of the chain.
        state: the committed state; one that follows the chain.
        height: of the tip.

    Attributes:
        now: of the height being decided.
        next: of the height after it.
    """

    def __init__(self, genesis: Genesis, rules: Rules, state: StateReader, height: int) -> None:
        self._genesis = genesis.parameters
        self._address = rules.address_of("governance")
        self._prefix = contract_prefix(self._address) + PARAMETERS_PREFIX
        self._state = state
        self.now = self._at(height + 1)
        self.next = self._at(height + 2)

    def on_block(self, height: int, changes: Sequence[tuple[bytes, bytes]]) -> None:
        """Block ``height`` is committed; ``changes`` are (state key, any) of all that it changed, sorted."""
        self.now = self.next
        if self._address and touched(changes, self._prefix):
            self.next = self._at(height + 2)

    def _at(self, height: int) -> Parameters:
        if not self._address:
            return self._genesis
        return in_force(self._genesis, parameters_at(self._state, self._address, height))
