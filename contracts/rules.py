"""What an executor needs to know of its chain, and the one verification of a transaction's signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from contracts import codes
from contracts.interface import Contract
from ledger.errors import InvalidTransaction
from ledger.keys import verify as verify_signature
from ledger.transaction import Transaction
from ledger.types import Hash32


@dataclass(frozen=True, slots=True)
class Rules:
    """What an executor needs to know of its chain.

    Attributes:
        chain_id: 32 bytes.
        contracts: instances by address, in the order in which blocks end.
        expiry_window: blocks that a transaction may live at most.
    """

    chain_id: Hash32
    contracts: Mapping[str, Contract]
    expiry_window: int
    _addresses: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked many times in each call; of several instances of a kind the first counts.
        found = {contract.kind: address for address, contract in reversed(tuple(self.contracts.items()))}
        object.__setattr__(self, "_addresses", found)

    def address_of(self, kind: str) -> str:
        """Address of the one instance of a built-in contract; empty where the chain has none."""
        return self._addresses.get(kind, "")


def verify_signatures(
    transaction: Transaction, verify: Callable[[bytes, bytes, bytes], bool] = verify_signature
) -> frozenset[bytes]:
    """The signers of a transaction, every signature verified once for the life of the object.

    Raises:
        InvalidTransaction: ``signature_invalid``.
    """
    known = transaction.signers
    if known is not None:
        return known
    tx_id = transaction.tx_id
    for key, signature in transaction.witness.signatures:
        if not verify(key, tx_id, signature):
            raise InvalidTransaction("a signature does not verify", code=codes.SIGNATURE_INVALID)
    signers = frozenset([key for key, _ in transaction.witness.signatures])
    transaction.signers = signers
    return signers
