"""Arguments, results and events of the rule book."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.expression.attributes import AttributeName, Attributes
from contracts.messages import Code, Hash, HashOrNothing, Key, KeyOrNothing, Time
from contracts.rulebook.records import (
    MAX_CHUNK_ENTRIES,
    MAX_DECLARED,
    MAX_EXPRESSIONS,
    MAX_LISTS,
    Activation,
    Chunk,
    Declared,
    Definition,
    ExpressionRule,
    HeightNumber,
    Item,
    ListRule,
    Names,
    Number,
    Step,
    Version,
    Word,
)
from ledger.encoding import Record

MAX_PAGE: Final = 200

_Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
_Count = Annotated[int, Meta(ge=1, le=2**32 - 1)]


class Propose(Record, frozen=True):
    """Opens a draft: what it changes in its base, entries of lists apart.

    First ``remove``, then the additions; an addition of the same sort and name replaces. A list that is replaced keeps
    its entries and must keep its kind; one that is removed and added is a new, empty one.

    Attributes:
        base: approved version that it changes; 0 for none. It must be the one in force when the draft is activated.
        description: words for people.
        remove: names of attributes, lists and expressions; sorted, distinct.
        attributes: to add or replace.
        lists: to add or replace.
        expressions: to add or replace.
    """

    base: Number
    description: Annotated[str, Meta(max_length=256)]
    remove: Names = ()
    attributes: Annotated[tuple[Declared, ...], Meta(max_length=MAX_DECLARED)] = ()
    lists: Annotated[tuple[ListRule, ...], Meta(max_length=MAX_LISTS)] = ()
    expressions: Annotated[tuple[ExpressionRule, ...], Meta(max_length=MAX_EXPRESSIONS)] = ()


class Entry(Record, frozen=True):
    """An entry to add or remove.

    Attributes:
        fingerprint: ``rulebook.fingerprints.fingerprint``.
        expires_ms: last block time at which it counts; 0 for ever, and where it is removed.
    """

    fingerprint: Hash
    expires_ms: Time = 0


class Stage(Record, frozen=True):
    """A chunk of entries for one list of a draft.

    Attributes:
        draft: number.
        index: of the chunk, from 0; so that a chunk that is sent again is refused, and an import can resume.
        list: its name in the draft.
        present: True adds, False removes.
        entries: sorted by fingerprint, distinct.
    """

    draft: Number
    index: Number
    list: AttributeName
    present: bool
    entries: Annotated[tuple[Entry, ...], Meta(min_length=1, max_length=MAX_CHUNK_ENTRIES)]


class DraftArguments(Record, frozen=True):
    """Names a draft."""

    draft: Number


class Approve(Record, frozen=True):
    """One officer's approval of a sealed draft.

    Attributes:
        draft: number.
        digest: of the whole draft as the officer saw it; see ``rulebook.drafts.draft_digest``.
    """

    draft: Number
    digest: Hash


class Activate(Record, frozen=True):
    """Puts an approved draft in force from ``height`` on; 0 for the next block."""

    draft: Number
    height: HeightNumber


class Rollback(Record, frozen=True):
    """One officer's will to go back to a version that has been in force; 0 for no rules at all.

    Attributes:
        version: which.
        height: from which on; 0 for at once, in the very block of the last approval.
        counter: number of this step, one more than ``BookStatus.steps_made``: approvals do not outlive a change.
    """

    version: Number
    height: HeightNumber
    counter: _Count


class Proposed(Record, frozen=True):
    """The number that a draft got."""

    draft: Number


class Staged(Record, frozen=True):
    """What a chunk did.

    Attributes:
        draft: number.
        index: of the chunk.
        entries: of the list in the draft now, expired ones included.
        running: digest over all chunks so far.
    """

    draft: Number
    index: Number
    entries: Annotated[int, Meta(ge=0)]
    running: Hash


class Sealed(Record, frozen=True):
    """The digest that officers approve."""

    draft: Number
    digest: Hash


class Approved(Record, frozen=True):
    """Whether the policy is satisfied now, and how many keys have approved."""

    done: bool
    approvals: Annotated[int, Meta(ge=0)]


class DraftChanged(Record, frozen=True):
    """Event of a draft: ``proposed``, ``sealed``, ``reopened``, ``approved``, ``abandoned``."""

    draft: Number
    base: Number
    digest: HashOrNothing
    by: Key


class Nothing(Record, frozen=True):
    """No arguments."""


class NumberArguments(Record, frozen=True):
    """Names a version."""

    version: Number


class VersionView(Record, frozen=True):
    """A version and what it consists of, entries of lists apart."""

    version: Version
    definition: Definition


class PageArguments(Record, frozen=True):
    """A page of numbered things after number ``after``."""

    after: Number
    limit: _Limit


class VersionPage(Record, frozen=True):
    """Versions in order of their numbers."""

    versions: tuple[Version, ...]


class ActivationPage(Record, frozen=True):
    """Steps in the order in which they were made."""

    activations: tuple[Activation, ...]


class ChunkPageArguments(Record, frozen=True):
    """Chunks of a version from index ``start`` on."""

    version: Number
    start: Number
    limit: _Limit


class ChunkPage(Record, frozen=True):
    """Chunks in order."""

    chunks: tuple[Chunk, ...]


class EntryPageArguments(Record, frozen=True):
    """Entries of a list as a version has them, after ``after`` (empty for the first) in order of fingerprints."""

    version: Number
    list: AttributeName
    after: HashOrNothing
    limit: _Limit


class EntryPage(Record, frozen=True):
    """Entries, expired ones included; ``next`` is what the next page comes after, empty at the end."""

    entries: tuple[Entry, ...]
    next: bytes


class EntryArguments(Record, frozen=True):
    """Asks for one entry of a list."""

    version: Number
    list: AttributeName
    fingerprint: Hash


class EntryView(Record, frozen=True):
    """Whether an entry counts in a version now, and what all versions said of it."""

    listed: bool
    history: tuple[Item, ...]


class BookStatus(Record, frozen=True):
    """Where the rules stand.

    Attributes:
        in_force: version in force at the next block; 0 for none.
        steps: the one in force and those to come.
        steps_made: number of the last step.
        versions: number of the last version.
        drafts: that are open, sealed or approved.
        kept: versions that can be a base, be rolled back to, and be evaluated.
    """

    in_force: Number
    steps: tuple[Step, ...]
    steps_made: Number
    versions: Number
    drafts: tuple[Number, ...]
    kept: tuple[Number, ...]


class FactsRecord(Record, frozen=True):
    """``rulebook.check.Facts`` as it travels; fields as there, ``values`` as attributes."""

    stage: Word
    kind: Word
    flow: Hash
    organisation: Annotated[str, Meta(max_length=128)]
    subject: HashOrNothing
    drugs: Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=256)]
    reviewer: KeyOrNothing
    pharmacy: KeyOrNothing
    order: HashOrNothing
    parties: Annotated[tuple[Key, ...], Meta(max_length=32)]
    amount: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    values: Attributes
    time_ms: Time = 0


class Evaluate(Record, frozen=True):
    """Asks what a version, a draft too, would say to these facts."""

    version: Number
    facts: FactsRecord


class VerdictRecord(Record, frozen=True):
    """``rulebook.check.Verdict`` as it travels."""

    outcome: Word
    reason: Code
    rule: Code
    version: Number
