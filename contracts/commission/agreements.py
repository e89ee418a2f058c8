"""Agreements: drafted by one party, signed by the other, then in force from a height on (PROTOCOL.md 1.2).

Drafts are kept by the hash of their text, and a signature names that hash: nobody signs a text that was changed
meanwhile, and nobody blocks an id by drafting nonsense under it. A version replaces the one before at its activation
height; the parties' organisations stay, a new key needs the old one's signature beside its own.
"""

from __future__ import annotations

from typing import Final

from contracts.codes import Refusal
from contracts.commission import codes
from contracts.commission.amounts import agreement_hash
from contracts.commission.calls import AgreementSigned, Propose, Sign
from contracts.commission.records import PARTIES, PLATFORM, Agreement, Party
from contracts.commission.state import (
    Activations,
    Draft,
    Version,
    Versions,
    activated_key,
    activation_key,
    activations_codec,
    agreement_key,
    draft_codec,
    draft_key,
    load_agreement,
    number,
    parties_lock,
    versions_codec,
    versions_key,
)
from contracts.commission.terms import check_agreement
from contracts.interface import CallContext
from ledger.encoding import encode
from ledger.lock import AccountLock, parse_lock

MAX_VERSIONS_AHEAD: Final = 8
"""Completed versions of an agreement that have not activated yet."""
MAX_ACTIVATIONS_PER_HEIGHT: Final = 16
"""Agreements whose versions activate at one height; the next chooses another."""


def party_of(agreement: Agreement, party: str) -> Party:
    """The named side; refuses with ``commission_party_unknown``."""
    if party not in PARTIES:
        raise Refusal(codes.PARTY_UNKNOWN, f"a party is {' or '.join(PARTIES)}, not {party[:40]!r}")
    return agreement.platform if party == PLATFORM else agreement.insurer


def require_party(context: CallContext, agreement: Agreement, party: str) -> Party:
    """The named side, once its key has signed the transaction and is still admitted for its organisation.

    The sender's admission alone would not do: anybody may submit, also with the signature of a key that was revoked.

    Raises:
        Refusal: ``commission_party_unknown``, ``not_permitted``, ``commission_party_not_admitted``.
    """
    side = party_of(agreement, party)
    context.require_signature(side.key, f"the {party}, {side.organisation},")
    _require_admitted(context, side, party)
    return side


def propose(context: CallContext, arguments: Propose) -> AgreementSigned:
    """See ``Commission.propose``."""
    agreement = arguments.agreement
    check_agreement(context.address, agreement)
    versions = _check_succession(context, agreement)
    _require_signatures(context, agreement, arguments.party, versions)
    terms_hash = agreement_hash(context.block.chain_id, context.address, agreement)
    key = draft_key(agreement.agreement, terms_hash)
    if context.state.get(key) is not None:
        raise Refusal(codes.DRAFT_EXISTS, "exactly this draft is there already; the other party signs it with `sign`")
    context.state.put(key, encode(Draft(agreement, arguments.party)))
    activation = activation_of(agreement, context.block.height)
    result = AgreementSigned(agreement.agreement, agreement.version, terms_hash, False, activation)
    context.emit("agreement_proposed", result)
    return result


def sign(context: CallContext, arguments: Sign) -> AgreementSigned:
    """See ``Commission.sign``."""
    key = draft_key(arguments.agreement, arguments.agreement_hash)
    data = context.state.get(key)
    draft = None if data is None else draft_codec.decode(data)
    if draft is None or draft.agreement.version != arguments.version:
        raise Refusal(codes.DRAFT_UNKNOWN, "there is no draft of that version with that hash; read it again and sign")
    agreement = draft.agreement
    versions = _check_succession(context, agreement)
    if arguments.party == draft.signed_by:
        raise Refusal(codes.ALREADY_SIGNED, f"the {draft.signed_by} drafted and signed this; now the other party signs")
    _require_signatures(context, agreement, arguments.party, versions)
    _require_admitted(context, party_of(agreement, draft.signed_by), draft.signed_by)
    _check_registers(context, agreement)
    context.state.delete(key)
    _complete(context, agreement, versions)
    result = AgreementSigned(
        agreement.agreement,
        agreement.version,
        arguments.agreement_hash,
        True,
        activation_of(agreement, context.block.height),
    )
    context.emit("agreement_completed", result)
    return result


def activation_of(agreement: Agreement, completed_at: int) -> int:
    """The height that a version holds from when its second signature is in block ``completed_at``."""
    return agreement.activation_height or completed_at + 1


def _check_succession(context: CallContext, agreement: Agreement) -> Versions | None:
    data = context.state.get(versions_key(agreement.agreement))
    versions = None if data is None else versions_codec.decode(data)
    latest = 0 if versions is None else versions.latest
    if agreement.version != latest + 1:
        raise Refusal(
            codes.VERSION_WRONG, f"the next version of this agreement is {latest + 1}, not {agreement.version}"
        )
    activation = activation_of(agreement, context.block.height)
    if activation <= context.block.height:
        raise Refusal(
            codes.ACTIVATION_PAST,
            f"this is block {context.block.height}: a version cannot activate at {activation}, only later; draft it "
            "again, with 0 for as soon as both have signed",
        )
    if versions is None:
        return None
    if (versions.platform, versions.insurer) != (agreement.platform.organisation, agreement.insurer.organisation):
        raise Refusal(codes.PARTIES_CHANGED, "the parties of an agreement stay; draft a new agreement for others")
    if load_agreement(context.state, agreement.agreement, latest).currency != agreement.currency:
        raise Refusal(codes.CURRENCY_CHANGED, "the currency of an agreement stays; draft a new agreement for another")
    if activation <= versions.current[-1].activation_height:
        raise Refusal(
            codes.ACTIVATION_ORDER,
            f"version {latest} activates at {versions.current[-1].activation_height}, the next one must do so later",
        )
    return versions


def _require_signatures(context: CallContext, agreement: Agreement, party: str, versions: Versions | None) -> None:
    side = require_party(context, agreement, party)
    if versions is not None:
        before = party_of(load_agreement(context.state, agreement.agreement, versions.latest), party)
        if before.key != side.key:
            context.require_signature(before.key, f"the {party}'s key so far")


def _require_admitted(context: CallContext, side: Party, party: str) -> None:
    member = context.directory.member(side.key)
    if member is None or member.organisation != side.organisation:
        raise Refusal(
            codes.PARTY_NOT_ADMITTED,
            f"the {party}'s key has no valid certificate for {side.organisation}; renew it or agree on another key",
        )


def _check_registers(context: CallContext, agreement: Agreement) -> None:
    if not context.directory.asset_exists(agreement.currency):
        raise Refusal(codes.CURRENCY_UNKNOWN, f"there is no asset {agreement.currency!r}; define it first")
    for party in (agreement.platform, agreement.insurer):
        for lock in parse_lock(party.cash).walk():
            if isinstance(lock, AccountLock):
                context.account_lock(lock.name)
    both = parties_lock(agreement.platform, agreement.insurer)
    for row in agreement.mapping:
        for name in (row.pending, row.clawback):
            if str(context.account_lock(name)) not in both:
                raise Refusal(
                    codes.ACCOUNT_LOCK, f"account {name!r} must carry {both[0]}; open one that does", account=name
                )
        settled = context.directory.account(row.settled)
        if settled is None or settled.organisation != agreement.platform.organisation:
            raise Refusal(
                codes.ACCOUNT_OWNER,
                f"the settled account {row.settled!r} must be an account of {agreement.platform.organisation}",
                account=row.settled,
            )


def _complete(context: CallContext, agreement: Agreement, versions: Versions | None) -> None:
    state, height = context.state, context.block.height
    current: tuple[Version, ...] = ()
    if versions is not None:
        held = versions.in_force(height)
        current = tuple(entry for entry in versions.current if entry.version >= held)
    if sum(entry.activation_height > height for entry in current) >= MAX_VERSIONS_AHEAD:
        raise Refusal(codes.ACTIVATION_FULL, f"{MAX_VERSIONS_AHEAD} versions wait to activate; sign when one has")
    activation = activation_of(agreement, height)
    key = activation_key(activation)
    data = state.get(key)
    there = () if data is None else activations_codec.decode(data).agreements
    if len(there) >= MAX_ACTIVATIONS_PER_HEIGHT:
        raise Refusal(codes.ACTIVATION_FULL, f"too many agreements change at {activation}; choose another height")
    state.put(key, encode(Activations((*there, agreement.agreement))))
    state.put(agreement_key(agreement.agreement, agreement.version), encode(agreement))
    state.put(activated_key(agreement.agreement, agreement.version), number(activation))
    entry = Version(agreement.version, activation)
    head = Versions(
        agreement.platform.organisation, agreement.insurer.organisation, agreement.version, (*current, entry)
    )
    state.put(versions_key(agreement.agreement), encode(head))
