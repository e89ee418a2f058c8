"""Whatever comes in whatever order: every request is counted in one status, and quotas say what they authorised."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts import messages as m
from contracts.decisions import Decide
from contracts.registry import participants as people
from contracts.rulebook.check import ALLOW, HOLD, REFUSE, Verdict
from contracts.supervision import answers as a
from contracts.supervision import calls
from ledger.encoding import Codec
from ledger.packet import ANSWER_OK, Packet
from tests.contracts.supervision.world import DOCTOR, OFFICERS, Handed, World

VERDICTS = {outcome: Verdict(outcome, "" if outcome == ALLOW else "code", "", 1) for outcome in (ALLOW, HOLD, REFUSE)}
FLOWS = st.integers(0, 2)


class Books(RuleBasedStateMachine):
    """Requests, decisions, expiries, answers and batches of one organisation, by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.world = World(self.patch)
        self.world.classify("hospital A", people.BATCH)
        self.attempts: dict[tuple[int, str], int] = {}
        self.asked: list[m.StageRequest] = []
        self.sent: list[Packet] = []
        self.granted = 0
        self.used_before = 0

    def teardown(self) -> None:
        self.patch.undo()

    def ask(self, stage: str, flow: int, life_ms: int) -> None:
        world, attempt = self.world, self.attempts.get((flow, stage), 0) + 1
        request = world.request(stage, flow, attempt=attempt, deadline_ms=world.now + 1_000 + life_ms)
        request, transaction = world.handing(request)
        receipt = world.chain.run(transaction)
        if Codec(Handed, 512).decode(receipt.results[0]).code == ANSWER_OK:
            self.attempts[flow, stage] = attempt
            self.asked.append(request)
        self.sent.extend(world.packets(receipt))

    @rule(flow=FLOWS, life_ms=st.sampled_from([1_000, 20_000]), stage=st.sampled_from(m.STAGES[:4]))
    def request_comes(self, flow: int, life_ms: int, stage: str) -> None:
        self.ask(stage, flow, life_ms)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), refuse=st.booleans(), says=st.sampled_from(sorted(VERDICTS)))
    def authority_decides(self, data: st.DataObject, refuse: bool, says: str) -> None:
        self.world.says = VERDICTS[says]
        request = data.draw(st.sampled_from(self.asked))
        if request.need == m.NEED_GRANT:
            return
        said = (m.REFUSED, "forged") if refuse else (m.AUTHORISED, "")
        self._run(self.world.call(DOCTOR, "decide", self.world.opening(request, *said)))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), refuse=st.booleans(), officer=st.integers(0, 2))
    def officer_signs(self, data: st.DataObject, refuse: bool, officer: int) -> None:
        request = data.draw(st.sampled_from(self.asked))
        said = (m.REFUSED, "forged") if refuse else (m.AUTHORISED, "")
        decide = vote(self.world, request, said)
        self._run(self.world.call(OFFICERS[officer], "decide", decide))

    @rule(quota=st.integers(1, 2), life_ms=st.sampled_from([2_000, 1_000_000]))
    def batch_is_granted(self, quota: int, life_ms: int) -> None:
        self.world.batch(quota, not_after_ms=self.world.now + life_ms)
        self.granted += quota

    @rule(step_ms=st.sampled_from([1, 5_000, 30_000]))
    def time_passes(self, step_ms: int) -> None:
        self.world.chain.block(step_ms=step_ms)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), late=st.booleans())
    def answer_comes(self, data: st.DataObject, late: bool) -> None:
        packet = data.draw(st.sampled_from(self.sent))
        self.sent.remove(packet)
        self.world.answered(packet, "expired" if late else ANSWER_OK)

    def _run(self, transaction) -> None:
        (receipt,) = self.world.chain.block(transaction)
        self.sent.extend(self.world.packets(receipt))

    @invariant()
    def every_request_has_one_status(self) -> None:
        counters = self.world.counters
        assert counters.requests == sum(getattr(counters, status) for status in calls.STATUSES)
        listed = self.world.view("requests", a.PageQuery(0, 200)).requests
        assert len(listed) == counters.requests == len(self.asked)
        for status in calls.STATUSES:
            assert sum(entry.status == status for entry in listed) == getattr(counters, status)
        for name in ("waiting", "pending"):
            page = self.world.view(name, a.PageQuery(0, 200)).requests
            assert [entry for entry in listed if entry.status == name] == list(page)
        assert all(bool(entry.decided_ms) == (entry.status not in ("waiting", "pending")) for entry in listed)

    @invariant()
    def deadlines_are_kept_of_what_is_undecided_only(self) -> None:
        page = self.world.view("requests", a.PageQuery(0, 200)).requests
        open_ones = [entry.request.deadline_ms for entry in page if entry.status in ("waiting", "pending")]
        assert self.world.next_due_ms() == (min(open_ones) + 1 if open_ones else None)

    @invariant()
    def quotas_say_what_they_authorised(self) -> None:
        batches = self.world.view("batches", a.PageQuery(0, 200)).batches
        assert all(0 <= batch.used <= batch.quota for batch in batches)
        assert sum(batch.quota for batch in batches) == self.granted
        used = sum(batch.used for batch in batches)
        listed = self.world.view("requests", a.PageQuery(0, 200)).requests
        automatic = [
            entry
            for entry in listed
            if entry.request.stage == m.FILE
            and entry.status in ("authorised", "late")
            and entry.attested_by
            and self._decided_by_authority(entry)
        ]
        assert used == len(automatic)
        assert used >= self.used_before
        self.used_before = used

    def _decided_by_authority(self, entry: a.RequestView) -> bool:
        disclosures = self.world.view("disclosures", a.PageQuery(0, 200)).disclosures
        return any(disclosure.transaction == entry.transaction for disclosure in disclosures)


def vote(world: World, request: m.StageRequest, said: tuple[str, str]) -> Decide:
    return Decide(world.decision(request, *said), b"", (), b"")


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
