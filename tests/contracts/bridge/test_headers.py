"""Headers that must not count, and chains that contradict themselves."""

import pytest
from msgspec.structs import replace

from contracts.bridge.clients import newest_time_ms
from contracts.bridge.records import CLIENT_FROZEN, ConflictingHeaders, RoleQuery
from contracts.bridge.state import kept_header
from ledger.block import block_id
from ledger.certificate import VoteKind, vote_digest
from ledger.light_client import KEPT_HEADERS
from ledger.packet import Delivery, HeaderProof
from tests.contracts.bridge.forging import next_header, packet, packet_event, proof, saying
from tests.contracts.bridge.kit import (
    BRIDGE,
    BUSINESS,
    FUSION,
    MEMBER,
    PROBE,
    SUPERVISION,
    Chain,
    call,
    certify,
    deliver,
    key_of,
    pair,
    proof_of,
    relay,
)
from tests.contracts.bridge.probe import Probe, Query, Send
from tests.contracts.bridge.test_round_trip import send


def client(chain, role=SUPERVISION):
    return chain.view(BRIDGE, "client", RoleQuery(role)).state


def header_only(header_proof: HeaderProof) -> Delivery:
    return Delivery(header_proof, (), (), ())


def untouched(chain, before, sequence=1):
    """Nothing of a refused delivery may have taken effect."""
    assert client(chain) == before
    assert chain.view(PROBE, "took", Query(sequence)).taken == 0
    return True


def refused(business, delivery, code):
    before = client(business)
    deliver(business, delivery, code)
    return untouched(business, before)


def says(business, supervision, **changes):
    return saying(supervision, packet_event(packet(supervision, business)), **changes)


# --- certificates ---------------------------------------------------------------------------------------------------


def test_a_forged_packet_is_taken_only_when_the_whole_quorum_is_corrupt(chains):
    """The counter-check of all that follows: the forgeries are otherwise flawless."""
    business, supervision = chains
    assert deliver(business, says(business, supervision)).taken == 1


def test_a_header_is_refused_when_too_few_signed(chains):
    business, supervision = chains
    assert refused(business, says(business, supervision, keys=supervision.validators[:2]), "bridge_certificate_invalid")


def test_a_header_is_refused_when_one_validator_signed_many_times(chains):
    business, supervision = chains
    good = says(business, supervision)
    one = good.proof.certificate.seals[0]
    for seals in ((one,) * 4, (one, *good.proof.certificate.seals[:1])):
        wrong = replace(good.proof, certificate=replace(good.proof.certificate, seals=seals))
        assert refused(business, replace(good, proof=wrong), "bridge_certificate_invalid")


def test_a_header_is_refused_when_a_signature_does_not_verify(chains):
    business, supervision = chains
    good = says(business, supervision)
    seals = good.proof.certificate.seals
    swapped = ((seals[0][0], seals[1][1]), (seals[1][0], seals[0][1]), *seals[2:])
    wrong = replace(good.proof, certificate=replace(good.proof.certificate, seals=swapped))
    assert refused(business, replace(good, proof=wrong), "bridge_certificate_invalid")


def test_a_header_is_refused_when_others_than_the_validators_signed(chains):
    business, supervision = chains
    strangers = [key_of(f"stranger {i}") for i in range(4)]
    delivery = says(business, supervision, keys=strangers)
    assert refused(business, delivery, "bridge_certificate_invalid")
    own = replace(delivery.proof, validators=tuple(sorted(bytes(key.public) for key in strangers)))
    assert refused(business, replace(delivery, proof=own), "bridge_client_set_wrong")


def test_a_header_is_refused_when_it_names_the_wrong_set(chains):
    business, supervision = chains
    assert refused(business, says(business, supervision, validators_hash=b"\x01" * 32), "bridge_client_set_wrong")


def test_a_header_is_refused_when_its_set_is_no_set(chains):
    business, supervision = chains
    good = says(business, supervision)
    doubled = replace(good.proof, validators=(bytes(supervision.validators[0].public),) * 2)
    assert refused(business, replace(good, proof=doubled), "bridge_validators_invalid")


def test_a_header_is_refused_without_certificate(chains):
    business, supervision = chains
    good = says(business, supervision)
    bare = replace(good, proof=replace(good.proof, certificate=None))
    assert refused(business, bare, "bridge_client_certificate_missing")


def test_a_header_is_refused_when_the_certificate_is_for_another_block(chains):
    business, supervision = chains
    good, other = says(business, supervision), next_header(supervision)
    wrong = replace(good.proof, certificate=certify(other, supervision.validators))
    assert refused(business, replace(good, proof=wrong), "bridge_client_certificate_wrong")


def test_a_header_is_refused_when_the_signatures_are_of_another_kind_of_vote(chains):
    business, supervision = chains
    good = says(business, supervision)
    header = good.proof.header
    signed = vote_digest(header.chain_id, header.epoch, VoteKind.PREPARE, header.height, 0, block_id(header))
    seals = tuple(sorted((bytes(key.public), key.sign(signed)) for key in supervision.validators))
    wrong = replace(good.proof, certificate=replace(good.proof.certificate, seals=seals))
    assert refused(business, replace(good, proof=wrong), "bridge_certificate_invalid")


def test_a_header_is_refused_when_the_certificate_is_of_another_epoch(chains):
    business, supervision = chains
    good = says(business, supervision)
    later = certify(replace(good.proof.header, epoch=1), supervision.validators)
    for certificate in (later, replace(later, block_id=good.proof.certificate.block_id)):
        wrong = replace(good.proof, certificate=certificate)
        assert refused(business, replace(good, proof=wrong), "bridge_client_certificate_wrong")


def test_a_header_is_refused_when_it_is_of_another_chain(chains):
    business, supervision = chains
    twin = Chain("twin", validators=supervision.validators, instances=[Probe(PROBE)])
    foreign = saying(twin, packet_event(packet(supervision, business)), height=9, history_size=9)
    assert refused(business, foreign, "bridge_no_client")
    renamed = replace(foreign.proof.header, chain_id=supervision.chain_id)
    wrong = replace(foreign.proof, header=renamed)
    assert refused(business, replace(foreign, proof=wrong), "bridge_client_set_wrong")


def test_a_header_of_its_own_chain_is_refused(chains):
    business, _ = chains
    assert refused(business, header_only(proof(next_header(business), business.validators)), "bridge_no_client")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 2}, "bridge_client_version_unknown"),
        ({"history_size": 3}, "bridge_client_header_wrong"),
        ({"time_ms": 1}, "bridge_client_header_old"),
    ],
)
def test_a_header_is_refused_when_its_form_is_wrong(chains, changes, code):
    business, supervision = chains
    assert refused(business, says(business, supervision, **changes), code)


# --- validator sets -------------------------------------------------------------------------------------------------


def changed_set(business, supervision):
    """The supervision chain has another set now, and the business chain knows it."""
    former = supervision.validators
    supervision.validators = [*former[1:], key_of("new validator")]
    supervision.block()
    deliver(business, relay(supervision, business))
    supervision.block()
    return former


def test_a_set_change_is_followed_when_the_header_that_makes_it_is_shown(chains):
    business, supervision = chains
    changed_set(business, supervision)
    send(supervision, role=BUSINESS)
    assert deliver(business, relay(supervision, business)).taken == 1


def test_a_header_is_refused_when_a_former_set_signed_it(chains):
    business, supervision = chains
    former = changed_set(business, supervision)
    forged = says(business, supervision, keys=former)
    for named, code in (
        ((), "bridge_client_set_wrong"),
        (former, "bridge_client_set_wrong"),
        (supervision.deciders[-1], "bridge_certificate_invalid"),
    ):
        keys = tuple(sorted(bytes(key.public) for key in named))
        assert refused(business, replace(forged, proof=replace(forged.proof, validators=keys)), code)


def test_an_older_header_is_refused_when_a_former_set_signed_it(chains):
    """Below the newest header a certificate proves nothing, however good."""
    business, supervision = chains
    old = next_header(supervision)
    supervision.block()
    former = changed_set(business, supervision)
    deliver(business, relay(supervision, business))
    forged = saying(supervision, packet_event(packet(supervision, business)), keys=())
    header = replace(forged.proof.header, height=old.height, history_size=old.height, time_ms=old.time_ms)
    header = replace(header, validators_hash=old.validators_hash)
    keys = tuple(sorted(bytes(key.public) for key in former))
    for anchor, code in (
        (0, "bridge_client_history_missing"),
        (1, "bridge_anchor_unknown"),
        (supervision.height, "bridge_client_history_missing"),
    ):
        claimed = HeaderProof(header, certify(header, former), keys, anchor, None)
        assert refused(business, replace(forged, proof=claimed), code)


# --- older headers --------------------------------------------------------------------------------------------------


def older(chains):
    """(business, supervision, delivery of an older block with a packet)."""
    business, supervision = chains
    send(supervision, role=BUSINESS)
    height = supervision.height
    supervision.block()
    deliver(business, relay(supervision, business))
    return business, supervision, relay(supervision, business, height)


def test_an_older_header_counts_when_it_is_in_the_history_of_a_kept_one(chains):
    business, _, delivery = older(chains)
    assert delivery.proof.certificate is None
    assert deliver(business, delivery).taken == 1


def test_an_older_header_is_refused_without_its_history(chains):
    business, supervision, delivery = older(chains)
    bare = replace(delivery.proof, history=None)
    certified = replace(bare, certificate=supervision.certificates[delivery.proof.header.height])
    for wrong in (bare, certified):
        assert refused(business, replace(delivery, proof=wrong), "bridge_client_history_missing")


def test_an_older_header_is_refused_when_the_history_is_wrong(chains):
    business, supervision, delivery = older(chains)
    history, height = delivery.proof.history, delivery.proof.header.height
    elsewhere = supervision.history_of(height - 1, supervision.height)
    for wrong, code in (
        (elsewhere, "bridge_client_history_missing"),
        (replace(history, path=elsewhere.path), "bridge_proof_invalid"),
        (replace(history, size=history.size - 1), "bridge_client_history_missing"),
        (replace(history, path=()), "bridge_proof_invalid"),
    ):
        forged = replace(delivery, proof=replace(delivery.proof, history=wrong))
        assert refused(business, forged, code)


def test_an_older_header_is_refused_when_it_was_altered(chains):
    business, _, delivery = older(chains)
    altered = replace(delivery.proof.header, receipts_root=b"\x02" * 32)
    forged = replace(delivery, proof=replace(delivery.proof, header=altered))
    assert refused(business, forged, "bridge_proof_invalid")


def test_an_older_header_is_refused_when_its_anchor_is_not_kept(chains):
    business, _, delivery = older(chains)
    unknown = replace(delivery.proof, anchor_height=delivery.proof.anchor_height + 1)
    assert refused(business, replace(delivery, proof=unknown), "bridge_anchor_unknown")


# --- contradictions -------------------------------------------------------------------------------------------------


def is_frozen(chain, role=SUPERVISION):
    assert newest_time_ms(chain.context(PROBE), role) == 0
    transaction = chain.tx(MEMBER, call(PROBE, "send", Send(role, "note")))
    assert chain.refusal(transaction).startswith("bridge_frozen")
    return client(chain, role).frozen


def test_a_client_freezes_when_a_delivery_contradicts_a_kept_header(chains):
    business, supervision = chains
    fork = saying(supervision, packet_event(packet(supervision, business)))
    supervision.block()
    deliver(business, relay(supervision, business))
    supervision.block()
    deliver(business, relay(supervision, business))
    before = client(business)
    receipt = business.run(business.tx(FUSION, call(BRIDGE, "deliver", fork)))
    assert [event.name for event in receipt.events] == [CLIENT_FROZEN]
    assert untouched(business, replace(before, frozen=True))
    assert is_frozen(business)
    supervision.block()
    deliver(business, relay(supervision, business), "bridge_frozen")


def test_a_client_freezes_when_the_next_header_has_another_parent(chains):
    business, supervision = chains
    deliver(business, relay(supervision, business))
    fork = says(business, supervision, parent=b"\x03" * 32)
    assert deliver(business, fork).frozen
    assert business.view(PROBE, "took", Query(1)).taken == 0
    assert is_frozen(business)


def test_a_client_does_not_freeze_when_the_other_header_is_not_certified(chains):
    business, supervision = chains
    fork = saying(supervision, packet_event(packet(supervision, business)), keys=supervision.validators[:2])
    supervision.block()
    deliver(business, relay(supervision, business))
    assert refused(business, fork, "bridge_certificate_invalid")
    bare = replace(fork, proof=replace(fork.proof, certificate=None))
    assert refused(business, bare, "bridge_header_wrong")


def conflict(supervision, height_off=0, **changes):
    one = next_header(supervision)
    two = next_header(supervision, receipts_root=b"\x04" * 32, height=one.height + height_off, **changes)
    return ConflictingHeaders(proof(one, supervision.validators), proof(two, supervision.validators))


def report(chain, shown, code="ok", by=MEMBER):
    return chain.run(chain.tx(by, call(BRIDGE, "report_conflict", shown)), code)


@pytest.mark.parametrize("known", [False, True])
def test_a_client_freezes_when_anybody_shows_two_certified_headers_of_one_height(chains, known):
    business, supervision = chains
    shown = conflict(supervision)
    if known:
        supervision.block()
        deliver(business, relay(supervision, business))
    report(business, shown)
    assert is_frozen(business)
    report(business, shown, "bridge_frozen")


def test_a_client_does_not_freeze_when_the_two_headers_do_not_contradict_each_other(chains):
    business, supervision = chains
    shown = conflict(supervision)
    for wrong in (
        ConflictingHeaders(shown.first, shown.first),
        conflict(supervision, 1, history_size=supervision.height + 2),
    ):
        report(business, wrong, "bridge_client_no_conflict")
    few = proof(shown.second.header, supervision.validators[:2])
    report(business, ConflictingHeaders(shown.first, few), "bridge_certificate_invalid")
    other = proof(next_header(business), business.validators)
    report(business, ConflictingHeaders(shown.first, other), "bridge_client_chain_wrong")
    assert not client(business).frozen


def test_keys_of_long_ago_freeze_nothing(chains):
    business, supervision = chains
    shown = conflict(supervision)
    supervision.block()
    supervision.block()
    deliver(business, relay(supervision, business))
    report(business, shown, "bridge_client_no_conflict")


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_the_oldest_header_makes_room_when_as_many_are_kept_as_may_be():
    business, supervision = pair()
    deliver(business, relay(supervision, business))
    first = client(business).latest.height
    for _ in range(KEPT_HEADERS + 2):
        header = next_header(supervision)
        supervision._commit(header, {}, [])
        business.block(
            business.tx(
                FUSION, call(BRIDGE, "deliver", header_only(proof_of(supervision, business, supervision.height)))
            )
        )
    state = business.context(BRIDGE).state
    assert client(business).latest.height == first + KEPT_HEADERS + 2
    assert [kept_header(state, SUPERVISION, first + i) is not None for i in range(5)] == [False] * 3 + [True] * 2
    assert sum(1 for _ in state.iterate(b"h")) == sum(1 for _ in state.iterate(b"k")) == KEPT_HEADERS
    oldest = header_only(HeaderProof(supervision.headers[first + 3], None, (), 0, None))
    deliver(business, oldest, "bridge_nothing_new")


def test_the_newest_time_is_that_of_the_newest_proved_header(chains):
    business, supervision = chains
    assert newest_time_ms(business.context(PROBE), BUSINESS) == 0
    supervision.block()
    deliver(business, relay(supervision, business))
    assert newest_time_ms(business.context(PROBE), SUPERVISION) == supervision.time_ms
    assert newest_time_ms(Chain("alone").context("assets"), SUPERVISION) == 0
