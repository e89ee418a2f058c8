"""``tidegate governance propose-validators``, ``propose-parameters``, ``simulate``, and ``tidegate validators``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.keys import key_text
from tests.contracts.bench import STRANGER
from tests.contracts.validators.changing import OBSERVER, validator
from tests.contracts.validators.rotating import Rotating, validator_key
from tests.node.cli.set_desk import SetDesk, set_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SetDesk]:
    with set_desk(tmp_path) as found:
        yield found


def key(number: int) -> str:
    return key_text(validator(number).public)


def name(number: int) -> str:
    """Organisation of a validator, as the kit's certificates have it."""
    return f"validator {1_000 + number}"


# --- proposing --------------------------------------------------------------------------------------------------------


def test_set_changes_when_governors_propose_it_by_name_and_key(desk: SetDesk) -> None:
    words = ("--add", name(4), "--remove", key(0), "--replace", f"{name(1)}={key(5)}")
    made = desk.json("governance", "propose-validators", *words, *desk.signed)
    assert made["status"] == "executed"
    assert desk.chain.numbers_at(desk.chain.height + 2) == {2, 3, 4, 5}
    shown = desk.json("governance", "show", str(made["number"]))
    assert shown["content"] == {"add": [key(4), key(5)], "remove": [key(0), key(1)]}
    assert shown["about"]["content"]["description"].startswith(f"validators: add {name(4)}, ed25519:")


def test_proposal_waits_for_another_governor_and_can_be_simulated_meanwhile(desk: SetDesk) -> None:
    made = desk.json("governance", "propose-validators", "--add", name(4))
    assert made["status"] == "pending"
    found = desk.json("governance", "simulate", made["proposal"][:12])
    assert [seat["key"] for seat in found["seats"] if seat["change"] == "comes"] == [key(4)]
    done = desk.json("governance", "approve", made["proposal"][:12], *desk.signed)
    assert done["status"] == "executed"
    assert desk.chain.numbers_at(desk.chain.height + 2) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("--add", name(0)), "validators_already_in", 1),
        (("--remove", name(4)), "validators_not_in", 1),
        (("--add", key_text(STRANGER.public)), "validators_not_admitted", 1),
        (("--add", key_text(OBSERVER.public)), "validators_not_admitted", 1),
        (("--add", "Nobody"), "not_found", 5),
        (("--add", "ed25519:12"), "key_invalid", 3),
        (("--add", name(4), "--remove", key(4)), "validators_key_repeated", 3),
    ],
)
def test_change_is_refused_with_a_reason_when_it_cannot_be(
    desk: SetDesk, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    assert desk.refused("governance", "propose-validators", *words, *desk.signed, code=exit_code) == code
    assert desk.chain.numbers_at(desk.chain.height + 2) == {0, 1, 2, 3}


@pytest.mark.parametrize("words", [(), ("--replace", "a"), ("--replace", "=b"), ("--replace", "a=")])
def test_command_line_is_wrong_when_it_names_nobody(desk: SetDesk, words: tuple[str, ...]) -> None:
    desk.run("governance", "propose-validators", *words, *desk.signed, code=2)
    desk.run("governance", "simulate", *words, code=2)
    assert desk.rpc.gateway.submitted == 0


def test_parameters_change_when_governors_propose_it(desk: SetDesk) -> None:
    result = desk.run("governance", "propose-parameters", "empty_block_ms=5000", "package_ms=20", *desk.signed)
    assert "empty_block_ms: 10000 to 5000" in result.output
    record = desk.chain.view("governance", "parameters", desk.chain.height + 2)
    assert (record.empty_block_ms, record.package_ms, record.base_timeout_ms) == (5_000, 20, 1_000)
    shown = desk.json("governance", "show", "1")
    assert shown["content"]["changes"] == [
        {"name": "empty_block_ms", "value": 5_000},
        {"name": "package_ms", "value": 20},
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("empty_block_ms", "parameter_invalid"),
        ("empty_block_ms=fast", "parameter_invalid"),
        ("empty_block_ms=-5", "parameter_invalid"),
        ("empty_block_ms=٥", "parameter_invalid"),
        ("expiry_window=50", "parameter_invalid"),
        ("empty_block_ms=1", "governance_parameter_invalid"),
        ("base_timeout_ms=60001", "governance_parameter_invalid"),
    ],
)
def test_parameters_are_refused_before_sending_when_they_cannot_be(desk: SetDesk, text: str, code: str) -> None:
    assert desk.refused("governance", "propose-parameters", text, *desk.signed, code=3) == code
    assert desk.rpc.gateway.submitted == 0


# --- simulating -------------------------------------------------------------------------------------------------------


def test_simulation_of_a_good_change_ends_with_zero_and_sends_nothing(desk: SetDesk) -> None:
    found = desk.json("governance", "simulate", "--add", name(4))
    assert (found["quorum"], found["max_faulty"], found["live"], found["spare"], found["warnings"]) == (4, 1, 5, 1, [])
    assert desk.rpc.gateway.submitted == 0


def test_simulation_warns_and_ends_with_one_when_a_newcomer_is_offline(desk: SetDesk) -> None:
    desk.rpc.online = {0, 1, 2, 3}
    result = desk.run("governance", "simulate", "--add", name(4), code=1)
    assert "warning: [added_offline]" in result.stderr
    assert "4 of 5" in result.stdout
    found = desk.json("governance", "simulate", "--add", name(4), code=1)
    assert [warned["code"] for warned in found["warnings"]] == ["added_offline", "none_to_spare"]


def test_simulation_warns_when_a_newcomer_is_not_synced_or_the_quorum_would_be_lost(desk: SetDesk) -> None:
    desk.chain.skip(50)
    desk.rpc.heights[4] = 3
    found = desk.json("governance", "simulate", "--add", name(4), code=1)
    assert found["warnings"][0]["code"] == "added_behind"
    desk.rpc.online = {0, 1, 2}
    found = desk.json("governance", "simulate", "--add", name(4), "--add", name(5), code=1)
    assert "below_quorum" in [warned["code"] for warned in found["warnings"]]
    assert found["spare"] == -1


def test_simulation_says_that_the_chain_would_refuse_who_is_not_admitted(desk: SetDesk) -> None:
    found = desk.json("governance", "simulate", "--add", key_text(STRANGER.public), code=1)
    assert "not_admitted" in [warned["code"] for warned in found["warnings"]]
    assert desk.refused("governance", "simulate", "--add", name(0), code=3) == "validators_already_in"
    assert desk.refused("governance", "simulate", "--remove", name(5), code=3) == "validators_not_in"


def test_only_proposals_about_validators_are_simulated(desk: SetDesk) -> None:
    desk.json("governance", "propose-parameters", "package_ms=20")
    assert desk.refused("governance", "simulate", "1", code=3) == "proposal_other"
    desk.run("governance", "simulate", "1", "--add", name(4), code=2)


def test_simulation_counts_with_the_committee_where_one_rotates(tmp_path: Path) -> None:
    chain = Rotating(spare=[("regulator", 2)])
    newcomer = validator_key("regulator", 100).public
    with set_desk(tmp_path, chain, [*chain.keys, newcomer]) as desk:
        desk.rpc.online = set(range(8))
        found = desk.json("governance", "simulate", "--add", "regulator 100")
        assert (len(found["before"]), len(found["after"])) == (7, 8)
        assert (found["quorum"], found["max_faulty"], found["live"], found["warnings"]) == (3, 1, 8, [])
        desk.rpc.online = set(range(7))
        found = desk.json("governance", "simulate", "--add", "regulator 100", code=1)
        assert [warned["code"] for warned in found["warnings"]] == ["added_offline"]
        assert "candidates" in desk.run("governance", "simulate", "--remove", "regulator 4").output


# --- looking ----------------------------------------------------------------------------------------------------------


def test_validators_are_listed_with_who_comes_and_goes(desk: SetDesk) -> None:
    desk.rpc.online = {0, 1, 4}
    desk.chain.change(add=[4], remove=[0])
    found = desk.json("validators")
    assert {item["key"]: (item["condition"], item["change"]) for item in found["validators"]} == {
        key(0): ("live", "goes"),
        key(1): ("live", ""),
        key(2): ("offline", ""),
        key(3): ("offline", ""),
        key(4): ("live", "comes"),
    }
    assert (found["quorum"], found["max_faulty"]) == (3, 1)
    assert found["coming"] == {"number": 1, "from_height": 3}
    text = desk.run("validators").output
    assert "epoch 1 begins with block 3" in text
    assert "offline: not connected" in text


def test_epochs_are_listed_newest_first(desk: SetDesk) -> None:
    for number in (4, 5):
        desk.chain.change(add=[number])
        desk.chain.skip(3)
    epochs = desk.json("validators", "--epochs", "9")["epochs"]
    assert [(epoch["number"], epoch["start"], epoch["end"]) for epoch in epochs] == [(2, 7, None), (1, 3, 6), (0, 1, 2)]
    assert [len(epoch["validators"]) for epoch in epochs] == [6, 5, 4]
    assert "epoch" in desk.run("validators", "--epochs", "1").output
