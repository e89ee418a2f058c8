"""A chain with a rotating committee, without consensus: real genesis, real executor, one governor.

chain = Rotating(committee=4, groups=(("regulator", 5, None), ("operations", 2, 1)))
chain.run_epochs(3)
chain.change_set(remove=[chain.keys[0]])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from contracts.governance.calls import Propose
from contracts.validators.calls import CHANGE_SET, ChangeSet
from contracts.validators.records import EpochRecord
from contracts.validators.rotation_calls import REMOVE_NOW, SET_SALT, Rotation, SetSalt
from contracts.validators.schedule import epoch_at
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.block import Receipt
from ledger.encoding import Record, encode
from ledger.genesis import ContractDoc, Genesis, PolicyDoc, certificate_doc
from ledger.keys import SigningKey, key_text
from ledger.rotation import GroupDoc, RotationDoc
from ledger.transaction import Call
from tests.contracts.bench import ALICE, AUTHORITY, Bench, certificates, lock, make_genesis

KINDS = ("admission", "accounts", "assets", "governance", "validators")
FAR_MS = 2**50
REGULATED = (("regulator", 5, None), ("operations", 2, 1))
"""(group, validators, seats or None where exempt): what a regulator and two platforms would agree on."""


def validator_key(group: str, number: int) -> SigningKey:
    return SigningKey(sha256(f"{group} {number}".encode()).digest())


def rotating_genesis(
    groups: Sequence[tuple[str, int, int | None]] = REGULATED,
    *,
    spare: Sequence[tuple[str, int]] = (),
    declared: bool = True,
    until_ms: int = FAR_MS,
    rotates: bool = True,
    **rules: object,
) -> Genesis:
    """A genesis with validators of these groups; ``spare`` ones have certificates and are no validators yet.

    Every validator is an organisation of its own: ``GROUP NUMBER``.
    """
    base = make_genesis()
    everybody = [(name, number) for name, count, _ in groups for number in range(count)]
    spares = [(name, 100 + number) for name, count in spare for number in range(count)]
    made = certificates(base.chain_id)[1:]
    for serial, (name, number) in enumerate([*everybody, *spares], 1_000):
        key = validator_key(name, number).public
        transport = sha256(key).digest()
        made.append(
            AdmissionCertificate(base.chain_id, serial, key, transport, f"{name} {number}", ("validator",), 0, until_ms)
        )
    docs = tuple(
        GroupDoc(
            name=name,
            organisations=tuple(f"{name} {number}" for other, number in [*everybody, *spares] if other == name),
            seats=0 if seats is None else seats,
            exempt=seats is None,
        )
        for name, _, seats in groups
    )
    fields: dict[str, object] = {"committee": 4, "epoch_blocks": 4, "groups": docs if declared else ()}
    return make_genesis(
        validators=tuple(key_text(validator_key(name, number).public) for name, number in everybody),
        certificates=tuple(certificate_doc(sign_certificate(c, [AUTHORITY])) for c in made),
        contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in KINDS),
        policies=(PolicyDoc(name="governors", lock=lock(ALICE)),),
        rotation=RotationDoc(**(fields | rules)) if rotates else None,  # type: ignore[arg-type]
    )


class Rotating(Bench):
    """See the module; arguments as ``rotating_genesis``.

    Attributes:
        keys: public keys of the first validators, group by group.
        group_of: group of every key, spare ones too.
    """

    def __init__(self, groups: Sequence[tuple[str, int, int | None]] = REGULATED, **more: object) -> None:
        super().__init__(genesis=rotating_genesis(groups, **more))  # type: ignore[arg-type]
        self.keys = [validator_key(name, number).public for name, count, _ in groups for number in range(count)]
        self.group_of = {
            bytes(validator_key(name, number).public): name for name, _, _ in groups for number in range(200)
        }

    def blocks(self, count: int) -> None:
        """Ends ``count`` empty blocks."""
        for _ in range(count):
            self.block()

    def run_epochs(self, count: int) -> None:
        """Goes on until the epoch in force is ``count`` later."""
        target = self.epoch().number + count
        while self.epoch().number < target:
            self.block()

    def epoch(self, height: int | None = None) -> EpochRecord:
        """The epoch of a height; None: of the tip."""
        return epoch_at(self.state, "validators", max(1, self.height) if height is None else height)

    def rotation(self) -> Rotation:
        """The view ``rotation``."""
        found = self.view("validators", "rotation")
        assert isinstance(found, Rotation)
        return found

    # --- what the governor decides --------------------------------------------------------------------------------

    def govern(self, action: str, order: Record) -> Receipt:
        """Has the one governor decide something in the next block."""
        content = Propose("validators", action, encode(order), "for a test")
        return self.block(self.make(calls=[Call("governance", "propose", encode(content))]))[0]

    def change_set(self, add: Iterable[bytes] = (), remove: Iterable[bytes] = ()) -> str:
        """Changes the register; the receipt's code."""
        return self.govern(CHANGE_SET, ChangeSet(tuple(add), tuple(remove))).code

    def remove_now(self, *keys: bytes) -> str:
        """Removes members of the committee at h + 2; the receipt's code."""
        return self.govern(REMOVE_NOW, ChangeSet((), keys)).code

    def set_salt(self, text: str) -> str:
        """Sets the salt that a text stands for; the receipt's code."""
        return self.govern(SET_SALT, SetSalt(sha256(text.encode()).digest())).code
