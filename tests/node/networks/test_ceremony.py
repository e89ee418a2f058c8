"""Ceremonies: what the honest come to, and what each attack on one comes to."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from ledger.genesis import Parameters, format_genesis, parse_genesis
from ledger.keys import SigningKey
from node.networks.blueprint import PolicyPlan
from node.networks.ceremony import Founding, assemble, finish, make_draft, propose, sign_draft
from node.networks.founding import without_signatures
from node.networks.member_file import MemberFile
from tests.node.networks.plans import SEATS, Keys, Members


@pytest.fixture
def members() -> Members:
    return Members()


@pytest.fixture(scope="module")
def whole() -> Founding:
    held = Members()
    draft = held.draft()
    return assemble(draft, [held.sign(draft, seat) for seat in SEATS])


def code_of(call, *arguments, **named) -> str:
    with pytest.raises(InvalidInput) as refused:
        call(*arguments, **named)
    return refused.value.code


# --- the honest -----------------------------------------------------------------------------------------------------


def test_genesis_is_valid_and_names_everybody_when_all_have_signed(whole):
    genesis = parse_genesis(format_genesis(finish(whole)))
    assert len(genesis.validators) == 3
    assert {doc.organisation for doc in genesis.certificates} == {"Platform B", "Insurer C", "Member D"}
    assert without_signatures(genesis).hash == whole.draft().hash


def test_two_members_compute_the_same_draft_when_they_have_the_same_files(members):
    again = make_draft(members.proposal, list(reversed(members.files.values())))
    assert again.draft().hash == members.draft().draft().hash


def test_two_of_three_keys_of_the_authority_suffice_when_all_accept(members):
    draft = members.draft()
    signatures = [members.sign(draft, seat, authority=seat != "member-d") for seat in SEATS]
    assert finish(assemble(draft, signatures)).admitted()


def test_signatures_can_come_in_parts_when_somebody_is_late(members):
    draft = members.draft()
    part = assemble(draft, [members.sign(draft, "insurer-c")])
    assert code_of(finish, part) == "signatures_missing"
    rest = [members.sign(draft, seat) for seat in ("platform-b", "member-d", "insurer-c")]
    assert finish(assemble(part, rest)).name == "business"


# --- attacks --------------------------------------------------------------------------------------------------------


def test_draft_is_refused_when_a_key_was_swapped_in_a_member_file(members):
    file = members.files["insurer-c"]
    keys = msgspec.structs.replace(file.keys, member=SigningKey.generate().public)
    members.files["insurer-c"] = MemberFile(keys, file.proofs)
    assert code_of(members.draft) == "possession_unproved"


def test_draft_is_refused_when_a_key_and_its_proof_were_swapped_together(members):
    # The other keys have signed the statement as it was.
    thief, file = SigningKey.generate(), members.files["insurer-c"]
    keys = msgspec.structs.replace(file.keys, validator=thief.public)
    forged = Keys().state(members.proposal.id, "Insurer C", "insurer-c")
    proofs = [pair for pair in file.proofs if pair[0] != file.keys.validator] + [(thief.public, forged.proofs[0][1])]
    members.files["insurer-c"] = MemberFile(keys, tuple(sorted(proofs)))
    assert code_of(members.draft) == "possession_unproved"


def test_member_refuses_to_sign_when_somebody_handed_in_other_keys_under_its_name(members):
    members.files["insurer-c"] = Keys().state(members.proposal.id, "Insurer C", "insurer-c")
    draft = members.draft()
    assert code_of(members.sign, draft, "insurer-c") == "own_keys_missing"


def test_member_refuses_to_sign_when_its_key_of_the_authority_was_exchanged(members):
    draft = members.draft()
    own = members.keys["insurer-c"]
    assert code_of(sign_draft, draft, "insurer-c", own.member, SigningKey.generate()) == "own_keys_missing"


def test_member_file_is_refused_when_it_is_of_another_ceremony(members):
    other = propose("business", members.proposal.chain, created_ms=members.proposal.created_ms)
    assert other.id != members.proposal.id
    members.files["insurer-c"] = members.keys["insurer-c"].state(other.id, "Insurer C", "insurer-c")
    assert code_of(members.draft) == "member_file_foreign"


@pytest.mark.parametrize("use", ["member", "validator", "transport", "authority"])
def test_draft_is_refused_when_the_proof_of_one_key_is_missing(members, use):
    file = members.files["member-d"]
    gone = file.keys.signing()[use]
    members.files["member-d"] = MemberFile(file.keys, tuple(pair for pair in file.proofs if pair[0] != gone))
    assert code_of(members.draft) == "possession_unproved"


def test_draft_is_refused_when_somebody_hands_in_the_key_of_another(members):
    thief = members.keys["member-d"]
    thief.validator = members.keys["insurer-c"].validator
    members.files["member-d"] = thief.state(members.proposal.id, "Member D", "member-d")
    assert code_of(members.draft) == "key_repeated"


def test_draft_is_refused_when_an_organisation_has_two_files(members):
    files = [*members.files.values(), Keys().state(members.proposal.id, "Insurer C", "insurer-c")]
    assert code_of(make_draft, members.proposal, files) == "member_repeated"


def test_draft_is_refused_when_a_file_takes_another_organisations_seat(members):
    members.files["insurer-c"] = members.keys["insurer-c"].state(members.proposal.id, "Insurer X", "insurer-c")
    assert code_of(members.draft) == "member_unknown"


def test_draft_is_refused_when_a_member_is_missing_or_a_stranger_comes(members):
    stranger = Keys().state(members.proposal.id, "Stranger", "stranger")
    assert code_of(make_draft, members.proposal, [*members.files.values(), stranger]) == "member_unknown"
    del members.files["member-d"]
    assert code_of(members.draft) == "member_missing"


def test_draft_is_refused_when_one_key_has_two_uses(members):
    keys = members.keys["member-d"]
    keys.validator = keys.member
    members.files["member-d"] = keys.state(members.proposal.id, "Member D", "member-d")
    assert code_of(members.draft) == "member_file_invalid"


def altered(proposal, **changes):
    return msgspec.structs.replace(proposal, chain=msgspec.structs.replace(proposal.chain, **changes))


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": Parameters(empty_block_ms=4_999)},
        {"asset": ()},
        {"name": "other"},
        {"certificate_days": 3_650},
        {"policy": (PolicyPlan(name="governors", lock="key({Platform B})"),)},
    ],
    ids=["parameters", "supply", "name", "validity", "policy"],
)
def test_founding_is_refused_when_the_proposal_was_altered_after_it_was_signed(whole, change):
    changed = Founding(altered(whole.proposal, **change), whole.members, whole.signatures)
    # Every member file is bound to the proposal as it was.
    assert code_of(finish, changed) == "member_file_foreign"


def test_genesis_is_refused_when_it_was_altered_after_it_was_signed(whole):
    genesis = finish(whole)
    asset = msgspec.structs.replace(genesis.assets[0], issuers=(genesis.certificates[0].key,))
    forged = msgspec.structs.replace(genesis, assets=(asset,))
    # The file itself still parses, because certificates do not cover assets; the hash that all compare does.
    assert parse_genesis(format_genesis(forged)).hash != genesis.hash
    assert without_signatures(forged).hash != whole.draft().hash


def test_signature_is_refused_when_it_is_of_another_draft(members):
    draft = members.draft()
    members.keys["member-d"] = Keys()
    members.files["member-d"] = members.keys["member-d"].state(members.proposal.id, "Member D", "member-d")
    other = members.draft()
    signed = members.sign(other, "insurer-c")
    assert code_of(assemble, draft, [signed]) == "signature_foreign"


def test_signature_is_refused_when_it_was_tampered_with(members):
    draft = members.draft()
    signed = members.sign(draft, "insurer-c")
    flipped = bytes([signed.acceptance[0]]) + bytes([signed.acceptance[1] ^ 1]) + signed.acceptance[2:]
    for bad in (
        msgspec.structs.replace(signed, acceptance=flipped),
        msgspec.structs.replace(signed, certificates=signed.certificates[:-1]),
        msgspec.structs.replace(signed, authority=members.keys["member-d"].authority.public),
        msgspec.structs.replace(signed, authority=b""),
    ):
        assert code_of(assemble, draft, [bad]) == "signature_invalid"


def test_genesis_is_not_made_when_too_few_of_the_authority_have_signed(members):
    draft = members.draft()
    signatures = [members.sign(draft, seat, authority=seat == "insurer-c") for seat in SEATS]
    assert code_of(finish, assemble(draft, signatures)) == "signatures_missing"


def test_genesis_is_not_made_when_one_member_has_not_accepted(members):
    draft = members.draft()
    signatures = [members.sign(draft, seat) for seat in SEATS[:2]]
    assert code_of(finish, assemble(draft, signatures)) == "signatures_missing"


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_in_a_member_file_goes_unnoticed(data):
    held = Members()
    seat = data.draw(st.sampled_from(SEATS))
    file = held.files[seat]
    field = data.draw(st.sampled_from(["ceremony", "member", "validator", "transport", "authority"]))
    value = bytearray(getattr(file.keys, field))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= 1 << data.draw(st.integers(0, 7))
    held.files[seat] = MemberFile(msgspec.structs.replace(file.keys, **{field: bytes(value)}), file.proofs)
    assert code_of(held.draft) in {"possession_unproved", "member_file_foreign", "member_file_invalid"}
