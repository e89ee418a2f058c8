"""Changes of who decides: what is checked, and how the epoch that they begin is written.

What block h decides holds from h + 2 (``AHEAD``): the header of h + 1 already names the set. All changes of one block
go into the same coming epoch. An epoch's number says which it is among those that were ever in force.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from contracts.admission.register import CERTIFICATE_PREFIX, certificate_codec
from contracts.codes import Refusal
from contracts.interface import EndContext
from contracts.validators.calls import ChangeSet
from contracts.validators.records import AHEAD, EpochRecord, epoch_codec
from contracts.validators.schedule import EPOCH_PREFIX, epoch_key
from ledger.encoding import encode
from ledger.errors import BrokenInvariant
from ledger.keys import key_text
from ledger.validators import MAX_VALIDATORS

CHANGE_EMPTY: Final = "validators_change_empty"
KEY_REPEATED: Final = "validators_key_repeated"
NOT_ADMITTED: Final = "validators_not_admitted"
ALREADY_IN: Final = "validators_already_in"
NOT_IN: Final = "validators_not_in"
SET_EMPTY: Final = "validators_set_empty"
TOO_MANY: Final = "validators_too_many"


def last_epoch(context: EndContext) -> EpochRecord:
    """The newest epoch that is written: in force, or coming."""
    for _, data in context.state.iterate(EPOCH_PREFIX, limit=1):
        return epoch_codec.decode(data)
    raise BrokenInvariant("contract validators has no epoch")


def begin_epoch(context: EndContext, start: int, keys: Sequence[bytes], *, end: int = 0) -> EpochRecord:
    """Lets another set decide from ``start`` on, and closes the epoch before.

    Epochs that were to begin at ``start`` or later, and that nobody has signed for yet, are written anew.

    Args:
        context: of contract ``validators``, in the block that decides this.
        start: first height; ``AHEAD`` above the block at least.
        keys: the validators; distinct, in any order.
        end: last height where that is fixed already; 0: open.

    Returns:
        The epoch; its order of proposers goes on after the last proposer of the one before.
    """
    if start < context.block.height + AHEAD:
        raise BrokenInvariant(f"an epoch from {start} on is too soon for block {context.block.height}")
    state = context.state
    before, unsigned = None, []
    for key, data in state.iterate(EPOCH_PREFIX):
        found = epoch_codec.decode(data)
        if found.start < start:
            before = found
            break
        unsigned.append(key)
    if before is None:
        raise BrokenInvariant("contract validators has no epoch")
    for key in unsigned:
        state.delete(key)
    sorted_keys = tuple(sorted(keys))
    epoch = EpochRecord(before.number + 1, start, end, _offset(before, start, sorted_keys), sorted_keys)
    state.put(epoch_key(before.start), encode(replace(before, end=start - 1)))
    state.put(epoch_key(start), encode(epoch))
    context.emit("epoch_decided", epoch)
    return epoch


def changed_keys(context: EndContext, keys: Sequence[bytes], change: ChangeSet) -> tuple[bytes, ...]:
    """``keys`` after ``change``, sorted.

    Raises:
        Refusal: ``validators_…``: nothing to do, a key named twice, not admitted as a validator with a node, there
            already or not there; or nobody would be left, or more than a set can have.
    """
    if not change.add and not change.remove:
        raise Refusal(CHANGE_EMPTY, "nobody comes and nobody goes")
    if len({*change.add, *change.remove}) != len(change.add) + len(change.remove):
        raise Refusal(KEY_REPEATED, "each key stands in a change once")
    present = set(keys)
    for key in change.add:
        if key in present:
            raise Refusal(ALREADY_IN, f"{key_text(key)} is a validator already", key=key_text(key))
        if not is_admitted_validator(context, key):
            raise Refusal(
                NOT_ADMITTED,
                f"{key_text(key)} has no certificate in force with the role validator and a transport key",
                key=key_text(key),
            )
    for key in change.remove:
        if key not in present:
            raise Refusal(NOT_IN, f"{key_text(key)} is no validator", key=key_text(key))
    left = tuple(sorted(present.union(change.add).difference(change.remove)))
    if not left:
        raise Refusal(SET_EMPTY, "a chain without validators could never go on")
    if len(left) > MAX_VALIDATORS:
        raise Refusal(TOO_MANY, f"{len(left)} validators; at most {MAX_VALIDATORS}")
    return left


def is_admitted_validator(context: EndContext, key: bytes) -> bool:
    """Whether ``key`` is admitted at the block's time as a validator that has a node."""
    data = context.enter_kind("admission").state.get(CERTIFICATE_PREFIX + key)
    if data is None:
        return False
    certificate = certificate_codec.decode(data)
    return (
        bool(certificate.transport) and "validator" in certificate.roles and certificate.valid_at(context.block.time_ms)
    )


def _offset(before: EpochRecord, start: int, keys: Sequence[bytes]) -> int:
    """Where the order of proposers begins: behind the one whose turn the height before ``start`` is.

    Otherwise the first keys would propose more the more often the set changes, and one of them that is dead would slow
    down every change.
    """
    last = before.keys[(start - 1 - before.start + before.offset) % len(before.keys)]
    return bisect_right(keys, last) % len(keys)
