"""Counting who wants the same thing: distinct keys of a policy that signed identical calls, until it is satisfied.

A subject is a digest of everything that is agreed to, so an approval never counts for anything else. The records stand
in the state of the contract that asks: ``APPROVALS ‖ subject`` → who has approved it so far, which is forgotten the
moment the policy is satisfied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from contracts.codes import NOT_PERMITTED, Refusal
from contracts.governance.policies import keys_of, satisfied_by
from contracts.interface import CallContext, EndContext
from contracts.messages import Hash, Key
from ledger.encoding import Codec, Record, encode
from ledger.lock import MAX_LOCK_MEMBERS, Lock
from ledger.types import MAX_HEIGHT, PublicKey

APPROVALS: Final = b"\xa0"
"""First byte of the records' keys; the contracts that use this module have no other keys that begin with it."""
MAX_APPROVAL_AGE: Final = 100_000
"""Blocks for which an approval counts."""


class Approval(Record, frozen=True):
    """One key's approval.

    Attributes:
        key: who.
        transaction: id of the transaction that carries the signature; evidence for whoever checks it elsewhere.
        height: of its block.
    """

    key: Key
    transaction: Hash
    height: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class Tally(Record, frozen=True):
    """The approvals of one subject in the order in which they came."""

    approvals: Annotated[tuple[Approval, ...], Meta(max_length=MAX_LOCK_MEMBERS * MAX_LOCK_MEMBERS)]


tally_codec = Codec(Tally, 128 * 1024, "tally of approvals")


def admitted(context: EndContext, lock: Lock) -> tuple[PublicKey, ...]:
    """The keys of a policy that are admitted now, sorted: a revoked key's signature is worth nothing."""
    member = context.directory.member
    return tuple(key for key in keys_of(lock) if member(key) is not None)


def signers_of(context: CallContext, lock: Lock) -> tuple[PublicKey, ...]:
    """The admitted keys of a policy that signed this transaction, sender or cosigners; they count as needed signatures.

    A revoked key's signature is worth nothing, whoever sends it along: the transaction is refused for it.

    Raises:
        Refusal: ``not_permitted``: none of them did.
    """
    signers = tuple(key for key in admitted(context, lock) if context.signed_by(key))
    if not signers:
        raise Refusal(NOT_PERMITTED, "no key of the policy that may do this signed the transaction")
    return signers


def counting(context: EndContext, approvals: Iterable[Approval], lock: Lock) -> tuple[Approval, ...]:
    """Those approvals that count now: of a key that the policy names and that is still admitted, and not too old."""
    members = frozenset(keys_of(lock))
    oldest = context.block.height - MAX_APPROVAL_AGE
    return tuple(
        approval
        for approval in approvals
        if approval.key in members and approval.height >= oldest and context.directory.member(approval.key) is not None
    )


def satisfied(context: EndContext, approvals: Iterable[Approval], lock: Lock) -> bool:
    """True when the approvals that count now satisfy the policy."""
    keys = frozenset(approval.key for approval in counting(context, approvals, lock))
    return bool(keys) and satisfied_by(lock, keys)


def approvals_so_far(context: EndContext, subject: bytes) -> tuple[Approval, ...]:
    """Who has approved ``subject`` in the state of ``context``'s contract, in order."""
    data = context.state.get(APPROVALS + subject)
    return () if data is None else tally_codec.decode(data).approvals


def approve(context: CallContext, subject: bytes, key: bytes, lock: Lock) -> tuple[Approval, ...] | None:
    """Adds ``key``'s approval of ``subject``.

    Keys are counted, not calls: approving again changes nothing but the approval's age. An approval of a key whose
    certificate has been revoked since, or that the policy names no more, does not count.

    Args:
        context: of the contract that keeps the tally.
        subject: 32-byte digest of all that is agreed to.
        key: who approves; the transaction must carry its signature.
        lock: policy of keys and thresholds.

    Returns:
        The approvals that satisfy the policy, in order; the tally is forgotten then. None while more are needed.

    Raises:
        Refusal: ``not_permitted``: the policy does not name the key, it is not admitted, or it did not sign.
    """
    if key not in keys_of(lock) or context.directory.member(key) is None:
        raise Refusal(NOT_PERMITTED, "the policy for this does not name the key that approves it")
    context.require_signature(key, "the key that approves")
    standing = counting(context, approvals_so_far(context, subject), lock)
    own = Approval(key, context.transaction.tx_id, context.block.height)
    approvals = (*(approval for approval in standing if approval.key != key), own)
    if satisfied(context, approvals, lock):
        context.state.delete(APPROVALS + subject)
        return approvals
    context.state.put(APPROVALS + subject, encode(Tally(approvals)))
    return None


def approve_by_signers(context: CallContext, subject: bytes, lock: Lock) -> tuple[Approval, ...] | None:
    """``approve`` by every key of the policy that signed this transaction; see there.

    Raises:
        Refusal: ``not_permitted``: none of them did.
    """
    for key in signers_of(context, lock):
        done = approve(context, subject, key, lock)
        if done is not None:
            return done
    return None


def forget(context: CallContext, subject: bytes) -> None:
    """Drops all approvals of ``subject``: it cannot be agreed to any more."""
    context.state.delete(APPROVALS + subject)
