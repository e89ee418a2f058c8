"""Bundles of misbehaviour: proof for who has the genesis file alone, and no proof once anything in them is another."""

from __future__ import annotations

import copy
import json
import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.errors import InvalidProof
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from node.evidence_bundle import read_bundle, write_bundle
from node.misbehaviour_bundle import MisbehaviourContent, Proved, verify_misbehaviour
from tests.node.cluster import make_genesis
from tests.node.misbehaving import (
    GENESIS,
    GOOD,
    GUILTY,
    MEMBERS,
    NEW_SET,
    SET,
    certified,
    fault,
    header_at,
    headers,
    names,
    written,
)


def verify(data: bytes, genesis: Genesis = GENESIS) -> Proved:
    return verify_misbehaviour(read_bundle(data), genesis)


def refusal(data: bytes, genesis: Genesis = GENESIS) -> InvalidProof:
    with pytest.raises(InvalidProof) as caught:
        verify(data, genesis)
    assert caught.value.data["field"]
    assert str(caught.value.data["field"]) in caught.value.message
    return caught.value


def test_a_bundle_proves_a_fault_of_a_later_set_from_the_genesis_file_alone() -> None:
    proved = verify(written())
    assert proved.evidence == GOOD.evidence
    assert proved.chain == "test"
    assert "two different COMMIT messages at height 9, round 2" in proved.words
    assert json.loads(written())["kind"] == "misbehaviour"


def test_a_bundle_without_a_change_of_the_set_needs_one_header() -> None:
    old = names(SET, GENESIS.chain_id)
    content = MisbehaviourContent(
        (certified(header_at(3, 0, old, old), SET),), fault(MEMBERS[0].validator, height=3, epoch=0)
    )
    assert verify(written(content)).evidence.height == 3


REFUSED: dict[str, tuple[str, Callable[[], MisbehaviourContent]]] = {
    "the change of the set is left out": ("headers[0].validators", lambda: replace(GOOD, headers=headers()[1:])),
    "the last header is missing": ("headers", lambda: replace(GOOD, headers=headers()[:1])),
    "the headers are turned around": ("headers[0].validators", lambda: replace(GOOD, headers=headers()[::-1])),
    "a certificate has too few seals": (
        "headers[1].certificate.seals",
        lambda: replace(GOOD, headers=(headers()[0], certified(headers()[1].header, NEW_SET, 4))),
    ),
    "the old set certifies a header of the new one": (
        "headers[1].validators",
        lambda: replace(GOOD, headers=(headers()[0], certified(headers()[1].header, SET))),
    ),
    "a set that nobody named": (
        "headers[0].validators",
        lambda: replace(
            GOOD,
            headers=(
                certified(headers()[0].header, {key.public: key for key in (SigningKey.generate() for _ in range(4))}),
                headers()[1],
            ),
        ),
    ),
    "the accused was no validator then": (
        "evidence.first.signer",
        lambda: replace(GOOD, evidence=fault(MEMBERS[3].validator)),
    ),
    "the messages are of another chain": (
        "evidence.first.signature",
        lambda: replace(GOOD, evidence=fault(GUILTY, chain=bytes(32))),
    ),
    "the messages are of another epoch": (
        "evidence.first.epoch",
        lambda: replace(GOOD, evidence=fault(GUILTY, epoch=0)),
    ),
    "the messages are of another height": ("headers", lambda: replace(GOOD, evidence=fault(GUILTY, height=8))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bundle_is_refused_when(name: str) -> None:
    field, make = REFUSED[name]
    assert refusal(written(make())).data["field"] == field


def test_a_bundle_is_refused_for_another_chains_genesis() -> None:
    other = make_genesis(MEMBERS, MEMBERS)
    assert refusal(written(), other).code == "bundle_genesis_other"
    assert refusal(written(genesis=other), other).data["field"] == "headers[0].header.chain_id"


def test_a_bundle_of_another_kind_is_no_proof_of_misbehaviour() -> None:
    assert refusal(write_bundle("record", (GENESIS.hash,), GOOD)).data["field"] == "kind"


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(document, dict | list):
        for key in document if isinstance(document, dict) else range(len(document)):
            yield from leaves(document[key], (*path, key))
    else:
        yield path


def test_every_field_counts() -> None:
    """Each value of the file is changed in turn, the file written anew: every time it is refused."""
    document = json.loads(written())
    for path in leaves(document):
        changed = copy.deepcopy(document)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        value = inner[path[-1]]
        if isinstance(value, str):
            place = len(value) // 2
            inner[path[-1]] = value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]
        else:
            inner[path[-1]] = 1 if value is None else value + 1
        refusal(json.dumps(changed, indent=1).encode() + b"\n")


def test_hexadecimal_in_capitals_is_refused() -> None:
    data = written()
    document = json.loads(data)
    for field, value in (
        ("genesis", document["genesis"][0]),
        ("headers[0].header.parent", document["content"]["headers"][0]["header"]["parent"]),
        ("evidence.second.signature", document["content"]["evidence"]["second"]["signature"]),
    ):
        assert refusal(data.replace(value.encode(), value.upper().encode(), 1)).data["field"] == field


def test_every_flipped_byte_is_refused() -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    pick, data = random.Random(seed), written()
    for place in [*pick.sample(range(len(data)), 400), *range(60), len(data) - 1]:
        mask = pick.choice([1, 2, 0x20, pick.randrange(1, 256)])
        refusal(data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"null\n",
        b'{\n "format": 1' + b"0" * 5_000 + b"\n}\n",
        written()[:-1],
        written() + b"\n",
        written().replace(b"\n", b"\r\n"),
        written().replace(b'"epoch": 1', b'"epoch": 1.0'),
        written().replace(b'"epoch": 1', b'"epoch": NaN'),
        json.dumps(json.loads(written())).encode(),
        written().replace(b'"round": 2', b'"round": "2"'),
        written().replace(b'"justification": null', b'"justification": {}'),
        written().replace(b'"fault"', b'"fualt"'),
        written().upper(),
    ],
)
def test_a_file_that_is_no_bundle_is_refused(data: bytes) -> None:
    refusal(data)
