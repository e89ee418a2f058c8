"""The light client over changing sets: what it follows, what it refuses, forks, and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.block import block_id
from ledger.encoding import encode
from ledger.errors import InvalidConfig, NotFound, PeerMisbehaved
from ledger.keys import key_text
from ledger.proofs import Step, header_proof_codec, step_codec
from node.light import ForkFound, LightClient
from tests.node.client.stage import Node, rotating
from tests.node.cluster import Cluster


class Asked:
    """A node's answers without a socket."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def call(self, method: str, params: dict[str, Any] | None = None, *, wait_s: float = 0.0) -> Any:
        del wait_s
        self.node.calls.append(method)
        return await self.node.answer(method, params or {})


def cluster_of(members: int = 7, *, rotates: bool = True) -> Cluster:
    cluster = Cluster(members, checkpoint_interval=4)
    return rotating(cluster) if rotates else cluster


async def grown(blocks: int, cluster: Cluster | None = None) -> Node:
    node = Node(cluster or cluster_of())
    await node.grow(blocks)
    return node


async def forked(common: int, one: int, other: int, cluster: Cluster | None = None) -> tuple[Node, Node]:
    """Two chains of the same validators that part after block ``common``."""
    cluster = cluster or cluster_of()
    first, second = Node(cluster), Node(cluster)
    await first.grow(common)
    await second.grow(common)
    await first.pay_soon(0)
    await second.pay_soon(1)
    await first.grow(one)
    await second.grow(other)
    assert first.chain.store.header(common) == second.chain.store.header(common)
    assert first.chain.store.header(common + 1) != second.chain.store.header(common + 1)
    return first, second


# --- following --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotates", [True, False])
async def test_the_newest_header_is_known_when_the_client_follows(rotates: bool):
    node = await grown(23, cluster_of(rotates=rotates))
    light = LightClient(node.genesis)
    latest = await light.follow(Asked(node))
    assert (latest.height, latest.block_id) == (23, node.chain.tip.block_id)
    await node.grow(9)
    assert (await light.follow(Asked(node))).height == 32
    assert await light.follow(Asked(node)) == light.latest


async def test_headers_between_epochs_are_not_fetched_when_following():
    node = await grown(31, cluster_of(4, rotates=False))
    light = LightClient(node.genesis)
    await light.follow(Asked(node))
    assert node.calls == ["proof.epochs", "proof.header"]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
async def test_a_client_ends_at_the_same_header_when_it_follows_in_any_steps(steps: list[int]):
    node = await grown(0)
    light = LightClient(node.genesis)
    for blocks in steps:
        await node.grow(blocks)
        await light.follow(Asked(node))
        assert light.latest.block_id == node.chain.tip.block_id


async def test_signatures_are_checked_once_when_headers_come_again():
    node = await grown(6, cluster_of(4, rotates=False))
    light = LightClient(node.genesis)
    first = light.state
    step = step_codec.decode(encode(Step((await header_of(node, 6)), node.chain.store.history_inclusion(0, 6))))
    light.accept(step, first)
    before = light._signatures.verified
    for _ in range(5):
        light.accept(step, first)
    assert light._signatures.verified == before


async def header_of(node: Node, height: int, known: int = 0) -> Any:
    answer = await node.answer("proof.header", {"height": height, "known_height": known})
    return header_proof_codec.decode(bytes.fromhex(answer["proof"]))


# --- lies -------------------------------------------------------------------------------------------------------------


async def refused(node: Node, light: LightClient, code: str) -> PeerMisbehaved:
    before = light.state
    with pytest.raises(PeerMisbehaved) as found:
        await light.follow(Asked(node))
    assert found.value.code == code
    assert light.state == before
    return found.value


def change_header(change: Callable[[Any], Any]) -> Callable[[dict[str, Any], Any], Any]:
    """A lie about the proof of a header."""

    def lie(params: dict[str, Any], answer: Any) -> Any:
        del params
        proof = header_proof_codec.decode(bytes.fromhex(answer["proof"]))
        return {**answer, "proof": encode(change(proof)).hex()}

    return lie


def weak(proof: Any) -> Any:
    certificate = proof.certificate
    return replace(proof, certificate=replace(certificate, seals=certificate.seals[:-2]))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (weak, "certificate_invalid"),
        (lambda proof: replace(proof, header=replace(proof.header, time_ms=proof.header.time_ms + 1)), None),
        (lambda proof: replace(proof, certificate=None, validators=()), "client_certificate_missing"),
        (lambda proof: replace(proof, header=replace(proof.header, chain_id=bytes(32))), "client_chain_wrong"),
        (lambda proof: replace(proof, header=replace(proof.header, version=2)), "client_version_unknown"),
        (lambda proof: replace(proof, validators=proof.validators[:-1]), None),
    ],
)
async def test_a_header_is_refused_when_it_is_not_the_chains(change: Any, code: str | None):
    node = await grown(7)
    node.lies["proof.header"] = change_header(change)
    light = LightClient(node.genesis)
    with pytest.raises(PeerMisbehaved) as found:
        await light.follow(Asked(node))
    assert code in (None, found.value.code)
    assert light.height <= 4, "only the change of the set is believed"


async def test_a_header_is_refused_when_its_set_has_left():
    """The node hides the changes: its last set is unknown, and the set of the genesis file is not in force any more."""
    node = await grown(13)
    node.lies["proof.epochs"] = lambda _, answer: {**answer, "steps": [], "complete": True}
    await refused(node, LightClient(node.genesis), "client_set_wrong")


async def test_a_stale_set_is_refused_when_it_signs_after_its_time():
    """Keys of the first committee certify a block of their own above the change that ended them."""
    cluster = cluster_of()
    node = await grown(13, cluster)
    light = LightClient(node.genesis)
    await light.follow(Asked(node))
    former = node.chain.seats_at(1).validators
    header = replace(
        node.chain.store.header(13),
        height=20,
        history_size=20,
        time_ms=node.chain.tip.header.time_ms + 50,
        validators_hash=former.hash(node.genesis.chain_id),
        next_validators_hash=former.hash(node.genesis.chain_id),
    )
    from ledger.certificate import CommitCertificate, VoteKind, vote_digest

    name = block_id(header)
    signed = vote_digest(header.chain_id, header.epoch, VoteKind.COMMIT, 20, 0, name)
    seals = tuple((bytes(key), node.keys[bytes(key)].sign(signed)) for key in former.keys)
    certificate = CommitCertificate(20, header.epoch, 0, name, seals)
    node.lies["proof.header"] = change_header(
        lambda proof: replace(
            proof, header=header, certificate=certificate, validators=tuple(former.keys), history=None, anchor_height=0
        )
    )
    await refused(node, light, "client_set_wrong")


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda _, answer: {**answer, "steps": answer["steps"][1:]}, "client_set_wrong"),
        (lambda _, answer: {**answer, "steps": answer["steps"][::-1]}, "client_set_wrong"),
        (lambda _, answer: {**answer, "steps": ["00"]}, "malformed"),
        (lambda _, answer: {**answer, "steps": [], "complete": False}, "follow_stalled"),
        (lambda _, answer: {**answer, "steps": "zz"}, "answer_malformed"),
        (lambda _, answer: [], "answer_malformed"),
        (lambda _, answer: {**answer, "height": "x"}, "answer_malformed"),
    ],
)
async def test_epochs_are_refused_when_headers_are_missing_or_no_headers(lie: Any, code: str):
    node = await grown(13)
    node.lies["proof.epochs"] = lie
    await refused(node, LightClient(node.genesis), code)


async def test_a_header_that_changes_nothing_is_refused_when_it_is_among_the_epochs():
    """Else a node could show every header of the chain, and have each of them checked."""
    node = await grown(13, cluster_of(4, rotates=False))
    idle = Step(await header_of(node, 3), node.chain.store.history_inclusion(0, 3))
    node.lies["proof.epochs"] = lambda _, answer: {**answer, "steps": [encode(idle).hex()], "complete": False}
    await refused(node, LightClient(node.genesis), "client_step_idle")
    assert node.calls == ["proof.epochs"]


async def test_work_is_bounded_when_a_node_repeats_itself():
    node = await grown(13)
    first: list[Any] = []

    def again(_: Any, answer: Any) -> Any:
        first.append(answer)
        return {**first[0], "complete": False}

    node.lies["proof.epochs"] = again
    light = LightClient(node.genesis)
    with pytest.raises(PeerMisbehaved) as found:
        await light.follow(Asked(node))
    assert found.value.code == "client_header_old"
    assert len(node.calls) == 2


async def test_descent_is_asked_for_when_the_client_goes_on():
    node = await grown(5, cluster_of(4, rotates=False))
    light = LightClient(node.genesis)
    await light.follow(Asked(node))
    await node.grow(5)
    node.lies["proof.header"] = lambda params, answer: {**answer, "back": None}
    await refused(node, light, "client_history_missing")


async def test_a_node_is_behind_when_it_knows_less():
    cluster = cluster_of(4, rotates=False)
    ahead, behind = await grown(9, cluster), await grown(4, cluster)
    light = LightClient(ahead.genesis)
    await light.follow(Asked(ahead))
    with pytest.raises(NotFound) as found:
        await light.follow(Asked(behind))
    assert found.value.code == "node_behind"
    assert light.height == 9


# --- forks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("common", "one", "other"), [(5, 1, 1), (5, 3, 9), (2, 6, 6), (5, 2, 3)])
@pytest.mark.parametrize("rotates", [True, False])
async def test_a_fork_is_found_when_another_node_shows_another_chain(common: int, one: int, other: int, rotates: bool):
    first, second = await forked(common, one, other, cluster_of(rotates=rotates))
    light = LightClient(first.genesis)
    await light.follow(Asked(first))
    with pytest.raises(ForkFound) as found:
        await light.follow(Asked(second))
    fork = found.value
    height = common + one
    assert fork.data["height"] == height
    assert fork.data["signers"] == sorted(key_text(key) for key in first.chain.seats_at(height).validators.keys)
    assert {block_id(fork.first.header), block_id(fork.second.header)} == {
        block_id(node.chain.store.header(height)) for node in (first, second)
    }
    assert all(name in fork.message for name in fork.data["signers"])
    for node in (first, second):
        with pytest.raises(ForkFound):
            await light.follow(Asked(node))
    assert light.fork is fork


async def test_a_fork_is_found_when_two_answers_meet_that_were_asked_for_at_once():
    first, second = await forked(5, 2, 2, cluster_of(4, rotates=False))
    light = LightClient(first.genesis)
    await light.follow(Asked(first))
    begun = LightClient(first.genesis).state
    rival = Step(await header_of(second, 7), second.chain.store.history_inclusion(0, 7))
    with pytest.raises(ForkFound):
        light.accept(rival, begun)
    assert light.fork is not None


async def test_no_fork_is_found_when_a_node_only_claims_one():
    """Without certificates of both sides nobody can freeze a client."""
    first, second = await forked(5, 3, 9, cluster_of(4, rotates=False))
    light = LightClient(first.genesis)
    await light.follow(Asked(first))
    second.lies["proof.header"] = change_header(lambda proof: weak(proof) if proof.header.height == 8 else proof)
    with pytest.raises(PeerMisbehaved) as found:
        await light.follow(Asked(second))
    assert not isinstance(found.value, ForkFound)
    assert light.fork is None
    assert (await light.follow(Asked(first))).height == 8


async def test_a_fork_stays_found_when_the_client_is_loaded_again(tmp_path: Path):
    first, second = await forked(5, 2, 3)
    light = LightClient(first.genesis)
    await light.follow(Asked(first))
    with pytest.raises(ForkFound):
        await light.follow(Asked(second))
    light.save(tmp_path / "light")
    again = LightClient.load(tmp_path / "light", first.genesis)
    with pytest.raises(ForkFound) as found:
        await again.follow(Asked(first))
    assert found.value.data == light.fork.data  # type: ignore[union-attr]


async def test_a_conflict_is_refused_when_both_headers_are_the_same():
    node = await grown(6, cluster_of(4, rotates=False))
    light = LightClient(node.genesis)
    await light.follow(Asked(node))
    proof = await header_of(node, 6, 5)
    for rival in (proof, await header_of(node, 5, 4)):
        with pytest.raises(Exception, match=r"contradict|another block") as found:
            light.report_conflict(rival)
        assert not isinstance(found.value, ForkFound)


# --- its file ---------------------------------------------------------------------------------------------------------


async def test_a_client_goes_on_when_it_was_saved_and_loaded(tmp_path: Path):
    node = await grown(13)
    light = LightClient(node.genesis)
    file = tmp_path / "light"
    light.save(file)
    assert LightClient.load(file, node.genesis).state == light.state
    await light.follow(Asked(node))
    light.save(file)
    again = LightClient.load(file, node.genesis)
    assert again.state == light.state
    await node.grow(12)
    assert (await again.follow(Asked(node))).height == 25


async def test_a_file_is_refused_when_any_byte_of_it_is_another(tmp_path: Path):
    node = await grown(6)
    light, file = LightClient(node.genesis), tmp_path / "light"
    await light.follow(Asked(node))
    light.save(file)
    data = file.read_bytes()
    for place in range(0, len(data), 7):
        file.write_bytes(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
        with pytest.raises(InvalidConfig):
            LightClient.load(file, node.genesis)
    for short in (b"", data[:20], data[:-1], data + b"\x00"):
        file.write_bytes(short)
        with pytest.raises(InvalidConfig) as found:
            LightClient.load(file, node.genesis)
        assert found.value.code == "light_state_damaged"


async def test_a_file_is_refused_when_it_is_of_another_chain(tmp_path: Path):
    node, other, file = await grown(3), await grown(3), tmp_path / "light"
    LightClient(node.genesis).save(file)
    with pytest.raises(InvalidConfig) as found:
        LightClient.load(file, other.genesis)
    assert found.value.code == "light_state_foreign"
    with pytest.raises(InvalidConfig) as found:
        LightClient.load(tmp_path / "none", node.genesis)
    assert found.value.code == "file_unreadable"
