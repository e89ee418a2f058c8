"""The life of a version of the rules: proposed, filled, sealed, approved, activated, rolled back (PROTOCOL.md 2.3).

A proposal is idempotent: the same plan by the same officer takes up the draft that an interruption left, after checking
that what is staged already is what the plan says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from contracts.rulebook.calls import (
    Activate,
    Approve,
    Approved,
    BookStatus,
    DraftArguments,
    Entry,
    Nothing,
    NumberArguments,
    Propose,
    Proposed,
    Rollback,
    Sealed,
    Stage,
    Staged,
    VersionView,
)
from contracts.rulebook.drafts import next_running, proposal_digest
from contracts.rulebook.records import (
    APPROVED,
    MAX_CHUNK_ENTRIES,
    OPEN,
    SEALED,
    Declared,
    Definition,
    ExpressionRule,
    ListRule,
    Step,
)
from contracts.rulebook.records import Version as VersionRecord
from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound
from ledger.transaction import MAX_CALLS, Call
from ledger.types import ZERO_HASH
from node.calling import Caller, result_of
from node.gateway import Gateway

CONTRACT: Final = "rules"
MAX_STAGED_BYTES: Final = 224 * 1024
"""Arguments of the chunks in one transaction, which has at most 256 KiB in all."""
DRAFT_DIFFERS: Final = "rules_draft_differs"


class EntrySource(Protocol):
    """Entries of a list, gone through more than once, each time the same."""

    def __iter__(self) -> Iterator[Entry]:
        """Entries in any order; one that occurs twice counts once."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """Entries that a plan adds to a list or takes from it.

    Attributes:
        list: name.
        present: True adds, False removes.
        entries: which; a million is no trouble when the source reads them as they are asked for.
    """

    list: str
    present: bool
    entries: EntrySource | Sequence[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """What a version is to change in its base.

    Attributes:
        base: version that it changes; None for the one in force.
        description: words for people.
        remove: names of attributes, lists and expressions to take out.
        attributes: name → type.
        lists: to add or replace.
        expressions: to add or replace.
        changes: entries of lists, in the order in which they are staged.
    """

    description: str = ""
    base: int | None = None
    remove: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    lists: tuple[ListRule, ...] = ()
    expressions: tuple[ExpressionRule, ...] = ()
    changes: tuple[Change, ...] = ()

    def proposal(self, base: int) -> Propose:
        """The arguments of ``rules.propose``, in their canonical order."""
        return Propose(
            base,
            self.description,
            tuple(sorted(self.remove)),
            tuple(Declared(name, self.attributes[name]) for name in sorted(self.attributes)),
            tuple(sorted(self.lists, key=lambda rule: rule.name)),
            tuple(sorted(self.expressions, key=lambda rule: rule.name)),
        )


# --- looking --------------------------------------------------------------------------------------------------------


async def status(gateway: Gateway) -> BookStatus:
    """Where the rules stand."""
    return await gateway.view(CONTRACT, "status", Nothing(), BookStatus)


async def version_of(gateway: Gateway, number: int) -> VersionView:
    """A version or draft; version 0 is no rules at all. Raises ``NotFound``."""
    return await gateway.view(CONTRACT, "version", NumberArguments(number), VersionView)


async def definition_of(gateway: Gateway, number: int) -> Definition:
    """What a version consists of, entries of lists apart; version 0 of nothing. Raises ``NotFound``."""
    return (await version_of(gateway, number)).definition if number else Definition((), (), ())


async def next_base(gateway: Gateway) -> int:
    """The version that a draft changes which is to follow what is in force, or is to come already; 0 for none."""
    steps = (await status(gateway)).steps
    return steps[-1].version if steps else 0


# --- proposing ------------------------------------------------------------------------------------------------------


async def propose(
    officer: Caller, plan: RulePlan, *, progress: Callable[[int], None] = lambda _: None
) -> tuple[int, bytes]:
    """Opens a draft, or takes up the officer's own of the same plan, stages its entries, and seals it.

    Args:
        officer: who proposes; only this one can go on with the draft.
        plan: what to change.
        progress: told how many entries more are staged.

    Returns:
        The version's number and the digest to approve.

    Raises:
        InvalidInput: the chain refused; or ``rules_draft_differs``: an interrupted draft holds other entries.
    """
    gateway = officer.gateway
    info = await gateway.info()
    base = plan.base if plan.base is not None else await next_base(gateway)
    proposal = plan.proposal(base)
    draft = await _own_draft(officer, proposal_digest(info.chain_id, proposal))
    if draft is None:
        number = result_of(await officer.call(CONTRACT, "propose", proposal), Proposed).draft
        done, running = 0, bytes(ZERO_HASH)
    else:
        number, done, running = draft.number, draft.chunks, draft.running
    ended = draft is not None and draft.status != OPEN
    await _stage(officer, info.chain_id, number, plan.changes, done, running, progress, ended=ended)
    if draft is not None and ended:
        return number, draft.digest
    sealed = result_of(await officer.call(CONTRACT, "seal", DraftArguments(number)), Sealed)
    return number, sealed.digest


async def _own_draft(officer: Caller, proposal: bytes) -> VersionRecord | None:
    for number in (await status(officer.gateway)).drafts:
        try:
            found = (await version_of(officer.gateway, number)).version
        except NotFound:
            continue
        own = found.proposer == officer.key.public and found.proposal == proposal
        if own and found.status in (OPEN, SEALED, APPROVED):
            return found
    return None


def chunks_of(draft: int, changes: Iterable[Change]) -> Iterator[Stage]:
    """The chunks of a draft in their order: at most 1,000 entries each, sorted and distinct within a chunk."""
    index = 0
    for change in changes:
        gathered: dict[bytes, int] = {}
        for entry in change.entries:
            gathered[entry.fingerprint] = entry.expires_ms if change.present else 0
            if len(gathered) == MAX_CHUNK_ENTRIES:
                yield _chunk(draft, index, change, gathered)
                index, gathered = index + 1, {}
        if gathered:
            yield _chunk(draft, index, change, gathered)
            index += 1


def _chunk(draft: int, index: int, change: Change, gathered: dict[bytes, int]) -> Stage:
    entries = tuple(Entry(name, gathered[name]) for name in sorted(gathered))
    return Stage(draft, index, change.list, change.present, entries)


async def _stage(
    officer: Caller,
    chain_id: bytes,
    draft: int,
    changes: Sequence[Change],
    done: int,
    staged: bytes,
    progress: Callable[[int], None],
    *,
    ended: bool,
) -> None:
    """Sends the chunks that are not on chain, several in a transaction; those that are must be the plan's."""
    running = bytes(ZERO_HASH)
    waiting: list[Call] = []
    size = entries = count = 0
    for chunk in chunks_of(draft, changes):
        count += 1
        running = next_running(chain_id, running, chunk)
        if chunk.index < done:
            progress(len(chunk.entries))
            if chunk.index == done - 1 and running != staged:
                raise _differs(draft)
            continue
        if ended:
            raise _differs(draft)
        data = encode(chunk)
        if waiting and (size + len(data) > MAX_STAGED_BYTES or len(waiting) == MAX_CALLS):
            await _send(officer, waiting)
            progress(entries)
            waiting, size, entries = [], 0, 0
        waiting.append(Call(CONTRACT, "stage", data))
        size, entries = size + len(data), entries + len(chunk.entries)
    if count < done:
        raise _differs(draft)
    if waiting:
        outcome = await _send(officer, waiting)
        progress(entries)
        if outcome.running != running:
            raise _differs(draft)


async def _send(officer: Caller, calls: list[Call]) -> Staged:
    return result_of(await officer.send(calls), Staged, len(calls) - 1)


def _differs(draft: int) -> InvalidInput:
    return InvalidInput(
        f"draft {draft} holds other entries than this plan; abandon it, or propose what it was made from",
        code=DRAFT_DIFFERS,
        draft=draft,
    )


# --- deciding -------------------------------------------------------------------------------------------------------


async def approve(officers: Sequence[Caller], version: int, digest: bytes) -> Approved:
    """Officers approve a sealed draft as they have seen it, one after the other, until enough have."""
    done = Approved(False, 0)
    for officer in officers:
        done = result_of(await officer.call(CONTRACT, "approve", Approve(version, digest)), Approved)
        if done.done:
            break
    return done


async def activate(officer: Caller, version: int, height: int = 0) -> Step:
    """An officer puts an approved version in force from ``height`` on; 0: from the next block."""
    return result_of(await officer.call(CONTRACT, "activate", Activate(version, height)), Step)


async def rollback(officers: Sequence[Caller], version: int, height: int = 0) -> Approved:
    """Officers go back to a version that has been in force; 0: no rules; ``height`` 0: with the last approval."""
    counter = (await status(officers[0].gateway)).steps_made + 1
    done = Approved(False, 0)
    for officer in officers:
        done = result_of(await officer.call(CONTRACT, "rollback", Rollback(version, height, counter)), Approved)
        if done.done:
            break
    return done


async def abandon(officer: Caller, version: int) -> None:
    """The officer who made a draft ends it; any officer may where it is old."""
    await officer.call(CONTRACT, "abandon", DraftArguments(version))


async def install(officers: Sequence[Caller], plan: RulePlan) -> int:
    """Proposes, approves and activates a plan from the next block on; returns the version's number.

    Whatever is sent to the chain afterwards meets these rules.

    Args:
        officers: as many as the policy needs; the first proposes.
        plan: what to change.

    Raises:
        InvalidInput: the chain refused a step; ``rules_approvals_missing``: too few officers.
    """
    number, digest = await propose(officers[0], plan)
    gateway = officers[0].gateway
    if (await version_of(gateway, number)).version.status != APPROVED:
        outcome = await approve(officers, number, digest)
        if not outcome.done:
            raise InvalidInput(
                f"version {number} has {outcome.approvals} approvals, and needs more", code="rules_approvals_missing"
            )
    await activate(officers[0], number)
    return number
