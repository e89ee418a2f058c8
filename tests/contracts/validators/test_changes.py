"""Who comes and who goes: from when it holds, what is refused, and every way to change a set without its governors."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.codes import ARGUMENTS_INVALID, METHOD_UNKNOWN
from contracts.governance import contract as governance
from contracts.validators import changes
from contracts.validators.calls import CHANGE_SET, ChangeSet, EpochPage, EpochsQuery
from contracts.validators.changes import begin_epoch
from contracts.validators.records import EpochRecord, epoch_codec
from ledger.encoding import encode
from ledger.errors import BrokenInvariant, NotFound
from ledger.keys import SigningKey
from ledger.transaction import Call
from ledger.validators import MAX_VALIDATORS
from tests.contracts.bench import ALICE, BOB, CAROL, STRANGER, EndContext, call
from tests.contracts.validators.changing import EXPIRED, FUTURE, NO_NODE, OBSERVER, Changing, validator

FIRST = {0, 1, 2, 3}


@pytest.fixture
def chain() -> Changing:
    return Changing()


# --- from when it holds -----------------------------------------------------------------------------------------------


def test_change_holds_two_heights_above_the_block_that_decides_it(chain: Changing) -> None:
    chain.skip(3)
    assert chain.change(add=[4], remove=[0]) == "ok"
    decided = chain.height
    assert [chain.numbers_at(decided + ahead) for ahead in range(4)] == [FIRST, FIRST, {1, 2, 3, 4}, {1, 2, 3, 4}]
    before, after = chain.epoch_at(decided + 1), chain.epoch_at(decided + 2)
    assert (before.number, before.start, before.end) == (0, 1, decided + 1)
    assert (after.number, after.start, after.end) == (1, decided + 2, 0)
    assert list(after.keys) == sorted(after.keys)


def test_changes_of_one_block_make_one_epoch(chain: Changing) -> None:
    receipts = chain.block(chain.proposal(add=[4]), chain.proposal(add=[5], remove=[4, 0]))
    assert [receipt.code for receipt in receipts[:2]] == ["ok", "ok"]
    assert chain.numbers_at(chain.height + 2) == {1, 2, 3, 5}
    assert chain.epoch_at(chain.height + 2).number == 1
    assert chain.epoch_at(chain.height + 1) == replace(chain.epoch_at(1), end=chain.height + 1)


def test_changes_of_one_block_do_not_undo_each_other_when_one_is_refused(chain: Changing) -> None:
    receipts = chain.block(chain.proposal(add=[4]), chain.proposal(add=[4]), chain.proposal(remove=[1]))
    assert [receipt.code for receipt in receipts[:3]] == ["ok", changes.ALREADY_IN, "ok"]
    assert chain.numbers_at(chain.height + 2) == {0, 2, 3, 4}


def test_changes_of_successive_blocks_make_epochs_of_one_height(chain: Changing) -> None:
    for number in (4, 5, 6):
        assert chain.change(add=[number]) == "ok"
    top = chain.height
    assert [chain.numbers_at(height) for height in range(top - 1, top + 3)] == [
        FIRST,
        {*FIRST, 4},
        {*FIRST, 4, 5},
        {*FIRST, 4, 5, 6},
    ]
    epochs = [chain.epoch_at(height) for height in range(top, top + 3)]
    assert [(epoch.number, epoch.start, epoch.end) for epoch in epochs] == [
        (1, top, top), (2, top + 1, top + 1), (3, top + 2, 0),
    ]  # fmt: skip


def test_order_of_proposers_goes_on_behind_the_last_one_when_the_set_changes(chain: Changing) -> None:
    def proposer_at(height: int) -> bytes:
        epoch = chain.epoch_at(height)
        return epoch.keys[(height - epoch.start + epoch.offset) % len(epoch.keys)]

    for number in range(4, 10):
        chain.skip(number % 3)
        assert chain.change(add=[number]) == "ok"
        start = chain.height + 2
        before, first = proposer_at(start - 1), proposer_at(start)
        keys = chain.epoch_at(start).keys
        above = [key for key in keys if key > before]
        assert first == (above[0] if above else keys[0])
        chain.skip(1)


def test_event_tells_of_the_coming_epoch(chain: Changing) -> None:
    receipt = chain.block(chain.proposal(add=[4]))[0]
    (event,) = [event for event in receipt.events if event.contract == "validators"]
    assert event.name == "epoch_decided"
    assert epoch_codec.decode(event.data) == chain.epoch_at(chain.height + 2)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("add", "remove", "code"),
    [
        ([], [], changes.CHANGE_EMPTY),
        ([0], [], changes.ALREADY_IN),
        ([], [4], changes.NOT_IN),
        ([STRANGER], [], changes.NOT_ADMITTED),
        ([ALICE], [], changes.NOT_ADMITTED),
        ([NO_NODE], [], changes.NOT_ADMITTED),
        ([OBSERVER], [], changes.NOT_ADMITTED),
        ([EXPIRED], [], changes.NOT_ADMITTED),
        ([FUTURE], [], changes.NOT_ADMITTED),
        ([4, 4], [], changes.KEY_REPEATED),
        ([], [0, 0], changes.KEY_REPEATED),
        ([0], [0], changes.KEY_REPEATED),
        ([4], [4], changes.KEY_REPEATED),
        ([], [0, 1, 2, 3], changes.SET_EMPTY),
        ([4], [0, 1, 5], changes.NOT_IN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_change_is_refused_whole_when_a_part_of_it_is_wrong(
    chain: Changing, add: list[SigningKey | int], remove: list[SigningKey | int], code: str
) -> None:
    assert chain.change(add, remove) == code
    assert chain.epoch_at(chain.height + 2) == EpochRecord(0, 1, 0, 0, chain.genesis.validator_set().keys)


def test_all_may_be_replaced_at_once(chain: Changing) -> None:
    assert chain.change(add=[4, 5], remove=[0, 1, 2, 3]) == "ok"
    assert chain.numbers_at(chain.height + 2) == {4, 5}


def test_set_grows_to_the_bound_and_not_beyond() -> None:
    chain = Changing(first=1, admitted=MAX_VALIDATORS + 1)
    assert chain.change(add=range(1, MAX_VALIDATORS)) == "ok"
    assert len(chain.epoch_at(chain.height + 2).keys) == MAX_VALIDATORS
    assert chain.change(add=[MAX_VALIDATORS]) == changes.TOO_MANY
    assert chain.change(add=[MAX_VALIDATORS], remove=[7]) == "ok"


def test_validator_leaves_when_its_certificate_has_ended() -> None:
    chain = Changing(first=4)
    end = chain.epoch_at(1)
    assert validator(0).public in end.keys
    receipt = chain.block(chain.proposal(remove=[0]), time_ms=2**51)[0]
    # The governors' own certificates have ended as well at that time: nobody sends.
    assert receipt.code == "sender_not_admitted"
    assert chain.change(remove=[0]) == "ok"


@pytest.mark.parametrize("data", [b"", b"\x92\x90", b"\x93\x90\x90\x90", b"\x92\x91\xc4\x02ab\x90"])
def test_change_is_refused_when_its_data_is_no_change(chain: Changing, data: bytes) -> None:
    words = ("validators", CHANGE_SET, data, "")
    code = chain.code(chain.make(calls=[call("governance", "propose", *words)], sender=ALICE, keys=[ALICE, BOB]))
    assert code == ARGUMENTS_INVALID


def test_unknown_action_is_refused(chain: Changing) -> None:
    assert chain.code(chain.propose("validators", "remove_all", ChangeSet((), ()))) == METHOD_UNKNOWN


# --- without the governors --------------------------------------------------------------------------------------------


def test_nothing_changes_when_one_governor_proposes_and_nobody_else_approves(chain: Changing) -> None:
    assert chain.code(chain.proposal(add=[4], keys=[ALICE])) == "ok"
    assert chain.code(chain.proposal(add=[4], keys=[ALICE])) == "ok"
    assert chain.numbers_at(chain.height + 2) == FIRST


def test_validators_cannot_change_their_set(chain: Changing) -> None:
    everybody = [validator(number) for number in range(4)]
    assert chain.code(chain.proposal(remove=[3], keys=[CAROL, *everybody])) == "signature_superfluous"
    assert chain.code(chain.proposal(remove=[3], keys=everybody)) == "sender_not_admitted"
    assert chain.numbers_at(chain.height + 2) == FIRST


def test_contract_is_not_called_directly(chain: Changing) -> None:
    order = encode(ChangeSet((validator(4).public,), ()))
    for method in ("change_set", "govern", "begin_epoch"):
        direct = chain.make(calls=[Call("validators", method, order)], sender=ALICE, keys=[ALICE, BOB])
        assert chain.code(direct) == METHOD_UNKNOWN
    assert chain.numbers_at(chain.height + 2) == FIRST


def test_approval_cannot_be_replayed_after_the_change_was_taken_back(chain: Changing) -> None:
    first = chain.block(chain.proposal(add=[4], keys=[ALICE]))[0]
    assert first.code == "ok"
    name = chain.view("governance", "proposals", 0, 10, True).proposals[0].proposal
    approval = chain.make(calls=[call("governance", "approve", name)], sender=BOB)
    assert chain.code(approval) == "ok"
    assert chain.change(remove=[4]) == "ok"
    again = chain.make(calls=[call("governance", "approve", name)], sender=CAROL)
    assert chain.code(again) == governance.PROPOSAL_CLOSED
    assert chain.numbers_at(chain.height + 2) == FIRST


def test_approval_is_undone_when_the_set_has_changed_meanwhile(chain: Changing) -> None:
    chain.block(chain.proposal(add=[4], keys=[ALICE]))
    name = chain.view("governance", "proposals", 0, 10, True).proposals[0].proposal
    assert chain.change(add=[4]) == "ok"
    assert chain.code(chain.make(calls=[call("governance", "approve", name)], sender=BOB)) == changes.ALREADY_IN
    assert chain.view("governance", "proposal", name).status == "pending"


# --- views and records ------------------------------------------------------------------------------------------------


def test_views_show_the_epoch_of_each_height_and_all_of_them_newest_first(chain: Changing) -> None:
    for number in (4, 5, 6):
        chain.change(add=[number])
        chain.skip(number)
    top = chain.height
    for height in range(1, top + 1):
        assert chain.view("validators", "epoch", height) == chain.epoch_at(height)
    assert chain.view("validators", "epoch", 0) == chain.epoch_at(top + 1)
    page = chain.view("validators", "epochs", *_fields(EpochsQuery(0, 32)))
    assert isinstance(page, EpochPage)
    assert [epoch.number for epoch in page.epochs] == [3, 2, 1, 0]
    first, second = page.epochs[:2], page.epochs[2:]
    assert chain.view("validators", "epochs", 0, 2).epochs == first
    assert chain.view("validators", "epochs", first[-1].start, 2).epochs == second
    assert chain.view("validators", "epochs", 1, 2).epochs == ()


def test_the_coming_epoch_is_shown_before_it_begins(chain: Changing) -> None:
    chain.change(add=[4])
    assert [epoch.number for epoch in chain.view("validators", "epochs", 0, 9).epochs] == [1, 0]
    assert chain.view("validators", "epoch", 0).number == 0
    with pytest.raises(NotFound):
        chain.epoch_at(0)


def test_epoch_cannot_begin_where_votes_may_have_been_cast(chain: Changing) -> None:
    chain.skip(5)
    execution = chain.execution()
    context = EndContext(execution.block, "validators", execution.overlay, execution)
    with pytest.raises(BrokenInvariant):
        begin_epoch(context, execution.block.height + 1, [validator(0).public])
    later = begin_epoch(context, execution.block.height + 9, [validator(0).public], end=99)
    # An earlier one, decided in the same block, takes its place and its number.
    sooner = begin_epoch(context, execution.block.height + 2, [validator(1).public])
    assert (later.number, sooner.number, sooner.end) == (1, 1, 0)
    starts = [epoch_codec.decode(data).start for _, data in context.state.iterate(b"e")]
    assert starts == [execution.block.height + 2, 1]


def _fields(record: EpochsQuery) -> tuple[int, int]:
    return record.before, record.limit
