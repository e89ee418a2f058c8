"""What a version of the rules consists of: lists, declared attributes, expressions; versions and their schedule.

Lists, attributes, expressions and stage facts share one space of names, so that a name in an expression or a verdict
says one thing.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.expression.attributes import AttributeName
from contracts.expression.expression import MAX_SOURCE_BYTES
from contracts.messages import ORDER, REVIEW, SETTLE, STAGES, Hash, HashOrNothing, Key, Time
from contracts.rulebook.approvals import Approval
from ledger.encoding import Codec, Record
from ledger.types import MAX_HEIGHT

MAX_LISTS: Final = 64
MAX_EXPRESSIONS: Final = 64
MAX_DECLARED: Final = 64
MAX_STEPS: Final = 65_536
"""Parts that all expressions of a version together evaluate at most: some milliseconds."""
MAX_CHUNK_ENTRIES: Final = 1_000
MAX_CHUNKS: Final = 65_536
MAX_KINDS: Final = 16

REVIEWER: Final = "reviewer"
SUBJECT: Final = "subject"
SUBJECT_DRUG: Final = "subject_drug"
PHARMACY_SUBJECT: Final = "pharmacy_subject"
ORGANISATION: Final = "organisation"
TRANSACTION: Final = "transaction"
VALUE: Final = "value"
LIST_KINDS: Final = (REVIEWER, SUBJECT, SUBJECT_DRUG, PHARMACY_SUBJECT, ORGANISATION, TRANSACTION, VALUE)
"""What the entries of a list are fingerprints of. ``value``: any text; such a list decides nothing by itself, and is
there for the operator ``in``."""
DEFAULT_STAGES: Final[dict[str, tuple[str, ...]]] = {
    REVIEWER: (REVIEW, ORDER),
    SUBJECT: (ORDER,),
    SUBJECT_DRUG: (ORDER,),
    PHARMACY_SUBJECT: (ORDER,),
    ORGANISATION: STAGES,
    TRANSACTION: (ORDER, SETTLE),
    VALUE: (),
}
"""Where a list of each kind is asked unless it names stages itself (table of PROTOCOL.md 2)."""
IN_EXPRESSIONS: Final = frozenset({REVIEWER, SUBJECT, ORGANISATION, VALUE})
"""Kinds whose lists an expression can ask with ``in``: an entry is one text; keys and pseudonyms in lower-case hex."""

DENY: Final = "deny"
ALLOW: Final = "allow"
REFUSE: Final = "refuse"
HOLD: Final = "hold"
MODES: Final = (DENY, ALLOW)
EFFECTS: Final = (REFUSE, HOLD)

OPEN: Final = "open"
SEALED: Final = "sealed"
APPROVED: Final = "approved"
ACTIVATED: Final = "activated"
ABANDONED: Final = "abandoned"
"""Life of a version. ``activated``: it is or was scheduled; from then on only ``rollback`` brings it back."""

ReasonCode = Annotated[str, Meta(pattern=r"\A(?:[a-z][a-z0-9_]{0,63})?\Z")]
Number = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Word = Annotated[str, Meta(min_length=1, max_length=32)]
HeightNumber = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
Names = Annotated[tuple[AttributeName, ...], Meta(max_length=MAX_LISTS + MAX_EXPRESSIONS + MAX_DECLARED)]
_Stages = Annotated[tuple[Word, ...], Meta(max_length=len(STAGES))]
_Kinds = Annotated[tuple[Word, ...], Meta(max_length=MAX_KINDS)]
_Source = Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_BYTES + 1)]
"""One beyond what compiles, so that a longer source is refused by the compiler, with line and column."""


class Declared(Record, frozen=True):
    """An attribute that authorities attest and expressions may read.

    Attributes:
        name: as in ``contracts.expression.attributes``.
        type: ``bool``, ``int``, ``string`` or ``strings``.
    """

    name: AttributeName
    type: Word


class ListRule(Record, frozen=True):
    """A named list.

    Attributes:
        name: by which expressions and verdicts call it.
        kind: from ``LIST_KINDS``.
        mode: ``deny``: who is on it triggers the effect; ``allow``: who is not on it does. With several candidates
            (the drugs of a document; flow, order and parties of a transaction) ``deny`` needs one of them; ``allow``
            needs every drug, or one of flow, order and parties.
        effect: ``refuse`` or ``hold``.
        reason: reason code; empty for the kind's own, such as ``rules_reviewer_listed``.
        stages: at which it is asked; empty in a proposal for ``DEFAULT_STAGES``.
        kinds: flow kinds for which it is asked; empty for all.
    """

    name: AttributeName
    kind: Word
    mode: Word
    effect: Word = REFUSE
    reason: ReasonCode = ""
    stages: _Stages = ()
    kinds: _Kinds = ()


class ExpressionRule(Record, frozen=True):
    """A rule expression: where it is true, its effect comes about.

    A value that it needs and that is not there holds the stage (``rules_value_missing``), whatever the effect.

    Attributes:
        name: by which verdicts call it.
        source: see ``contracts.expression``.
        effect: ``refuse`` or ``hold``.
        reason: reason code; empty for ``rules_expression``.
        stages: at which it is evaluated; at least one.
        kinds: flow kinds for which it is evaluated; empty for all.
    """

    name: AttributeName
    source: _Source
    effect: Word
    reason: ReasonCode
    stages: _Stages
    kinds: _Kinds = ()


class NumberedList(Record, frozen=True):
    """A list with the number that its entries are kept under; a list that is removed and made anew is another."""

    number: Number
    rule: ListRule


class Definition(Record, frozen=True):
    """A version without the lists' entries; each part is sorted by name.

    Attributes:
        attributes: declared.
        lists: with their numbers.
        expressions: all of them compile.
    """

    attributes: Annotated[tuple[Declared, ...], Meta(max_length=MAX_DECLARED)]
    lists: Annotated[tuple[NumberedList, ...], Meta(max_length=MAX_LISTS)]
    expressions: Annotated[tuple[ExpressionRule, ...], Meta(max_length=MAX_EXPRESSIONS)]


class ListCount(Record, frozen=True):
    """How many entries a list has in a version, expired ones included."""

    list: Number
    entries: Annotated[int, Meta(ge=0, le=2**53)]


class Version(Record, frozen=True):
    """A version from its draft on.

    Attributes:
        number: from 1.
        base: version that it changes; 0 for none.
        status: see ``OPEN`` and the following.
        proposer: officer that made it, the only one who can change the draft.
        description: words for people.
        proposed_height: of the block.
        proposal: digest of the proposal's arguments.
        definition: digest of the resulting ``Definition``.
        chunks: staged so far.
        running: digest over the chunks in their order.
        counts: entries of the lists, by number of the list.
        digest: of the whole draft, ``draft_digest``; empty until sealed.
        approvals: that made it ``approved``.
    """

    number: Number
    base: Number
    status: Word
    proposer: Key
    description: Annotated[str, Meta(max_length=256)]
    proposed_height: HeightNumber
    proposal: Hash
    definition: Hash
    chunks: Number
    running: Hash
    counts: Annotated[tuple[ListCount, ...], Meta(max_length=MAX_LISTS)]
    digest: HashOrNothing
    approvals: tuple[Approval, ...]


class Step(Record, frozen=True):
    """From ``height`` on, ``version`` is in force; at height h the last step that is not above h counts."""

    height: HeightNumber
    version: Number


class Schedule(Record, frozen=True):
    """The step in force and those to come, by height.

    Attributes:
        steps: at most ``MAX_AHEAD`` are to come.
        count: steps ever made; approvals of a rollback name the next number, so that none outlives a change.
    """

    steps: tuple[Step, ...]
    count: Number

    def in_force(self, height: int) -> int:
        """Number of the version in force at ``height``; 0 before the first."""
        found = 0
        for step in self.steps:
            if step.height <= height:
                found = step.version
        return found


class Activation(Record, frozen=True):
    """A step as it was made: kept for ever.

    Attributes:
        step: what.
        rollback: whether it was a rollback; it cancelled the steps that were to come at its height or later.
        made_height: of the block that made it.
        made_ms: time of that block.
        approvals: of the draft, or of the rollback.
    """

    step: Step
    rollback: bool
    made_height: HeightNumber
    made_ms: Time
    approvals: tuple[Approval, ...]


class Counters(Record, frozen=True):
    """Numbers given out, and which versions can be worked with.

    Attributes:
        versions: last number of a version.
        lists: last number of a list.
        drafts: numbers of the drafts that are open, sealed or approved.
        kept: approved versions that can be a base, be rolled back to, and be evaluated; ascending.
    """

    versions: Number = 0
    lists: Number = 0
    drafts: tuple[Number, ...] = ()
    kept: tuple[Number, ...] = ()


class Item(Record, frozen=True):
    """What one version says of one entry.

    Attributes:
        version: which.
        present: added or removed.
        expires_ms: block time after which an added entry does not count; 0 for never.
    """

    version: Number
    present: bool
    expires_ms: Time


class Chunk(Record, frozen=True):
    """A staged chunk: its transaction has the entries.

    Attributes:
        index: from 0.
        transaction: id.
        list: name.
        present: whether they were added or removed.
        entries: how many.
        running: digest over all chunks up to this one.
    """

    index: Number
    transaction: Hash
    list: AttributeName
    present: bool
    entries: Number
    running: Hash


definition_codec = Codec(Definition, 512 * 1024, "definition of rules")
version_codec = Codec(Version, 64 * 1024, "version of rules")
schedule_codec = Codec(Schedule, 4_096, "schedule of rules")
activation_codec = Codec(Activation, 32 * 1024, "activation of rules")
counters_codec = Codec(Counters, 4_096, "counters of rules")
items_codec: Codec[tuple[Item, ...]] = Codec(tuple[Item, ...], 8_192, "history of a list's entry")
chunk_codec = Codec(Chunk, 512, "chunk of entries")
