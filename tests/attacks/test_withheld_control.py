"""A fusion node keeps a control to itself and brings fresh headers instead: after a while nothing passes any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts import decisions
from contracts import messages as m
from contracts.bridge.clients import newest_time_ms
from contracts.bridge.records import RoleQuery
from contracts.flow.calls import Report
from contracts.flow.codes import SUPERVISION_STALE, SUSPENDED
from contracts.flow.kinds import DEFAULT_STALENESS_MS
from ledger.packet import Delivery
from tests.contracts.bridge import kit
from tests.contracts.bridge.kit import BRIDGE, SUPERVISION, call
from tests.contracts.flow.world import OFFICERS, PATIENT
from tests.contracts.supervision.test_two_chains import TwoChains

BLOCK_MS = 5_000


class Withheld(TwoChains):
    """Every method of a flow after ``file``, each when it could come next."""

    def authorised(self) -> None:
        self.file()
        self.opened_by_authority(m.FILE)

    def granted(self) -> None:
        self.authorised()
        self.request_review()
        self.carry()

    def released(self) -> None:
        self.granted()
        self.release()

    def reviewed(self) -> None:
        self.released()
        self.opinion()
        self.opened_by_authority(m.OPINION)

    def orderable(self) -> None:
        self.reviewed()
        self.request_order()
        self.carry()

    def placed(self) -> None:
        self.orderable()
        self.place()

    def accepted(self) -> None:
        self.placed()
        self.accept()

    def priced(self) -> None:
        self.accepted()
        self.fulfil()

    def unreported(self) -> None:
        self.priced()
        self.settle()
        self.opening(m.SETTLE, outcome=m.REFUSED, reason="document_invalid")
        self.carry()

    def paid(self) -> None:
        self.priced()
        self.settle()
        self.opened_by_authority(m.SETTLE)

    def report(self, code: str = "ok") -> None:
        made = self.settlement("again")
        assert made.envelope is not None
        again = Report(self.flow, made.commitment, made.envelope, made.copy)
        self.call(PATIENT, "report", again, code)

    def suspend_in_secret(self) -> None:
        """Officers suspend the flow; no fusion node says so, but each block's header arrives."""
        said = decisions.ControlFlow(m.Control(self.flow, 1, m.SUSPEND, "inspection"))
        for officer in OFFICERS[:2]:
            self.supervision.run(self.supervision.tx(officer, call(SUPERVISION, "control", said)))

    def headers_alone(self, until_ms: int, show: Callable[[], Delivery]) -> None:
        """Both chains go on until a business block of that time; every supervision header is delivered."""
        while self.business.time_ms < until_ms:
            self.supervision.block(step_ms=max(1, self.business.time_ms - self.supervision.time_ms) + BLOCK_MS)
            step_ms = min(BLOCK_MS, until_ms - self.business.time_ms)
            self.business.run(self.business.tx(kit.FUSION, call(BRIDGE, "deliver", show())), step_ms=step_ms)

    def header(self) -> Delivery:
        return Delivery(kit.proof_of(self.supervision, self.business, self.supervision.height), (), (), ())

    def end_of_block(self) -> Delivery:
        return kit.relay(self.supervision, self.business)


METHODS = {
    "request_review": "authorised",
    "release": "granted",
    "opinion": "released",
    "request_order": "reviewed",
    "place": "orderable",
    "accept": "placed",
    "fulfil": "accepted",
    "settle": "priced",
    "report": "unreported",
    "deliver": "paid",
}


@pytest.mark.parametrize("method", METHODS)
def test_method_is_refused_when_a_suspend_is_withheld_and_headers_stay_fresh(method: str) -> None:
    chains = Withheld()
    getattr(chains, METHODS[method])()
    chains.fresh()
    chains.suspend_in_secret()
    known_ms = newest_time_ms(chains.business.context("flow"), SUPERVISION)
    chains.headers_alone(known_ms + DEFAULT_STALENESS_MS + 1, chains.end_of_block)
    newest = chains.business.view(BRIDGE, "client", RoleQuery(SUPERVISION)).state.latest
    assert chains.business.time_ms - newest.time_ms < DEFAULT_STALENESS_MS, "the header alone is fresh"
    assert not chains.show().suspended
    getattr(chains, method)(SUPERVISION_STALE)
    # As soon as somebody carries it, the reason is the true one.
    chains.carry()
    chains.fresh()
    assert chains.show().suspended
    getattr(chains, method)(SUSPENDED)


def test_nothing_is_stale_when_nothing_is_withheld() -> None:
    chains = Withheld()
    chains.placed()
    chains.fresh()
    chains.headers_alone(chains.business.time_ms + 2 * DEFAULT_STALENESS_MS, chains.end_of_block)
    chains.accept()


def test_headers_without_the_end_of_their_block_make_nothing_fresh() -> None:
    chains = Withheld()
    chains.placed()
    chains.fresh()
    known_ms = newest_time_ms(chains.business.context("flow"), SUPERVISION)
    chains.headers_alone(known_ms + DEFAULT_STALENESS_MS + 1, chains.header)
    chains.accept(SUPERVISION_STALE)


def test_later_control_does_not_stand_in_for_a_withheld_one() -> None:
    """Suspend, resume, suspend: who brings only the resume must not let the flow go on for good."""
    chains = Withheld()
    chains.placed()
    chains.fresh()
    chains.suspend_in_secret()
    withheld = chains.supervision.height
    for counter, action in ((2, m.RESUME), (3, m.SUSPEND)):
        said = decisions.ControlFlow(m.Control(chains.flow, counter, action, "inspection"))
        for officer in OFFICERS[:2]:
            chains.supervision.run(chains.supervision.tx(officer, call(SUPERVISION, "control", said)))
        if action == m.RESUME:
            kit.deliver(chains.business, kit.relay(chains.supervision, chains.business), step_ms=10)
    assert chains.show().control_counter == 2
    known_ms = newest_time_ms(chains.business.context("flow"), SUPERVISION)
    assert known_ms < chains.supervision.headers[withheld].time_ms
    chains.headers_alone(known_ms + DEFAULT_STALENESS_MS + 1, chains.end_of_block)
    chains.accept(SUPERVISION_STALE)
    chains.carry()
    assert (chains.show().suspended, chains.show().control_counter) == (True, 3)
