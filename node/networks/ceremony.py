"""A ceremony: a proposal, the members' public keys, and their signatures become a genesis that everybody has checked.

1. The coordinator *proposes*: the plan with a time and a salt, which give the ceremony its id.
2. Each member makes its keys where they will be used, and hands in a ``MemberFile``.
3. The coordinator puts these together into a *draft*. The genesis follows from proposal and member files alone, so that
   each member computes it for itself and looks whether its own keys are in it.
4. Each member *signs* the draft's hash with its member key; who has a key of the admission authority signs the
   certificates too.
5. The coordinator *assembles* the signatures. Each member *joins*: it checks all of the above again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ledger.admission import authority_satisfied
from ledger.encoding import Record, digest, encode
from ledger.errors import InvalidInput
from ledger.genesis import AccountDoc, AssetDoc, Genesis, PolicyDoc, SupplyDoc, format_genesis, parse_genesis
from ledger.keys import SigningKey, key_text, verify
from ledger.store_memory import MemoryStore
from ledger.types import Hash32
from node.chain import Chain
from node.networks.blueprint import ChainPlan, HolderPlan, NodePlan, check_chain
from node.networks.founding import (
    DAY_MS,
    Admitted,
    Charter,
    authority_lock,
    authority_signatures,
    certificate_digests,
    unsigned_genesis,
    with_signatures,
)
from node.networks.member_file import MemberFile, MemberKeys, check_members

FORMAT: Final = 1
_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Signature = Annotated[bytes, Meta(min_length=65, max_length=65)]


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a ceremony is about: one chain.

    Attributes:
        tidegate_proposal: version of the form.
        kind: ``business`` or ``supervision``.
        created_ms: time of the genesis block.
        salt: 32 hex digits; makes each ceremony one of its own.
        chain: the plan, whole.
    """

    tidegate_proposal: int = FORMAT
    kind: str
    created_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    salt: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    chain: ChainPlan

    @property
    def id(self) -> Hash32:
        """The ceremony's id: a hash of everything in the proposal."""
        return digest(b"tidegate/ceremony", b"", encode(_plain(self)))


class MemberSignature(Record, frozen=True):
    """What a member signs of a draft.

    Attributes:
        ceremony: the proposal's id.
        draft: hash of the genesis without signatures.
        seat: whose.
        acceptance: signature of the draft's hash by its member key.
        authority: its key of the admission authority; empty where it signs as a member only.
        certificates: signatures of the certificates by that key, in the order of their serials.
    """

    ceremony: Annotated[bytes, Meta(min_length=32, max_length=32)]
    draft: Annotated[bytes, Meta(min_length=32, max_length=32)]
    seat: Annotated[str, Meta(min_length=1, max_length=128)]
    acceptance: _Signature
    authority: Annotated[bytes, Meta(max_length=33)]
    certificates: Annotated[tuple[_Signature, ...], Meta(max_length=4_096)]


@dataclass(frozen=True, slots=True)
class Founding:
    """A ceremony as far as it has come: a draft without signatures, the whole with them.

    Attributes:
        proposal: what it is about.
        members: in the order of the proposal's seats.
        signatures: so far.
    """

    proposal: Proposal
    members: tuple[MemberFile, ...]
    signatures: tuple[MemberSignature, ...] = ()

    def keys_of(self, seat: str) -> MemberKeys:
        """The keys of a seat. Raises ``InvalidInput`` where it is not in the ceremony."""
        for member in self.members:
            if member.keys.seat == seat:
                return member.keys
        raise InvalidInput(f"{seat!r} has handed in no keys", code="member_missing")

    def draft(self) -> Genesis:
        """The genesis before anybody signs, computed from proposal and keys. Checked by ``make_draft``."""
        return unsigned_genesis(_charter(self.proposal, [member.keys for member in self.members]))


def propose(kind: str, chain: ChainPlan, *, created_ms: int | None = None) -> Proposal:
    """A proposal of that chain, with a time and a salt of its own."""
    now_ms = int(time.time() * 1000) if created_ms is None else created_ms
    return Proposal(kind=kind, created_ms=now_ms, salt=secrets.token_hex(16), chain=chain)


def check_proposal(proposal: Proposal) -> Proposal:
    """The proposal itself, where a network can be made of it. Raises ``InvalidConfig`` or ``InvalidInput``."""
    check_chain(proposal.kind, proposal.chain)
    return proposal


def make_draft(proposal: Proposal, files: Iterable[MemberFile]) -> Founding:
    """Proposal and keys put together.

    Raises:
        InvalidInput: ``member_missing`` or ``member_unknown``: not every seat has keys, or keys have no seat;
            as ``check_members``; or the genesis could not be one.
    """
    check_proposal(proposal)
    files = list(files)
    by_seat = {file.keys.seat: file for file in files}
    checked = check_members(files, proposal.id)
    seats = {seat.name: seat for seat in proposal.chain.seats}
    for keys in checked:
        _check_seat(keys, seats.get(keys.seat), proposal)
    missing = [f"{seat.organisation} ({name})" for name, seat in seats.items() if name not in by_seat]
    if missing:
        raise InvalidInput(f"no member file of {', '.join(missing)} yet", code="member_missing")
    founding = Founding(proposal, tuple(by_seat[name] for name in seats))
    # One key of our own in the authority's place lets everything but its signatures be checked now.
    _trial(founding)
    return founding


def sign_draft(
    founding: Founding, seat: str, member: SigningKey, authority: SigningKey | None = None
) -> MemberSignature:
    """What ``seat`` signs, once it has found its own keys in the draft.

    Raises:
        InvalidInput: ``own_keys_missing``: under its name stand other keys; as ``make_draft``.
    """
    make_draft(founding.proposal, founding.members)
    keys = founding.keys_of(seat)
    if keys.member != member.public:
        raise InvalidInput(
            f"under {keys.organisation} ({seat}) stands {key_text(keys.member)}, which is not the member key here "
            f"({key_text(member.public)}): somebody handed in other keys under this name; do not sign",
            code="own_keys_missing",
        )
    if authority is not None and keys.authority != authority.public:
        raise InvalidInput(
            f"the authority's key here ({key_text(authority.public)}) is not the one that {seat} handed in",
            code="own_keys_missing",
        )
    genesis = founding.draft()
    certificates: tuple[bytes, ...] = ()
    if authority is not None:
        signed = authority_signatures(genesis, [authority])
        certificates = tuple(signed[doc.serial][0][1] for doc in genesis.certificates)
    return MemberSignature(
        founding.proposal.id,
        genesis.hash,
        seat,
        member.sign(acceptance_digest(genesis)),
        b"" if authority is None else authority.public,
        certificates,
    )


def acceptance_digest(draft: Genesis) -> Hash32:
    """The 32 bytes by which a member says that it founds this chain."""
    return digest(b"tidegate/founding", draft.chain_id, draft.hash)


def assemble(founding: Founding, signatures: Iterable[MemberSignature]) -> Founding:
    """The founding with these signatures beside those that it has; each is checked.

    Raises:
        InvalidInput: ``signature_foreign``: of another ceremony or another draft; ``signature_invalid``;
            ``signature_repeated``.
    """
    draft = founding.draft()
    found: dict[str, MemberSignature] = {}
    for signature in (*founding.signatures, *signatures):
        _check_signature(founding, draft, signature)
        if found.setdefault(signature.seat, signature) != signature:
            raise InvalidInput(f"{signature.seat} has signed twice, differently", code="signature_repeated")
    order = [member.keys.seat for member in founding.members]
    kept = tuple(found[seat] for seat in order if seat in found)
    return Founding(founding.proposal, founding.members, kept)


def finish(founding: Founding) -> Genesis:
    """The genesis of a whole founding, everything in it checked from the start.

    Raises:
        InvalidInput: ``signatures_missing``: somebody has not signed yet, or too few of the authority; as
            ``make_draft`` and ``assemble``.
        InvalidGenesis: it is no genesis.
    """
    whole = assemble(make_draft(founding.proposal, founding.members), founding.signatures)
    draft = whole.draft()
    signed = {signature.seat for signature in whole.signatures}
    missing = [
        f"{member.keys.organisation} ({member.keys.seat})" for member in whole.members if member.keys.seat not in signed
    ]
    if missing:
        raise InvalidInput(f"not signed yet by {', '.join(missing)}", code="signatures_missing")
    signers = frozenset(signature.authority for signature in whole.signatures if signature.authority)
    if not authority_satisfied(draft.authority_lock(), signers):
        raise InvalidInput(
            f"the admission authority is {draft.authority}, and {len(signers)} of its keys have signed",
            code="signatures_missing",
        )
    by_serial = {
        doc.serial: tuple((s.authority, s.certificates[place]) for s in whole.signatures if s.authority)
        for place, doc in enumerate(draft.certificates)
    }
    return parse_genesis(format_genesis(with_signatures(draft, by_serial)))


def _check_signature(founding: Founding, draft: Genesis, signature: MemberSignature) -> None:
    keys = founding.keys_of(signature.seat)
    if signature.ceremony != founding.proposal.id or signature.draft != draft.hash:
        raise InvalidInput(
            f"{signature.seat} has signed draft {signature.draft.hex()[:16]}, and this is {draft.hash.hex()[:16]}: "
            "the draft was changed, or the file is of another ceremony",
            code="signature_foreign",
        )
    good = verify(keys.member, acceptance_digest(draft), signature.acceptance)
    if signature.authority:
        expected = certificate_digests(draft)
        good = good and signature.authority == keys.authority and len(signature.certificates) == len(expected)
        good = good and all(
            verify(signature.authority, message, proof)
            for message, proof in zip(expected, signature.certificates, strict=True)
        )
    elif signature.certificates:
        good = False
    if not good:
        raise InvalidInput(f"the signatures of {signature.seat} do not verify", code="signature_invalid")


def _check_seat(keys: MemberKeys, seat: NodePlan | HolderPlan | None, proposal: Proposal) -> None:
    if seat is None:
        raise InvalidInput(f"the proposal has no seat {keys.seat!r}", code="member_unknown")
    if keys.organisation != seat.organisation:
        raise InvalidInput(
            f"{keys.seat} is the seat of {seat.organisation}, and the file says {keys.organisation}",
            code="member_unknown",
        )
    if keys.has_node != isinstance(seat, NodePlan):
        raise InvalidInput(f"{keys.seat}: keys of a node are {'missing' if not keys.has_node else 'not expected'}",
                           code="member_file_invalid")  # fmt: skip
    wanted = keys.seat in authority_seats(proposal.chain)
    if bool(keys.authority) != wanted:
        words = "has no key of the admission authority" if wanted else "hands in a key of the authority uncalled"
        raise InvalidInput(f"{keys.organisation} ({keys.seat}) {words}", code="member_file_invalid")


def authority_seats(chain: ChainPlan) -> dict[str, str]:
    """By seat, the organisation whose key of the authority it hands in: the first seat of each."""
    return {chain.seat(organisation).name: organisation for organisation in chain.authority.organisations}


def _trial(founding: Founding) -> None:
    """Whether the draft could begin a chain: signed by a stand-in for the authority, everything else as it is.

    Raises:
        InvalidInput: it could not.
    """
    stand_in = SigningKey(bytes(32))
    charter = _charter(founding.proposal, [member.keys for member in founding.members])
    trial = unsigned_genesis(replace(charter, authority=authority_lock([stand_in.public], 1)))
    signed = with_signatures(trial, authority_signatures(trial, [stand_in]))
    Chain(parse_genesis(format_genesis(signed)), MemoryStore()).close()


def _charter(proposal: Proposal, members: list[MemberKeys]) -> Charter:
    chain = proposal.chain
    by_seat = {keys.seat: keys for keys in members}
    admitted: list[Admitted] = []
    for node in chain.node:
        keys = by_seat[node.name]
        admitted.append(Admitted(node.organisation, keys.validator, keys.transport, node.node_roles))
        admitted.append(Admitted(node.organisation, keys.member, b"", node.roles))
    admitted += [Admitted(seat.organisation, by_seat[seat.name].member, b"", seat.roles) for seat in chain.holder]
    authority = [by_seat[seat].authority for seat in authority_seats(chain)]
    return Charter(
        name=chain.name,
        created_ms=proposal.created_ms,
        salt=proposal.salt,
        authority=authority_lock(authority, chain.authority.threshold),
        validators=tuple(by_seat[node.name].validator for node in chain.node if node.validator),
        admitted=tuple(admitted),
        validity_ms=chain.certificate_days * DAY_MS,
        names=_names(chain, by_seat),
        assets=tuple(
            AssetDoc(
                asset=asset.asset,
                issuers=(f"{{{asset.issuer}}}",),
                scale=asset.scale,
                supply=tuple(SupplyDoc(amount=first.amount, lock=first.lock) for first in asset.supply),
            )
            for asset in chain.asset
        ),
        accounts=tuple(
            AccountDoc(name=account.name, organisation=account.organisation, lock=account.lock)
            for account in chain.account
        ),
        contracts=chain.contracts,
        policies=tuple(PolicyDoc(name=policy.name, lock=policy.lock) for policy in chain.policy),
        parameters=chain.parameters,
        rotation=chain.rotation,
    )


def _names(chain: ChainPlan, by_seat: dict[str, MemberKeys]) -> dict[str, str]:
    """Key texts by what locks may say: the organisation, ``ORGANISATION#2``, or the seat's name."""
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for seat in chain.seats:
        text = key_text(by_seat[seat.name].member)
        counts[seat.organisation] = counts.get(seat.organisation, 0) + 1
        found.setdefault(seat.organisation, text)
        found[f"{seat.organisation}#{counts[seat.organisation]}"] = text
        found.setdefault(seat.name, text)
    return found


def _plain(value: Any) -> Any:
    """Tables as tuples in the order of their fields: a form that can be encoded canonically."""
    if isinstance(value, msgspec.Struct):
        return tuple(_plain(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value
