"""The rule book's methods and views (PROTOCOL.md 2.3); what they do is in the modules beside this one.

    propose → stage, stage, … → seal → approve by k of n officers → activate at a height → (rollback by k of n)

One officer alone opens, fills and seals drafts, and picks the height of one that was approved. What is in force is
changed by nothing that the policy ``officers`` has not approved.
"""

from __future__ import annotations

from contracts.codes import Refusal
from contracts.expression.attributes import as_mapping
from contracts.interface import CallContext, Contract, EndContext, method, view
from contracts.rulebook import activation, codes, drafts
from contracts.rulebook.calls import (
    Activate,
    ActivationPage,
    Approve,
    Approved,
    BookStatus,
    ChunkPage,
    ChunkPageArguments,
    DraftArguments,
    Entry,
    EntryArguments,
    EntryPage,
    EntryPageArguments,
    EntryView,
    Evaluate,
    FactsRecord,
    Nothing,
    NumberArguments,
    PageArguments,
    Propose,
    Proposed,
    Rollback,
    Sealed,
    Stage,
    Staged,
    VerdictRecord,
    VersionPage,
    VersionView,
)
from contracts.rulebook.check import KIND, dry_run
from contracts.rulebook.entries import is_listed, load_items, visible
from contracts.rulebook.facts import Facts
from contracts.rulebook.records import Step, items_codec, version_codec
from contracts.rulebook.state import (
    activations_from,
    chunks_of,
    decoded_definition,
    entries_prefix,
    find_version,
    load_counters,
    load_lineage,
    load_schedule,
    number_bytes,
)
from ledger.errors import NonCanonicalBytes, NotFound


class RuleBook(Contract):
    """See the module."""

    kind = KIND

    @method
    def propose(self, context: CallContext, arguments: Propose) -> Proposed:
        """Opens a draft that changes an approved version; expressions are compiled or refused here."""
        return drafts.propose(context, arguments)

    @method
    def stage(self, context: CallContext, arguments: Stage) -> Staged:
        """Adds up to 1,000 entries to a list of an open draft, or removes them; an addition may expire."""
        return drafts.stage(context, arguments)

    @method
    def seal(self, context: CallContext, arguments: DraftArguments) -> Sealed:
        """Ends a draft's changes and fixes the digest that officers approve."""
        return drafts.seal(context, arguments.draft)

    @method
    def reopen(self, context: CallContext, arguments: DraftArguments) -> None:
        """Lets a sealed draft be changed again; approvals so far are forgotten."""
        drafts.reopen(context, arguments.draft)

    @method
    def abandon(self, context: CallContext, arguments: DraftArguments) -> None:
        """Ends a draft that is not wanted."""
        drafts.abandon(context, arguments.draft)

    @method
    def approve(self, context: CallContext, arguments: Approve) -> Approved:
        """Approves a sealed draft, named by its digest, with every officer's key that signed the transaction."""
        return drafts.approve(context, arguments)

    @method
    def activate(self, context: CallContext, arguments: Activate) -> Step:
        """Puts an approved draft in force from a later height on."""
        return activation.activate(context, arguments)

    @method
    def rollback(self, context: CallContext, arguments: Rollback) -> Approved:
        """Goes back to an earlier version, once as many officers want the same as the policy says."""
        return activation.rollback(context, arguments)

    @view
    def status(self, context: EndContext, arguments: Nothing) -> BookStatus:
        """Which version is in force, what is to come, which drafts there are."""
        del arguments
        schedule, counters = load_schedule(context.state), load_counters(context.state)
        return BookStatus(
            schedule.in_force(context.block.height),
            schedule.steps,
            schedule.count,
            counters.versions,
            counters.drafts,
            counters.kept,
        )

    @view
    def version(self, context: EndContext, arguments: NumberArguments) -> VersionView:
        """A version or draft and what it consists of, entries apart."""
        found = find_version(context.state, arguments.version)
        if found is None:
            raise NotFound(f"there is no version {arguments.version} of the rules")
        return VersionView(found, decoded_definition(context.state, arguments.version))

    @view
    def versions(self, context: EndContext, arguments: PageArguments) -> VersionPage:
        """Versions and drafts, page by page."""
        start = b"v" + number_bytes(min(arguments.after + 1, 2**32 - 1))
        rows = context.state.iterate(b"v", start=start, limit=arguments.limit)
        return VersionPage(tuple(version_codec.decode(data) for _, data in rows))

    @view
    def activations(self, context: EndContext, arguments: PageArguments) -> ActivationPage:
        """Every activation and rollback, page by page, in the order in which they were made."""
        return ActivationPage(activations_from(context, min(arguments.after + 1, 2**32 - 1), arguments.limit))

    @view
    def chunks(self, context: EndContext, arguments: ChunkPageArguments) -> ChunkPage:
        """What was staged for a version: transactions, in which the entries are."""
        return ChunkPage(chunks_of(context, arguments.version, arguments.start, arguments.limit))

    @view
    def entries(self, context: EndContext, arguments: EntryPageArguments) -> EntryPage:
        """The entries of a list in a version, page by page; a page may be short, ``next`` says whether more come."""
        number = _list_number(context, arguments.version, arguments.list)
        lineage, prefix = load_lineage(context.state, arguments.version), entries_prefix(number)
        start = prefix + arguments.after + b"\x00" if arguments.after else None
        rows = list(context.state.iterate(prefix, start=start, limit=arguments.limit))
        found: list[Entry] = []
        for key, data in rows:
            item = visible(items_codec.decode(data), lineage)
            if item is not None and item.present:
                found.append(Entry(key[len(prefix) :], item.expires_ms))
        return EntryPage(tuple(found), rows[-1][0][len(prefix) :] if len(rows) == arguments.limit else b"")

    @view
    def entry(self, context: EndContext, arguments: EntryArguments) -> EntryView:
        """Whether a list has an entry in a version now, and what every version said of it."""
        number = _list_number(context, arguments.version, arguments.list)
        lineage = load_lineage(context.state, arguments.version)
        listed = is_listed(context.state, number, arguments.fingerprint, lineage, context.block.time_ms)
        return EntryView(listed, load_items(context.state, number, arguments.fingerprint))

    @view
    def evaluate(self, context: EndContext, arguments: Evaluate) -> VerdictRecord:
        """What a version, a draft too, would say to these facts: one step of a dry-run against history."""
        said = dry_run(context, arguments.version, facts_of(arguments.facts))
        return VerdictRecord(said.outcome, said.reason, said.rule, said.version)


def facts_of(record: FactsRecord) -> Facts:
    """The facts that a record holds; refuses attributes that are not sorted and distinct."""
    try:
        values = as_mapping(record.values)
    except NonCanonicalBytes as error:
        raise Refusal(codes.FIELD_INVALID, error.message, field="values") from error
    return Facts(
        stage=record.stage,
        kind=record.kind,
        flow=record.flow,
        organisation=record.organisation,
        subject=record.subject,
        drugs=record.drugs,
        reviewer=record.reviewer,
        pharmacy=record.pharmacy,
        order=record.order,
        parties=record.parties,
        amount=record.amount,
        values=values,
        time_ms=record.time_ms,
    )


def _list_number(context: EndContext, version: int, name: str) -> int:
    if version and find_version(context.state, version) is not None:
        for listed in decoded_definition(context.state, version).lists:
            if listed.rule.name == name:
                return listed.number
    raise NotFound(f"version {version} of the rules has no list {name!r}")
