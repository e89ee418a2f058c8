"""Drafts: proposed, filled chunk by chunk, sealed, approved by as many officers as the policy says (PROTOCOL.md 2.3).

Each approval names a digest of the whole draft. Reopening a draft forgets the approvals, and a change gives another
digest, so nobody approves what he has not seen. Only the officer who made a draft changes it; nothing of a draft shows
in the version in force.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

from contracts.codes import NOT_PERMITTED, Refusal
from contracts.governance.policies import OFFICERS, keys_of, policy
from contracts.interface import CallContext, StateSpace
from contracts.rulebook import codes
from contracts.rulebook.approvals import (
    MAX_APPROVAL_AGE,
    approvals_so_far,
    approve_by_signers,
    counting,
    forget,
)
from contracts.rulebook.calls import Approve, Approved, DraftChanged, Propose, Proposed, Sealed, Stage, Staged
from contracts.rulebook.definition import changed
from contracts.rulebook.entries import Staging
from contracts.rulebook.records import (
    ABANDONED,
    ACTIVATED,
    APPROVED,
    MAX_CHUNKS,
    OPEN,
    SEALED,
    Chunk,
    Counters,
    Definition,
    ListCount,
    Version,
    definition_codec,
)
from contracts.rulebook.state import (
    decoded_definition,
    find_version,
    load_counters,
    load_definition,
    load_lineage,
    load_schedule,
    load_version,
    save_chunk,
    save_counters,
    save_definition,
    save_lineage,
    save_version,
)
from ledger.encoding import digest, encode
from ledger.lock import Lock
from ledger.types import ZERO_HASH, Hash32

MAX_DRAFTS: Final = 16
MAX_DRAFTS_PER_OFFICER: Final = 2
"""So that one officer cannot keep the others from proposing."""
MAX_KEPT: Final = 32
"""Approved versions that can be a base, be rolled back to, and be evaluated; those in the schedule always are."""
MAX_DRAFT_AGE: Final = MAX_APPROVAL_AGE
"""Blocks after which any officer may abandon a draft."""
_NO_ENTRIES_EVER: Final = frozenset({ABANDONED, APPROVED, ACTIVATED})


def draft_digest(chain_id: bytes, version: Version) -> Hash32:
    """What officers approve: number, base, proposal, resulting definition, and every staged chunk in its order."""
    return digest(
        b"tidegate/rules-draft",
        chain_id,
        encode((version.number, version.base, version.proposer)),
        version.proposal,
        version.definition,
        encode((version.chunks, version.counts)),
        version.running,
    )


def proposal_digest(chain_id: bytes, proposal: Propose) -> Hash32:
    """Digest of a proposal's arguments, as it enters ``draft_digest``."""
    return digest(b"tidegate/rules-proposal", chain_id, encode(proposal))


def definition_digest(chain_id: bytes, definition: bytes) -> Hash32:
    """Digest of a definition's canonical bytes, as it enters ``draft_digest``."""
    return digest(b"tidegate/rules-definition", chain_id, definition)


def next_running(chain_id: bytes, running: bytes, chunk: Stage) -> Hash32:
    """The running digest after one more chunk; it begins with 32 zero bytes."""
    return digest(b"tidegate/rules-chunk", chain_id, running, encode(chunk))


def require_officer(context: CallContext) -> Lock:
    """Policy ``officers``; refuses with ``not_permitted`` unless the sender's key is in it."""
    lock = policy(context, OFFICERS)
    if context.sender.key not in keys_of(lock):
        raise Refusal(NOT_PERMITTED, "only officers change rules")
    return lock


def propose(context: CallContext, arguments: Propose) -> Proposed:
    """Opens a draft with the next number."""
    require_officer(context)
    state, chain_id = context.state, context.block.chain_id
    counters = load_counters(state)
    _check_room(state, counters, context.sender.key)
    if arguments.base and arguments.base not in counters.kept:
        raise Refusal(
            codes.BASE_UNKNOWN, f"version {arguments.base} was never approved, or is too old", kept=counters.kept
        )
    checked = changed(decoded_definition(state, arguments.base), arguments, counters.lists)
    number = counters.versions + 1
    base = find_version(state, arguments.base)
    data = encode(checked.definition)
    version = Version(
        number=number,
        base=arguments.base,
        status=OPEN,
        proposer=context.sender.key,
        description=arguments.description,
        proposed_height=context.block.height,
        proposal=proposal_digest(chain_id, arguments),
        definition=definition_digest(chain_id, data),
        chunks=0,
        running=ZERO_HASH,
        counts=_counts(checked.definition, () if base is None else base.counts),
        digest=b"",
        approvals=(),
    )
    lineage = load_lineage(state, arguments.base).followed_by(number, lambda other: _never_has_entries(state, other))
    save_version(state, version)
    save_definition(state, number, data)
    save_lineage(state, number, lineage)
    save_counters(state, Counters(number, checked.lists, (*counters.drafts, number), counters.kept))
    _emit(context, "proposed", version)
    return Proposed(number)


def stage(context: CallContext, arguments: Stage) -> Staged:
    """Adds entries to a list of an open draft, or removes them."""
    version = _own_draft(context, arguments.draft, OPEN)
    if arguments.index != version.chunks:
        raise Refusal(codes.CHUNK_OUT_OF_ORDER, f"the next chunk is number {version.chunks}", next=version.chunks)
    if version.chunks >= MAX_CHUNKS:
        raise Refusal(codes.TOO_MANY, f"a draft has at most {MAX_CHUNKS} chunks", what="chunks")
    _check_entries(arguments)
    definition = definition_codec.decode(load_definition(context.state, version.number))
    number = next((listed.number for listed in definition.lists if listed.rule.name == arguments.list), None)
    if number is None:
        raise Refusal(codes.NAME_UNKNOWN, f"the draft has no list {arguments.list!r}", name=arguments.list)
    staging, present = Staging(context.state, version.number), arguments.present
    grown = sum([staging.put(number, entry.fingerprint, present, entry.expires_ms) for entry in arguments.entries])
    running = next_running(context.block.chain_id, version.running, arguments)
    counts = tuple(
        ListCount(count.list, count.entries + grown) if count.list == number else count for count in version.counts
    )
    save_version(
        context.state, msgspec.structs.replace(version, chunks=version.chunks + 1, running=running, counts=counts)
    )
    transaction = context.transaction.tx_id
    chunk = Chunk(arguments.index, transaction, arguments.list, present, len(arguments.entries), running)
    save_chunk(context.state, version.number, chunk)
    entries = next(count.entries for count in counts if count.list == number)
    return Staged(version.number, arguments.index, entries, running)


def seal(context: CallContext, draft: int) -> Sealed:
    """Ends a draft's changes and fixes its digest."""
    version = _own_draft(context, draft, OPEN)
    name = draft_digest(context.block.chain_id, version)
    version = msgspec.structs.replace(version, status=SEALED, digest=name)
    save_version(context.state, version)
    _emit(context, "sealed", version)
    return Sealed(draft, name)


def reopen(context: CallContext, draft: int) -> None:
    """Lets a sealed draft be changed again, and forgets who approved it."""
    version = _own_draft(context, draft, SEALED)
    forget(context, version.digest)
    version = msgspec.structs.replace(version, status=OPEN, digest=b"")
    save_version(context.state, version)
    _emit(context, "reopened", version)


def abandon(context: CallContext, draft: int) -> None:
    """Ends a draft that never was in force: by its proposer, or by any officer when it or its proposer is gone by."""
    lock = require_officer(context)
    version = load_version(context.state, draft)
    if version.status not in (OPEN, SEALED, APPROVED):
        raise Refusal(codes.STATUS_WRONG, f"version {draft} is {version.status}", status=version.status)
    proposer = version.proposer
    stands = proposer in keys_of(lock) and context.directory.member(proposer) is not None
    old = context.block.height - version.proposed_height > MAX_DRAFT_AGE
    if context.sender.key != proposer and stands and not old:
        raise Refusal(NOT_PERMITTED, "a draft is abandoned by the officer who made it")
    if version.digest:
        forget(context, version.digest)
    counters = _without_draft(load_counters(context.state), draft)
    kept = tuple(old for old in counters.kept if old != draft)
    save_counters(context.state, Counters(counters.versions, counters.lists, counters.drafts, kept))
    version = msgspec.structs.replace(version, status=ABANDONED)
    save_version(context.state, version)
    _emit(context, "abandoned", version)


def approve(context: CallContext, arguments: Approve) -> Approved:
    """Approves a sealed draft; with the approval that satisfies the policy it can be activated.

    An approved draft whose approvals have lapsed is approved anew in the same way.
    """
    lock = policy(context, OFFICERS)
    version = load_version(context.state, arguments.draft)
    if version.status not in (SEALED, APPROVED):
        raise Refusal(codes.STATUS_WRONG, f"version {version.number} is {version.status}", status=version.status)
    if arguments.digest != version.digest:
        raise Refusal(codes.DIGEST_DIFFERS, "the draft is another one now; look at it again", digest=version.digest)
    approvals = approve_by_signers(context, version.digest, lock)
    if approvals is None:
        return Approved(False, len(counting(context, approvals_so_far(context, version.digest), lock)))
    version = msgspec.structs.replace(version, status=APPROVED, approvals=approvals)
    save_version(context.state, version)
    save_counters(context.state, _keep(context, version.number))
    _emit(context, "approved", version)
    return Approved(True, len(approvals))


def _emit(context: CallContext, name: str, version: Version) -> None:
    context.emit(name, DraftChanged(version.number, version.base, version.digest, context.sender.key))


def _own_draft(context: CallContext, draft: int, status: str) -> Version:
    require_officer(context)
    version = load_version(context.state, draft)
    if version.proposer != context.sender.key:
        raise Refusal(NOT_PERMITTED, "a draft is changed by the officer who made it")
    if version.status != status:
        raise Refusal(codes.STATUS_WRONG, f"version {draft} is {version.status}", status=version.status)
    return version


def _check_room(state: StateSpace, counters: Counters, officer: bytes) -> None:
    if len(counters.drafts) >= MAX_DRAFTS:
        raise Refusal(codes.DRAFTS_FULL, f"there are {MAX_DRAFTS} drafts; activate or abandon one")
    own = [number for number in counters.drafts if load_version(state, number).proposer == officer]
    if len(own) >= MAX_DRAFTS_PER_OFFICER:
        raise Refusal(
            codes.DRAFTS_FULL, f"an officer has at most {MAX_DRAFTS_PER_OFFICER} drafts; abandon one", drafts=tuple(own)
        )


def _check_entries(arguments: Stage) -> None:
    for a, b in pairwise(arguments.entries):
        if a.fingerprint >= b.fingerprint:
            raise Refusal(codes.ENTRIES_INVALID, "the entries of a chunk are sorted by fingerprint and distinct")
    if not arguments.present and any(entry.expires_ms for entry in arguments.entries):
        raise Refusal(codes.ENTRIES_INVALID, "a removed entry does not expire")


def _counts(definition: Definition, before: tuple[ListCount, ...]) -> tuple[ListCount, ...]:
    known = {count.list: count.entries for count in before}
    return tuple(ListCount(listed.number, known.get(listed.number, 0)) for listed in definition.lists)


def _never_has_entries(state: StateSpace, number: int) -> bool:
    other = find_version(state, number)
    return other is not None and not other.chunks and other.status in _NO_ENTRIES_EVER


def _keep(context: CallContext, number: int) -> Counters:
    """Counters with one more approved version; the oldest that no step of the schedule names makes room, if any."""
    counters = load_counters(context.state)
    if number in counters.kept:
        return counters
    kept = sorted([*counters.kept, number])
    needed = {number, *(step.version for step in load_schedule(context.state).steps)}
    dispensable = [old for old in kept if old not in needed]
    if len(kept) > MAX_KEPT and dispensable:
        kept.remove(dispensable[0])
    return Counters(counters.versions, counters.lists, counters.drafts, tuple(kept))


def _without_draft(counters: Counters, number: int) -> Counters:
    drafts = tuple(draft for draft in counters.drafts if draft != number)
    return Counters(counters.versions, counters.lists, drafts, counters.kept)


def no_draft_any_more(context: CallContext, number: int) -> None:
    """Takes a version that is in the schedule now out of the drafts; it is kept."""
    save_counters(context.state, _without_draft(_keep(context, number), number))
