"""A governed chain whose validators come and go, without consensus: two of alice, bob and carol govern it.

chain = Changing(first=4)
chain.change(add=[4, 5], remove=[0])      # validators by number; receipt's code
chain.keys_at(chain.height + 2)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from contracts.governance.calls import Propose
from contracts.validators.calls import CHANGE_SET, ChangeSet
from contracts.validators.records import EpochRecord
from contracts.validators.schedule import epoch_at
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.block import Receipt
from ledger.encoding import Record, encode
from ledger.genesis import ContractDoc, Genesis, PolicyDoc, certificate_doc
from ledger.keys import SigningKey, key_text
from ledger.transaction import Transaction
from tests.contracts.bench import ALICE, AUTHORITY, BOB, CAROL, START_MS, Bench, call, certificates, lock, make_genesis
from tests.contracts.bench import key_of as named_key

KINDS = ("admission", "accounts", "assets", "governance", "validators")
GOVERNORS = f"threshold(2,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})"
FAR_MS = 2**50
NO_NODE = named_key("validator without a node")
OBSERVER = named_key("node that is an observer")
EXPIRED = named_key("validator that was admitted")
FUTURE = named_key("validator from tomorrow on")


@cache
def validator(number: int) -> SigningKey:
    """The key of validator ``number``."""
    return named_key(f"validator {number}")


def governed_genesis(first: int, admitted: int) -> Genesis:
    """Validators 0 … ``first`` − 1 decide; those up to ``admitted`` may come."""
    base = make_genesis()
    made = certificates(base.chain_id)[1:]
    odd = [
        (NO_NODE, b"", ("validator",), 0, FAR_MS),
        (OBSERVER, b"o" * 32, ("observer",), 0, FAR_MS),
        (EXPIRED, b"e" * 32, ("validator",), 0, START_MS),
        (FUTURE, b"f" * 32, ("validator",), START_MS + 1_000_000, FAR_MS),
    ]
    usual = [
        (validator(number), number.to_bytes(2, "big") * 16, ("observer", "validator"), 0, FAR_MS)
        for number in range(admitted)
    ]
    for serial, (key, transport, roles, begin, end) in enumerate([*usual, *odd], 1_000):
        name = f"validator {serial}"
        made.append(AdmissionCertificate(base.chain_id, serial, key.public, transport, name, roles, begin, end))
    return make_genesis(
        validators=tuple(key_text(validator(number).public) for number in range(first)),
        certificates=tuple(certificate_doc(sign_certificate(c, [AUTHORITY])) for c in made),
        contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in KINDS),
        policies=(PolicyDoc(name="governors", lock=GOVERNORS),),
    )


class Changing(Bench):
    """See the module."""

    def __init__(self, first: int = 4, admitted: int = 12) -> None:
        super().__init__(genesis=governed_genesis(first, admitted))

    def propose(self, contract: str, action: str, data: Record, *keys: SigningKey) -> Transaction:
        """A transaction that proposes, signed by these, or by enough governors."""
        signers = keys or (ALICE, BOB)
        content = Propose(contract, action, encode(data), "")
        words = (content.contract, content.action, content.data, content.description)
        return self.make(calls=[call("governance", "propose", *words)], sender=signers[0], keys=signers)

    def proposal(
        self,
        add: Iterable[SigningKey | int] = (),
        remove: Iterable[SigningKey | int] = (),
        keys: Sequence[SigningKey] = (),
    ) -> Transaction:
        """A proposal to change the set; validators by number, or any keys."""
        come, go = ([key if isinstance(key, SigningKey) else validator(key) for key in many] for many in (add, remove))
        order = ChangeSet(tuple(key.public for key in come), tuple(key.public for key in go))
        return self.propose("validators", CHANGE_SET, order, *keys)

    def change(self, add: Iterable[SigningKey | int] = (), remove: Iterable[SigningKey | int] = ()) -> str:
        """Has the governors decide it in the next block; the receipt's code."""
        return self.code(self.proposal(add, remove))

    def epoch_at(self, height: int) -> EpochRecord:
        """Who decides ``height``, by the state now."""
        return epoch_at(self.state, "validators", height)

    def numbers_at(self, height: int) -> set[int]:
        """Who decides ``height``, by number."""
        keys = set(self.epoch_at(height).keys)
        found = {number for number in range(256) if validator(number).public in keys}
        assert len(found) == len(keys)
        return found

    def skip(self, blocks: int) -> list[Receipt]:
        """Empty blocks; the last one's receipts."""
        receipts: list[Receipt] = []
        for _ in range(blocks):
            receipts = self.block()
        return receipts
