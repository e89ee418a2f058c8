"""Which version is in force from which height on: activation of approved drafts, and rollback in one step.

A rollback writes one record, the schedule, however long the lists are: what the entries of a list say in a version is
decided by that version's lineage when they are looked up (rulebook/lineage.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from contracts.codes import Refusal
from contracts.governance.policies import OFFICERS, policy
from contracts.interface import CallContext
from contracts.rulebook import codes
from contracts.rulebook.approvals import Approval, approvals_so_far, approve_by_signers, counting, satisfied
from contracts.rulebook.calls import Activate, Approved, Rollback
from contracts.rulebook.drafts import no_draft_any_more, require_officer
from contracts.rulebook.records import ACTIVATED, APPROVED, Activation, Schedule, Step
from contracts.rulebook.state import (
    load_counters,
    load_schedule,
    load_version,
    save_activation,
    save_schedule,
    save_version,
)
from ledger.encoding import digest, encode

MAX_AHEAD: Final = 8
"""Steps that are to come."""
MAX_BLOCKS_AHEAD: Final = 10_000_000


def activate(context: CallContext, arguments: Activate) -> Step:
    """Puts an approved draft in force from a later height on; whoever approved it must still satisfy the policy."""
    lock = require_officer(context)
    version = load_version(context.state, arguments.draft)
    if version.status != APPROVED:
        raise Refusal(codes.STATUS_WRONG, f"version {version.number} is {version.status}", status=version.status)
    if not satisfied(context, version.approvals, lock):
        raise Refusal(codes.APPROVALS_LAPSED, "those who approved it do not satisfy the policy any more")
    now = context.block.height
    step = Step(arguments.height or now + 1, version.number)
    if not now < step.height <= now + MAX_BLOCKS_AHEAD:
        raise Refusal(codes.HEIGHT_INVALID, f"it can be in force from block {now + 1} on", height=now)
    schedule = load_schedule(context.state)
    steps = _reached(schedule, now)
    _check_room(steps, now)
    if steps and step.height <= steps[-1].height:
        raise Refusal(codes.HEIGHT_INVALID, f"another step is made at {steps[-1].height}", height=steps[-1].height)
    last = steps[-1].version if steps else 0
    if version.base != last:
        raise Refusal(
            codes.BASE_SUPERSEDED,
            f"it changes version {version.base}, and {last} will be in force by then",
            version=last,
        )
    _make(context, Schedule((*steps, step), schedule.count + 1), step, version.approvals, rollback=False)
    save_version(context.state, msgspec.structs.replace(version, status=ACTIVATED))
    no_draft_any_more(context, version.number)
    return step


def rollback(context: CallContext, arguments: Rollback) -> Approved:
    """Goes back to a version that has been in force, and cancels what is to come from that height on."""
    now = context.block.height
    schedule = load_schedule(context.state)
    if arguments.counter != schedule.count + 1:
        raise Refusal(codes.COUNTER_WRONG, f"the next step is number {schedule.count + 1}", next=schedule.count + 1)
    _check_target(context, arguments.version)
    if arguments.height and not now <= arguments.height <= now + MAX_BLOCKS_AHEAD:
        raise Refusal(codes.HEIGHT_INVALID, f"the next height is {now}", height=now)
    step = Step(arguments.height or now, arguments.version)
    before = [earlier for earlier in _reached(schedule, now) if earlier.height < step.height]
    cancelled = [later for later in schedule.steps if later.height >= step.height]
    if not cancelled and (before[-1].version if before else 0) == step.version:
        raise Refusal(codes.UNCHANGED, f"version {step.version} will be in force then anyway")
    _check_room(before, now)
    subject = digest(b"tidegate/rules-rollback", context.block.chain_id, encode(arguments))
    lock = policy(context, OFFICERS)
    approvals = approve_by_signers(context, subject, lock)
    if approvals is None:
        return Approved(False, len(counting(context, approvals_so_far(context, subject), lock)))
    _make(context, Schedule((*before, step), schedule.count + 1), step, approvals, rollback=True)
    return Approved(True, len(approvals))


def _check_target(context: CallContext, number: int) -> None:
    if number and (
        number not in load_counters(context.state).kept or load_version(context.state, number).status != ACTIVATED
    ):
        raise Refusal(codes.BASE_UNKNOWN, f"version {number} has not been in force, or is too old", version=number)


def _reached(schedule: Schedule, height: int) -> tuple[Step, ...]:
    """The step in force at ``height`` and those to come."""
    past = [step for step in schedule.steps if step.height <= height]
    return (*past[-1:], *[step for step in schedule.steps if step.height > height])


def _check_room(steps: Iterable[Step], height: int) -> None:
    if sum(step.height > height for step in steps) >= MAX_AHEAD:
        raise Refusal(codes.TOO_MANY, f"at most {MAX_AHEAD} steps are to come", what="steps")


def _make(
    context: CallContext, schedule: Schedule, step: Step, approvals: tuple[Approval, ...], *, rollback: bool
) -> None:
    activation = Activation(step, rollback, context.block.height, context.block.time_ms, approvals)
    save_schedule(context.state, schedule)
    save_activation(context.state, schedule.count, activation)
    context.emit("rolled_back" if rollback else "activated", activation)
