"""Consortia whose supervisors take turns, and how the demo reads and checks the epochs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.validators.calls import EpochPage
from ledger.document import to_document
from ledger.errors import InvalidConfig, InvalidGenesis
from ledger.genesis import parse_genesis
from ledger.keys import key_text
from node.consortium.plan import ConsortiumPlan, create_consortium
from node.demo import epochs
from node.demo.audit import Audit
from tests.contracts.validators.rotating import Rotating


def plan(directory: Path, **more: Any) -> ConsortiumPlan:
    return ConsortiumPlan(directory=directory / "c", validators=1, supervision_validators=7, reviewers=1, **more)


def test_supervisors_take_turns_when_a_committee_is_asked_for(tmp_path: Path) -> None:
    made = create_consortium(plan(tmp_path, committee=4, epoch_blocks=50))
    genesis = parse_genesis((made.supervision.directory / "genesis.json").read_bytes())
    rotation = genesis.rotation
    assert rotation is not None
    assert (rotation.committee, rotation.epoch_blocks, rotation.seats_changed) == (4, 50, 1)
    caps = {group.name: None if group.exempt else group.seats for group in rotation.groups}
    assert caps == {"regulator": None, "operations": 1}
    assert len(genesis.validator_set()) == 4
    assert parse_genesis((made.business.directory / "genesis.json").read_bytes()).rotation is None


@pytest.mark.parametrize("wrong", [{"committee": 3}, {"committee": 4, "epoch_blocks": 1}, {"committee": 8}])
def test_nothing_is_left_when_the_committee_cannot_be(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises((InvalidConfig, InvalidGenesis)):
        create_consortium(plan(tmp_path, **wrong))
    assert not (tmp_path / "c").exists()


class Node:
    """A node of a chain of the contracts' tests, as the audit asks it."""

    def __init__(self, chain: Rotating) -> None:
        self._chain = chain
        self.pages: list[EpochPage] = []

    def ask(self, method: str, **params: Any) -> Any:
        assert (method, params["contract"]) == ("contract.view", "validators")
        answer = self._chain.view("validators", params["view"], *params["arguments"].values())
        if isinstance(answer, EpochPage):
            self.pages.append(answer)
            answer = self.changed(answer)
        return {"document": to_document(answer)}

    def changed(self, page: EpochPage) -> EpochPage:
        return page


def look(node: Node, chain: Rotating) -> tuple[Audit, epochs.Epochs | None]:
    audit = Audit({})
    audit.nodes = [node]  # type: ignore[list-item]
    nodes = tuple(
        SimpleNamespace(validator=key_text(key), organisation=f"{chain.group_of[key]} {number}")
        for number, key in enumerate(chain.keys)
    )
    consortium: Any = SimpleNamespace(supervision=SimpleNamespace(nodes=nodes))
    return audit, epochs.look_at(audit, consortium, chain.height)


def test_the_demo_counts_epochs_and_seats_over_many_pages() -> None:
    chain = Rotating()
    chain.run_epochs(70)
    node = Node(chain)
    audit, found = look(node, chain)
    assert len(node.pages) == 3
    assert found is not None
    assert (found.committee, found.passed) == (4, 70)
    assert sum(found.seats.values()) == 71 * 4
    assert [check.ok for check in audit.checks] == [True, True]
    assert set(found.seats) == set(found.group_of)


def test_the_demo_says_so_when_an_epoch_breaks_the_rules() -> None:
    chain = Rotating()
    chain.run_epochs(5)
    operations = [key for key in chain.keys if chain.group_of[key] == "operations"]

    class Lies(Node):
        def changed(self, page: EpochPage) -> EpochPage:
            keys = tuple(sorted([*operations, *chain.keys[:2]]))
            return EpochPage(tuple(replace(epoch, keys=keys) if epoch.number == 3 else epoch for epoch in page.epochs))

    audit, _ = look(Lies(chain), chain)
    assert not audit.checks[0].ok


def test_the_demo_tells_nothing_of_epochs_when_the_set_stays() -> None:
    chain = Rotating(rotates=False)
    audit, found = look(Node(chain), chain)
    assert found is None
    assert audit.checks == []
