"""Rotating committees on chain: the register of candidates, and the epochs that are written from it (DESIGN.md 3).

A chain whose genesis file has ``rotation`` draws a committee from the registered validators. The block two before an
epoch's first one writes down who decides it; nothing is computed again after that. Governance changes the register, and
with it the coming epochs; ``remove_now`` ends the epoch in force at h + 2.

Records: ``rr`` → ``RotationRules``; ``rs`` → ``Salt``; ``rc ‖ key`` → ``Candidate``.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.admission.register import CERTIFICATE_PREFIX, certificate_codec
from contracts.codes import METHOD_UNKNOWN, Refusal
from contracts.interface import CallContext, EndContext
from contracts.validators.calls import CHANGE_SET, ChangeSet, change_set_codec
from contracts.validators.changes import (
    CHANGE_EMPTY,
    SET_EMPTY,
    begin_epoch,
    changed_keys,
    is_admitted_validator,
    last_epoch,
)
from contracts.validators.records import AHEAD
from contracts.validators.rotation_calls import (
    REMOVE_NOW,
    SET_SALT,
    Rotation,
    SetSalt,
    candidate_codec,
    rules_codec,
    salt_codec,
    set_salt_codec,
)
from ledger.encoding import encode
from ledger.genesis import Genesis
from ledger.keys import key_text
from ledger.rotation import (
    Candidate,
    Order,
    RotationRules,
    Salt,
    exchanges,
    first_committee,
    first_salt,
    group_of,
    register_of,
    rules_of,
    seats_possible,
)

NO_GROUP: Final = "validators_no_group"
COMMITTEE_SHORT: Final = "validators_committee_short"
TOO_MANY_LEAVE: Final = "validators_too_many_leave"
NOT_SEATED: Final = "validators_not_seated"
NO_REPLACEMENT: Final = "validators_no_replacement"
SALT_SAME: Final = "validators_salt_same"

_RULES: Final = b"rr"
_SALT: Final = b"rs"
_CANDIDATE: Final = b"rc"


def find_rules(context: EndContext) -> RotationRules | None:
    """The rules of the chain's rotation; None where a set stays until governance changes it."""
    data = context.state.get(_RULES)
    return None if data is None else rules_codec.decode(data)


def salt_in_force(context: EndContext) -> Salt:
    """What the order is hashed with."""
    data = context.state.get(_SALT)
    assert data is not None, "a rotating chain has a salt"
    return salt_codec.decode(data)


def candidates(context: EndContext) -> list[Candidate]:
    """The register, by key."""
    return [candidate_codec.decode(data) for _, data in context.state.iterate(_CANDIDATE)]


def shown(context: EndContext) -> Rotation:
    """For people: rules, salt and register."""
    rules = find_rules(context)
    if rules is None:
        return Rotation(None, None, ())
    return Rotation(rules, salt_in_force(context), tuple(candidates(context)))


# --- epochs ---------------------------------------------------------------------------------------------------------


def begin(context: EndContext, genesis: Genesis) -> int:
    """Writes rules, salt and register of the genesis file; the first epoch's last height, or 0 without rotation."""
    document = genesis.rotation
    if document is None:
        return 0
    rules, salt = rules_of(document), first_salt(document, genesis.salt)
    context.state.put(_RULES, encode(rules))
    context.state.put(_SALT, encode(salt))
    register = register_of(rules, genesis.operators())
    seated = {each.key for each in first_committee(rules, Order(context.block.chain_id, salt), register)}
    for candidate in register:
        _put(context, replace(candidate, seated=1) if candidate.key in seated else candidate)
    return rules.epoch_blocks


def rotate(context: EndContext) -> None:
    """At the end of a block: writes the coming epoch down where the one in force ends with the next block."""
    rules = find_rules(context)
    if rules is None:
        return
    epoch, start = last_epoch(context), context.block.height + AHEAD
    if epoch.end >= start:
        return
    changes = exchanges(rules, _order(context), candidates(context), lambda key: is_admitted_validator(context, key))
    _seat(context, rules, start, changes)


def _seat(context: EndContext, rules: RotationRules, start: int, changes: list[tuple[Candidate, Candidate]]) -> None:
    """Exchanges seats, and writes the epoch from ``start`` on."""
    for leaves, enters in changes:
        if leaves.leaving:
            context.state.delete(_CANDIDATE + leaves.key)
        else:
            _put(context, replace(leaves, seated=0, left=start))
        _put(context, replace(enters, seated=start))
    keys = [each.key for each in candidates(context) if each.seated]
    begin_epoch(context, start, keys, end=start + rules.epoch_blocks - 1)


def _order(context: EndContext) -> Order:
    return Order(context.block.chain_id, salt_in_force(context))


def _put(context: EndContext, candidate: Candidate) -> None:
    context.state.put(_CANDIDATE + candidate.key, encode(candidate))


# --- what governance changes ----------------------------------------------------------------------------------------


def govern(context: CallContext, rules: RotationRules, action: str, data: bytes) -> None:
    """``change_set``, ``remove_now`` and ``set_salt`` of a rotating chain."""
    if action == SET_SALT:
        set_salt(context, set_salt_codec.decode(data))
    elif action == REMOVE_NOW:
        remove_now(context, rules, change_set_codec.decode(data))
    elif action == CHANGE_SET:
        change_register(context, rules, change_set_codec.decode(data))
    else:
        raise Refusal(METHOD_UNKNOWN, f"{context.address} has nothing to govern such as {action!r}")


def change_register(context: CallContext, rules: RotationRules, change: ChangeSet) -> None:
    """Registers and removes candidates; what that does to the committee holds from the next epoch on.

    New ones take no seat until a salt is set that nobody knew when they registered. At most as many seated ones leave
    with one epoch as it exchanges seats.

    Raises:
        Refusal: as ``changed_keys``; or ``validators_no_group``, ``validators_too_many_leave``, or
            ``validators_committee_short``: the caps would leave seats without anybody.
    """
    register = {each.key: each for each in candidates(context)}
    changed_keys(context, [key for key, each in register.items() if not each.leaving], change)
    for key in change.add:
        # One that was to leave, and still holds its seat, stays.
        found = register.get(key)
        register[key] = replace(found, leaving=False) if found else _registered(context, rules, key)
        _put(context, register[key])
    for key in change.remove:
        found = register[key]
        if found.seated:
            register[key] = replace(found, leaving=True)
            _put(context, register[key])
        else:
            del register[key]
            context.state.delete(_CANDIDATE + key)
    leaving = sum(1 for each in register.values() if each.leaving)
    if leaving > rules.seats_changed:
        raise Refusal(
            TOO_MANY_LEAVE,
            f"{leaving} members of the committee would leave; {rules.seats_changed} seats change with an epoch",
        )
    _check_full(context, rules, list(register.values()))


def remove_now(context: CallContext, rules: RotationRules, change: ChangeSet) -> None:
    """Removes members of the committee at h + 2, where a new epoch begins with replacements in their seats.

    Raises:
        Refusal: as ``change_register``; ``validators_not_seated``: the change of the register will do;
            ``validators_no_replacement``: nobody who may enter fits under the caps.
    """
    if change.add or not change.remove:
        raise Refusal(CHANGE_EMPTY, "an emergency removal removes, and adds nobody: the order says who replaces")
    start = context.block.height + AHEAD
    register = {each.key: each for each in candidates(context)}
    changed_keys(context, list(register), change)
    for key in change.remove:
        found = register[key]
        if not found.seated:
            raise Refusal(NOT_SEATED, f"{key_text(key)} holds no seat that it could lose", key=key_text(key))
        register[key] = replace(found, leaving=True)
    # What an earlier change of this block has exchanged counts: from one height to the next, so many seats at most.
    entered = sum(1 for each in register.values() if each.seated == start)
    if entered + len(change.remove) > rules.seats_changed:
        raise Refusal(TOO_MANY_LEAVE, f"{rules.seats_changed} seats change hands at one height; the rest with the next")
    others = [replace(each, leaving=False) if each.key not in change.remove else each for each in register.values()]
    changes = exchanges(
        rules, _order(context), others, lambda key: is_admitted_validator(context, key), only_leaving=True
    )
    if len(changes) < len(change.remove):
        raise Refusal(NO_REPLACEMENT, "no candidate that the salt covers, and that is admitted, fits under the caps")
    _seat(context, rules, start, changes)


def set_salt(context: CallContext, order: SetSalt) -> None:
    """Sets the salt anew: those registered before this block are in the order from now on.

    Raises:
        Refusal: ``validators_salt_same``.
    """
    if order.salt == salt_in_force(context).value:
        raise Refusal(SALT_SAME, "this is the salt in force")
    context.state.put(_SALT, encode(Salt(order.salt, context.block.height)))


def _registered(context: CallContext, rules: RotationRules, key: bytes) -> Candidate:
    data = context.enter_kind("admission").state.get(CERTIFICATE_PREFIX + key)
    assert data is not None, "its admission was checked"
    organisation = certificate_codec.decode(data).organisation
    group = group_of(rules, organisation)
    if group is None:
        raise Refusal(NO_GROUP, f"{organisation!r} is in no group of operators that genesis declares")
    return Candidate(key, group, context.block.height, 0, 0, False)


def _check_full(context: CallContext, rules: RotationRules, register: list[Candidate]) -> None:
    if not register:
        raise Refusal(SET_EMPTY, "a chain without validators could never go on")
    order = _order(context)
    possible = seats_possible(rules, [each for each in register if order.eligible(each)])
    if possible < rules.committee:
        raise Refusal(
            COMMITTEE_SHORT,
            f"a committee has {rules.committee} seats, and the candidates under this salt could take {possible}: "
            "register others and set a salt first",
        )
