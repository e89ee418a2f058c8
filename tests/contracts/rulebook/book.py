"""A supervision chain with officers alice, bob and carol, two of whom decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.executor import BlockExecution
from contracts.interface import EndContext
from contracts.rulebook.calls import (
    Activate,
    Approve,
    Approved,
    DraftArguments,
    Entry,
    Propose,
    Proposed,
    Rollback,
    Sealed,
    Stage,
    Staged,
)
from contracts.rulebook.check import Facts, Verdict, check, dry_run
from contracts.rulebook.fingerprints import fingerprint
from contracts.rulebook.records import ExpressionRule, ListRule
from ledger.admission import Revocation, sign_revocation
from ledger.block import Receipt
from ledger.encoding import Codec, Record, encode
from ledger.genesis import ContractDoc, PolicyDoc
from ledger.keys import SigningKey
from ledger.state import Overlay
from ledger.transaction import Call
from tests.contracts.bench import ALICE, AUTHORITY, BOB, CAROL, ISSUER, Bench, key_of, lock, make_genesis

KINDS = ("admission", "governance", "accounts", "assets", "keyring", "registry", "rules")
OFFICERS = f"threshold(2,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})"
REVIEWER, PHARMACY, PATIENT = (key_of(name).public for name in ("a reviewer", "a pharmacy", "a patient"))
SUBJECT, FLOW, ORDER = b"s" * 32, b"f" * 32, b"o" * 32
DRUGS = ("860975", "310798")


def policies(**more: str) -> tuple[PolicyDoc, ...]:
    return tuple(PolicyDoc(name=name, lock=text) for name, text in {"officers": OFFICERS, **more}.items())


def entry(kind: str, *parts: bytes | str) -> bytes:
    return fingerprint(kind, *parts)


def facts(**changes: Any) -> Facts:
    """An order that has everything; ``changes`` on top."""
    values = {
        "stage": "order",
        "kind": "prescription",
        "flow": FLOW,
        "organisation": "platform one",
        "subject": SUBJECT,
        "drugs": DRUGS,
        "reviewer": REVIEWER,
        "pharmacy": PHARMACY,
        "order": ORDER,
        "parties": (PATIENT, REVIEWER),
        "amount": 25_500,
        "values": {},
    }
    return Facts(**(values | changes))


def listed(name: str, kind: str, mode: str = "deny", **more: Any) -> ListRule:
    return ListRule(name, kind, mode, **more)


def expression(name: str, source: str, effect: str = "refuse", **more: Any) -> ExpressionRule:
    fields = {"reason": "", "stages": ("order",), "kinds": ()} | more
    return ExpressionRule(name, source, effect, **fields)


class Book(Bench):
    """A chain with a rule book, and officers' hands on it."""

    def __init__(self) -> None:
        contracts = tuple(ContractDoc(address=kind, kind=kind) for kind in KINDS)
        super().__init__(genesis=make_genesis(contracts=contracts, policies=policies()), window=200_000)

    # --- what officers send ---------------------------------------------------------------------------------------

    def call(self, method: str, arguments: Record, *keys: SigningKey, time_ms: int | None = None) -> Receipt:
        """Puts one call into a block, signed by ``keys``, the first of which sends it."""
        signers = keys or (ALICE,)
        transaction = self.make(calls=[Call("rules", method, encode(arguments))], sender=signers[0], keys=signers)
        return self.block(transaction, time_ms=time_ms)[0]

    def done(self, method: str, arguments: Record, *keys: SigningKey, time_ms: int | None = None) -> bytes:
        """``call`` that must take effect; its result."""
        receipt = self.call(method, arguments, *keys, time_ms=time_ms)
        assert receipt.code == "ok", receipt.code
        return receipt.results[0]

    def propose(self, base: int = 0, by: SigningKey = ALICE, **changes: Any) -> int:
        for name in ("lists", "attributes", "expressions"):
            changes[name] = tuple(sorted(changes.get(name, ()), key=lambda item: item.name))
        arguments = Propose(base, "", **changes)
        return Codec(Proposed, 100).decode(self.done("propose", arguments, by)).draft

    def stage(
        self, draft: int, index: int, name: str, entries: Mapping[bytes, int] | Sequence[bytes], present: bool = True
    ) -> Staged:
        expiries = entries if isinstance(entries, Mapping) else dict.fromkeys(entries, 0)
        made = tuple(Entry(entry, expiries[entry]) for entry in sorted(expiries))
        return Codec(Staged, 200).decode(self.done("stage", Stage(draft, index, name, present, made)))

    def seal(self, draft: int) -> bytes:
        return Codec(Sealed, 200).decode(self.done("seal", DraftArguments(draft))).digest

    def approve(self, draft: int, digest: bytes, *keys: SigningKey) -> Approved:
        return Codec(Approved, 200).decode(self.done("approve", Approve(draft, digest), *keys))

    def activate(self, draft: int, height: int = 0, by: SigningKey = ALICE) -> None:
        self.done("activate", Activate(draft, height), by)

    def agree(self, draft: int) -> None:
        """Seals a draft, and alice and bob approve it."""
        assert self.approve(draft, self.seal(draft), ALICE, BOB).done

    def adopt(
        self, base: int = 0, entries: Mapping[str, Sequence[bytes] | Mapping[bytes, int]] | None = None, **changes: Any
    ) -> int:
        """A version from proposal to force, in as many blocks as that takes."""
        draft = self.propose(base, **changes)
        for index, (name, added) in enumerate((entries or {}).items()):
            self.stage(draft, index, name, added)
        self.agree(draft)
        self.activate(draft)
        return draft

    def revoke(self, key: SigningKey) -> None:
        """The admission authority revokes a key's certificates."""
        revocation = Revocation(self.genesis.chain_id, key.public, 1_000, "test")
        signed = sign_revocation(revocation, [AUTHORITY])
        assert self.code(self.make(calls=[Call("admission", "revoke", encode(signed))], sender=ISSUER)) == "ok"

    def rollback(self, version: int, *keys: SigningKey, height: int = 0) -> Approved:
        arguments = Rollback(version, height, self.status().steps_made + 1)
        return Codec(Approved, 200).decode(self.done("rollback", arguments, *(keys or (BOB, CAROL))))

    # --- what others see ------------------------------------------------------------------------------------------

    def status(self) -> Any:
        return self.view("rules", "status")

    def version(self, number: int) -> Any:
        return self.view("rules", "version", number)

    def context(self, address: str = "assets", time_ms: int | None = None) -> EndContext:
        """The context of another contract in the next block."""
        block = self.next_block(time_ms)
        execution = BlockExecution(self.rules, self.state, block, sweep=False)
        return EndContext(block, address, Overlay(self.state), execution)

    def ask(self, asked: Facts | None = None, time_ms: int | None = None) -> Verdict:
        """What the rules in force at the next block say."""
        return check(self.context(time_ms=time_ms), asked or facts())

    def try_out(self, version: int, asked: Facts | None = None) -> Verdict:
        return dry_run(self.context(), version, asked or facts())
