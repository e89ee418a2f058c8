"""The other chain's committee rotates: what the bridge believes, in which order, and what former members can do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from contracts.bridge.records import (
    CLIENT_FROZEN,
    MAX_FOLLOWED_HEADERS,
    MAX_FOLLOWED_SEALS,
    SUPERVISION,
    ClientView,
    Followed,
    Headers,
    RoleQuery,
)
from contracts.bridge.state import kept_header
from contracts.validators.calls import ChangeSet
from contracts.validators.rotation_calls import REMOVE_NOW
from contracts.validators.schedule import epoch_at
from ledger.block import block_id
from ledger.encoding import Codec
from ledger.keys import SigningKey
from ledger.packet import HeaderProof
from ledger.rotation import RotationDoc
from ledger.validators import ValidatorSet
from tests.contracts.bridge.forging import next_header, packet, packet_event, proof, saying
from tests.contracts.bridge.kit import (
    BRIDGE,
    BUSINESS,
    FUSION,
    MEMBER,
    PROBE,
    Chain,
    call,
    certify,
    deliver,
    introduce,
    key_of,
    pair,
    registration,
    relay,
)
from tests.contracts.bridge.probe import Probe, Query
from tests.contracts.bridge.test_round_trip import send

EPOCH_BLOCKS = 4
followed_codec = Codec(Followed, 256)


@pytest.fixture
def chains() -> tuple[Chain, Chain]:
    """(business, supervision): seven validators on the second, of whom four decide for four blocks."""
    supervision = Chain(
        SUPERVISION,
        instances=[Probe(PROBE)],
        kinds=["validators"],
        validators=[key_of(f"supervisor {number}") for number in range(7)],
        rotation=RotationDoc(committee=4, epoch_blocks=EPOCH_BLOCKS),
    )
    return pair(supervision=supervision)


def client(chain: Chain) -> ClientView:
    found: ClientView = chain.view(BRIDGE, "client", RoleQuery(SUPERVISION))
    return found


def changes(source: Chain, after: int, before: int) -> list[int]:
    """Heights between two whose headers change the set, as the headers themselves say."""
    return [
        header.height
        for header in source.headers[after + 1 : before]
        if header.next_validators_hash != header.validators_hash
    ]


def certified(source: Chain, height: int, keys: Sequence[SigningKey] | None = None) -> HeaderProof:
    deciders = source.deciders[height]
    named = tuple(sorted(bytes(key.public) for key in (keys or deciders)))
    return HeaderProof(source.headers[height], source.certificates[height], named, 0, None)


def follow(business: Chain, proofs: Sequence[HeaderProof], code: str = "ok", by: SigningKey = FUSION) -> Followed:
    receipt = business.run(business.tx(by, call(BRIDGE, "follow", Headers(tuple(proofs)))), code)
    return followed_codec.decode(receipt.results[0]) if code == "ok" else Followed(0, 0, frozen=False)


def catch_up(business: Chain, supervision: Chain) -> None:
    """Shows every change of the set below the newest block."""
    heights = changes(supervision, client(business).state.latest.height, supervision.height)
    for start in range(0, len(heights), MAX_FOLLOWED_HEADERS):
        batch = heights[start : start + MAX_FOLLOWED_HEADERS]
        assert follow(business, [certified(supervision, height) for height in batch]).taken == len(batch)


def blocks(chain: Chain, count: int) -> None:
    for _ in range(count):
        chain.block()


def test_headers_name_the_committee_that_the_epochs_record(chains: tuple[Chain, Chain]) -> None:
    _, supervision = chains
    blocks(supervision, 60)
    for header in supervision.headers[1:]:
        recorded = epoch_at(supervision.state, "validators", header.height)
        assert {key.public for key in supervision.deciders[header.height]} == set(recorded.keys)
        assert (header.next_validators_hash != header.validators_hash) == (recorded.end == header.height)


def test_packets_cross_while_committees_rotate(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    for sequence in range(1, 25):
        send(supervision, role=BUSINESS)
        catch_up(business, supervision)
        assert deliver(business, relay(supervision, business)).taken == 1
        assert business.view(PROBE, "took", Query(sequence)).taken == 1
    assert len(changes(supervision, 0, supervision.height)) >= 5


def test_a_client_follows_many_epochs_when_relays_were_away(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    before = client(business).state.latest.height
    blocks(supervision, EPOCH_BLOCKS * 40)
    send(supervision, role=BUSINESS)
    heights = changes(supervision, before, supervision.height)
    assert len(heights) > 2 * MAX_FOLLOWED_HEADERS
    deliver(business, relay(supervision, business), "bridge_client_set_wrong")
    catch_up(business, supervision)
    assert client(business).state.latest.height == heights[-1]
    assert deliver(business, relay(supervision, business)).taken == 1


def test_an_older_block_is_proved_by_history_when_its_committee_has_left(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    send(supervision, role=BUSINESS)
    height = supervision.height
    blocks(supervision, EPOCH_BLOCKS * 6)
    catch_up(business, supervision)
    deliver(business, relay(supervision, business))
    old = relay(supervision, business, height)
    assert old.proof.certificate is None
    assert deliver(business, old).taken == 1


def test_following_is_refused_when_a_change_is_left_out(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    blocks(supervision, EPOCH_BLOCKS * 5)
    before = client(business)
    heights = changes(supervision, before.state.latest.height, supervision.height)
    proofs = [certified(supervision, height) for height in heights]
    for left_out in range(len(proofs) - 1):
        follow(business, proofs[:left_out] + proofs[left_out + 1 :], "bridge_client_set_wrong")
    follow(business, [certified(supervision, supervision.height)], "bridge_client_set_wrong")
    follow(business, proofs[::-1], "bridge_client_set_wrong")
    assert client(business) == before
    assert follow(business, proofs).height == heights[-1]


def test_headers_that_are_known_are_passed_over_when_two_relays_bring_them(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    blocks(supervision, EPOCH_BLOCKS * 5)
    heights = changes(supervision, client(business).state.latest.height, supervision.height)
    proofs = [certified(supervision, height) for height in heights]
    assert follow(business, proofs[:2]).taken == 2
    assert follow(business, proofs).taken == len(proofs) - 2
    follow(business, proofs, "bridge_nothing_new")
    for height in heights:
        assert kept_header(business.context(BRIDGE).state, SUPERVISION, height) is not None


def test_following_is_refused_to_who_is_no_fusion_node(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    blocks(supervision, EPOCH_BLOCKS)
    proofs = [certified(supervision, height) for height in changes(supervision, 0, supervision.height)]
    follow(business, proofs, "bridge_not_fusion", by=MEMBER)


def test_following_is_refused_when_it_asks_for_too_many_signatures(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    header = next_header(supervision)
    keys = [key_of(f"crowd {number}") for number in range(MAX_FOLLOWED_SEALS // MAX_FOLLOWED_HEADERS + 1)]
    crowd = HeaderProof(header, certify(header, keys), (), 0, None)
    follow(business, [crowd] * MAX_FOLLOWED_HEADERS, "bridge_too_many_seals")


# --- attackers ------------------------------------------------------------------------------------------------------


def test_a_former_committee_forges_nothing_once_the_client_has_followed(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    committees = [list(supervision.deciders[-1])]
    for _ in range(6):
        blocks(supervision, EPOCH_BLOCKS)
        committees.append(list(supervision.deciders[-1]))
    catch_up(business, supervision)
    deliver(business, relay(supervision, business))
    before = client(business)
    in_force = {key.public for key in supervision.deciders[-1]}
    for former in committees:
        if {key.public for key in former} == in_force:
            continue
        forged = saying(supervision, packet_event(packet(supervision, business)), keys=former)
        for named in ((), former, supervision.deciders[-1]):
            keys = tuple(sorted(bytes(key.public) for key in named))
            for claimed in (former, supervision.deciders[-1]):
                header = replace(
                    forged.proof.header, validators_hash=set_hash(supervision, claimed), epoch=len(committees)
                )
                shown = replace(forged, proof=HeaderProof(header, certify(header, former), keys, 0, None))
                receipt = business.block(business.tx(FUSION, call(BRIDGE, "deliver", shown)))[0]
                assert receipt.code in ("bridge_client_set_wrong", "bridge_certificate_invalid")
                follow(business, [shown.proof], receipt.code)
    assert client(business) == before
    assert business.view(PROBE, "took", Query(1)).taken == 0


def set_hash(chain: Chain, keys: Sequence[SigningKey]) -> bytes:
    return ValidatorSet(key.public for key in keys).hash(chain.chain_id)


def test_a_forged_hand_over_is_refused_when_the_committee_did_not_sign_it(chains: tuple[Chain, Chain]) -> None:
    """Whoever could name the next set would own the chain from there on."""
    business, supervision = chains
    thieves = [key_of(f"thief {number}") for number in range(4)]
    honest = supervision.deciders[-1]
    header = replace(next_header(supervision), next_validators_hash=set_hash(supervision, thieves))
    for signers, code in ((thieves, "bridge_certificate_invalid"), (honest[:2], "bridge_certificate_invalid")):
        follow(business, [proof(header, signers)], code)
    named = replace(proof(header, thieves), validators=tuple(sorted(bytes(key.public) for key in thieves)))
    follow(business, [named], "bridge_client_set_wrong")


def test_a_hand_over_that_contradicts_a_known_one_freezes_the_client(chains: tuple[Chain, Chain]) -> None:
    """More than f of a committee hand over to two sets: nothing of that chain counts any more."""
    business, supervision = chains
    blocks(supervision, EPOCH_BLOCKS * 2)
    (first, *_) = changes(supervision, client(business).state.latest.height, supervision.height)
    follow(business, [certified(supervision, first)])
    other = replace(supervision.headers[first + 1], parent=block_id(next_header(supervision)))
    deciders = supervision.deciders[first + 1]
    keys = tuple(sorted(bytes(key.public) for key in deciders))
    receipt = business.run(
        business.tx(
            FUSION, call(BRIDGE, "follow", Headers((HeaderProof(other, certify(other, deciders), keys, 0, None),)))
        )
    )
    assert followed_codec.decode(receipt.results[0]).frozen
    assert [event.name for event in receipt.events] == [CLIENT_FROZEN]
    follow(business, [certified(supervision, first + 1)], "bridge_frozen")


def test_a_header_that_contradicts_a_known_change_freezes_the_client(chains: tuple[Chain, Chain]) -> None:
    """A relay that sees the other side of a fork shows it, though the client is past that height."""
    business, supervision = chains
    blocks(supervision, EPOCH_BLOCKS * 2)
    heights = changes(supervision, client(business).state.latest.height, supervision.height)
    follow(business, [certified(supervision, height) for height in heights])
    first = heights[0]
    other = replace(supervision.headers[first], time_ms=supervision.headers[first].time_ms + 1)
    deciders = supervision.deciders[first]
    keys = tuple(sorted(bytes(key.public) for key in deciders))
    unsigned = HeaderProof(other, certify(other, deciders[:2]), keys, 0, None)
    follow(business, [unsigned], "bridge_certificate_invalid")
    signed = replace(unsigned, certificate=certify(other, deciders))
    assert follow(business, [signed]).frozen
    assert client(business).state.frozen


def test_a_removed_member_forges_nothing_after_an_emergency(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    former = list(supervision.deciders[-1])
    supervision.govern("validators", REMOVE_NOW, ChangeSet((), (former[0].public,)))
    blocks(supervision, 2)
    assert former[0] not in supervision.deciders[-1]
    catch_up(business, supervision)
    deliver(business, relay(supervision, business))
    shown = saying(supervision, packet_event(packet(supervision, business)), keys=former)
    deliver(business, shown, "bridge_certificate_invalid")


# --- where a client begins ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 3, 4, 5, 11, 12])
def test_a_client_that_began_before_many_changes_follows_them(start: int) -> None:
    supervision = Chain(
        SUPERVISION,
        instances=[Probe(PROBE)],
        kinds=["validators"],
        validators=[key_of(f"supervisor {number}") for number in range(7)],
        rotation=RotationDoc(committee=4, epoch_blocks=EPOCH_BLOCKS),
    )
    business = Chain(BUSINESS, instances=[Probe(PROBE)])
    blocks(supervision, start)
    begun = registration(supervision, SUPERVISION)
    blocks(supervision, EPOCH_BLOCKS * 5)
    business.govern(BRIDGE, "register_client", begun)
    introduce(supervision, business, BUSINESS)
    send(supervision, role=BUSINESS)
    catch_up(business, supervision)
    assert deliver(business, relay(supervision, business)).taken == 1
